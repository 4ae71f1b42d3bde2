"""GroupNorm of one group, with GELU."""

from torch import Tensor
from torch.nn import functional as F

from .backends import select_implementation
from .capture import fx_leaf
from .tensors import gelu


@fx_leaf
def group_norm_gelu(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5, act: bool = True) -> Tensor:
    """Normalise each sample over C, H and W, scale and offset each channel, then apply GELU (exact).

    Source: GroupNorm, arXiv 1803.08494, with one group, as in AS-MLP, arXiv 2107.08391, section 3.2.

    Args:
        x: ``[B, C, H, W]``, any memory format.
        weight: ``[C]``.
        bias: ``[C]``.
        eps: added to the variance. Default 1e-5.
        act: whether GELU follows. Default True.

    Returns:
        ``[B, C, H, W]``.
    """
    if select_implementation('group_norm_gelu', x) == 'triton':
        from . import triton  # optional: only when it is selected

        return triton.group_norm_gelu(x, weight, bias, eps, act)
    x = F.group_norm(x, 1, weight, bias, eps)
    return gelu(x) if act else x
