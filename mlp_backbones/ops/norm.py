"""LayerNorm of channels; GroupNorm of one group, with the GELU or the linear map behind it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..compat import is_dynamo_compiling
from .backends import select_implementation
from .capture import fx_leaf
from .tensors import gelu_


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Normalise the channels of each position, then scale and offset each channel.

    Source: LayerNorm, arXiv 1607.06450.

    Args:
        x: ``[B, C, H, W]``, any memory format.
        weight, bias: ``[C]``.
        eps: added to the variance. Default 1e-5.

    Returns:
        ``[B, C, H, W]``, in channels_last; compilers choose for themselves.
    """
    if not (is_dynamo_compiling() and x.is_cpu):
        return F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias, eps).permute(0, 3, 1, 2)
    # inductor gives permuted views of one image a batch stride of 0. torch's convolutions do not see channels_last in
    # them, and copy their inputs and outputs.
    y = x if x.dtype == torch.float64 else x.float()
    variance, mean = torch.var_mean(y, 1, correction=0, keepdim=True)
    y = (y - mean) * torch.rsqrt(variance + eps)
    return (y * weight[:, None, None] + bias[:, None, None]).to(x.dtype)


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
    return gelu_(x) if act else x


def group_norm_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    linear_weight: Tensor,
    linear_bias: Tensor | None,
    eps: float = 1e-5,
) -> Tensor:
    """Apply a point-wise linear map to the GroupNorm of one group of ``x``, without writing the normalised map.

    With the mean ``m`` and the standard deviation ``s`` of an image, the result is ``(V x - m V 1) / s + W bias + b``,
    where ``W`` and ``b`` are the linear map and ``V = W diag(weight)``. A compiler fuses all but ``V x`` with the
    operators behind it.

    Args:
        x: ``[B, C_in, H, W]``.
        weight, bias: of the norm, ``[C_in]``.
        linear_weight, linear_bias: of a 1x1 convolution, ``[C_out, C_in, 1, 1]`` and ``[C_out]`` or None.
        eps: added to the variance. Default 1e-5.

    Returns:
        ``[B, C_out, H, W]``.
    """
    variance, mean = torch.var_mean(x, (1, 2, 3), correction=0, keepdim=True)
    scaled = linear_weight * weight[:, None, None]
    offset = F.linear(bias, linear_weight.flatten(1), linear_bias)[:, None, None]
    # The sum of the rounded products: that which a large mean adds is subtracted as it is.
    centred = F.conv2d(x, scaled) - scaled.sum(1) * mean
    return centred * torch.rsqrt(variance + eps) + offset
