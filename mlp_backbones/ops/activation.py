"""GELU, where torch's own is fast."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .capture import fx_leaf, is_captured, is_transformed
from .layout import memory_format


@fx_leaf
def gelu(x: Tensor) -> Tensor:
    """GELU (exact, arXiv 1606.08415).

    On CPUs torch has a faster kernel for contiguous tensors only (two to three times in bf16), so that one gets a
    contiguous view of a channels_last map.

    Args:
        x: any tensor; ``[B, C, H, W]`` in any memory format.

    Returns:
        The same shape, in the memory format of ``x``.
    """
    if is_captured() or is_transformed() or memory_format(x) != torch.channels_last:
        return F.gelu(x)
    return F.gelu(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
