"""GroupNorm of one group, with GELU."""

from torch import Tensor
from torch.nn import functional as F

from .activation import gelu as gelu_
from .backends import form
from .capture import fx_leaf


@fx_leaf
def group_norm_gelu(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5, gelu: bool = True) -> Tensor:
    """Normalises each sample over C, H and W, scales and offsets each channel, then applies GELU (exact).

    Source: GroupNorm, arXiv 1803.08494, with one group, as in AS-MLP, arXiv 2107.08391, section 3.2.

    Args:
        x: ``[B, C, H, W]``, any memory format.
        weight: ``[C]``.
        bias: ``[C]``.
        eps: added to the variance. Default 1e-5.
        gelu: False leaves out the GELU. Default True.

    Returns:
        ``[B, C, H, W]``.
    """
    if form('group_norm_gelu', x) == 'triton':
        from . import triton  # not above: it is there for those who ask

        return triton.group_norm_gelu(x, weight, bias, eps, gelu)
    x = F.group_norm(x, 1, weight, bias, eps)
    return gelu_(x) if gelu else x
