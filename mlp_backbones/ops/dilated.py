"""Vectors of positions that lie far apart: one of each of the equal parts that a map is cut into."""

import torch
from torch import Tensor

from .capture import fx_leaf
from .tensors import crop, pad_to_multiple, spatial_shape


@fx_leaf
def gather_dilated(x: Tensor, splits: int, width: int) -> Tensor:
    """Gather the positions that have one place in each of ``splits`` x ``splits`` parts of a map, and its channels.

    Source: RaMLP (IJCAI 2023). Zeros complete a map at the right and bottom to equal parts of H' x W' positions. Number
    ``(c * splits + r) * splits + s`` of a vector is channel ``g * width + c`` at ``(r * H' + y, s * W' + x)``; there is
    one vector for every ``y``, ``x`` and group ``g``.

    Args:
        x: ``[B, C, H, W]``; ``width`` divides C.
        splits: parts along each side.
        width: neighbouring channels of a group.

    Returns:
        ``[B, width * splits**2, H' * W', C / width]``, in channels_last.
    """
    x = pad_to_multiple(x, splits)
    height, columns = (side // splits for side in spatial_shape(x))
    batch, channels = x.shape[:2]
    parts = x.permute(0, 2, 3, 1).unflatten(3, (channels // width, width))
    parts = parts.unflatten(2, (splits, columns)).unflatten(1, (splits, height))
    # [B, r, y, s, x, g, c] to [B, y, x, g, c, r, s]. Always copy: asking whether a view suffices fixes sizes in a
    # traced graph.
    parts = parts.permute(0, 2, 4, 5, 6, 1, 3).clone(memory_format=torch.contiguous_format)
    return parts.view(batch, height * columns, channels // width, width * splits**2).permute(0, 3, 1, 2)


@fx_leaf
def scatter_dilated(y: Tensor, x: Tensor, splits: int, width: int) -> Tensor:
    """Put vectors back to where :func:`gather_dilated` took them from ``x``.

    Args:
        y: ``[B, width * splits**2, H' * W', C / width]``.
        x: the map ``[B, C, H, W]``, of which only the shape counts.
        splits, width: as in :func:`gather_dilated`.

    Returns:
        ``[B, C, H, W]``, in channels_last where nothing was padded.
    """
    batch, channels = x.shape[:2]
    sides = spatial_shape(x)
    height, columns = ((side + splits - 1) // splits for side in sides)
    parts = y.permute(0, 2, 3, 1).unflatten(3, (width, splits, splits)).unflatten(1, (height, columns))
    parts = parts.permute(0, 5, 1, 6, 2, 3, 4).clone(memory_format=torch.contiguous_format)
    whole = parts.view(batch, splits * height, splits * columns, channels).permute(0, 3, 1, 2)
    return crop(whole, 0, 0, *sides)
