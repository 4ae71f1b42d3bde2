"""Bicubic interpolation of maps by matrix products."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .capture import is_captured, without_autocast
from .tensors import spatial_shape

# The parameter of the cubic kernel that torch has; others have -0.5.
SHARPNESS = -0.75


def resize_bicubic(x: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate as ``F.interpolate(x, size, mode='bicubic')`` does, by one matrix product along each axis.

    Compilers fuse torch's operator with what reads its result, and compute it anew for each reader. Torch's operator
    runs all the same in half precision, where a map of an eager network shrinks, and where :func:`by_products` says no.

    Args:
        x: ``[B, C, H, W]``.
        size: (H', W').

    Returns:
        ``[B, C, H', W']``.
    """
    height, width = spatial_shape(x)
    shrinks = not is_captured() and size[0] * size[1] <= height * width
    if shrinks or not by_products(x) or x.dtype not in (torch.float32, torch.float64):
        return F.interpolate(x, (size[0], size[1]), mode='bicubic')
    rows, columns = bicubic_matrix(height, size[0], x), bicubic_matrix(width, size[1], x)
    return interpolate_axes(x.permute(0, 2, 3, 1), rows, columns).permute(0, 3, 1, 2)


def by_products(x: Tensor) -> bool:
    """Return whether products interpolate: on a CPU, where this was measured, and not where a trace may count MACs."""
    return x.is_cpu and not torch.jit.is_tracing()


def interpolate_axes(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Multiply the second axis of ``[B, H, W, C]`` by ``[H', H]``, and the third by ``[W', W]``."""
    with without_autocast(x.device.type):
        return columns @ (rows @ x.flatten(2)).unflatten(2, (x.shape[2], x.shape[3]))


def bicubic_matrix(length: int, new_length: int, like: Tensor) -> Tensor:
    """Return the matrix ``[new_length, length]`` that interpolates one axis, with dtype and device of ``like``.

    Source: R. G. Keys, Cubic convolution interpolation for digital image processing, 1981. Positions are those of
    pixels' middles, and beyond the border its value counts.
    """
    options: dict = dict(dtype=torch.float64, device=like.device)
    scale = torch.scalar_tensor(length, **options) / new_length
    position = (torch.arange(new_length, **options) + 0.5) * scale - 0.5
    first = position.floor()
    beyond = (position - first)[:, None]
    distance = torch.cat((1 + beyond, beyond, 1 - beyond, 2 - beyond), 1)
    near = ((SHARPNESS + 2) * distance - (SHARPNESS + 3)) * distance**2 + 1
    far = SHARPNESS * (((distance - 5) * distance + 8) * distance - 4)
    weight = torch.where(distance <= 1, near, far)
    begin, end = torch.scalar_tensor(0, **options), torch.scalar_tensor(length - 1, **options)
    read = first[:, None] + torch.arange(-1, 3, **options)
    read = torch.where(read < begin, begin, torch.where(read > end, end, read))  # old runtimes clip no doubles
    matches = read[:, :, None] == torch.arange(length, **options)
    return (weight[:, :, None] * matches).sum(1).to(like.dtype)
