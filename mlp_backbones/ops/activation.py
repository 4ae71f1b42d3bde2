"""GELU, where torch's own is fast."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .layout import memory_format


def gelu(x: Tensor) -> Tensor:
    """GELU (exact, arXiv 1606.08415) of a tensor that nobody else reads: without gradients it is overwritten.

    On CPUs torch has a faster kernel for contiguous tensors alone (two to three times in bf16), so that one gets a
    contiguous view of a channels_last map.

    Args:
        x: any tensor; ``[B, C, H, W]`` in any memory format.

    Returns:
        The same shape, in the memory format of ``x``.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return F.gelu(x)
    channels_last = memory_format(x) == torch.channels_last
    if channels_last:
        x = x.permute(0, 2, 3, 1)
    x = F.gelu(x) if torch.is_grad_enabled() else torch.ops.aten.gelu_(x)
    return x.permute(0, 3, 1, 2) if channels_last else x
