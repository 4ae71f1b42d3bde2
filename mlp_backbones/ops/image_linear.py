"""A point-wise linear map of its own for each image of a batch."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .capture import is_captured, is_exporting


def image_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Apply to each image a point-wise linear map of its own.

    ``y[b, o, p] = bias[b, o] + sum_c weight[b, o, c] x[b, c, p]``.

    Args:
        x: ``[B, C_in, H, W]``.
        weight: ``[B, C_out, C_in]``.
        bias: ``[B, C_out]``.

    Returns:
        ``[B, C_out, H, W]``.
    """
    if not is_captured():
        images = zip(x.split(1), weight[..., None, None], bias, strict=True)
        return torch.cat([F.conv2d(*image) for image in images])
    # One batched product, as a convolution has one weight for all images, and a graph any number of these.
    if is_exporting():
        return (weight @ x.flatten(2) + bias[..., None]).unflatten(2, x.shape[2:])
    # Not baddbmm, which copies the bias over the result first.
    y = x.permute(0, 2, 3, 1).flatten(1, 2) @ weight.mT + bias[:, None]
    return y.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
