"""Token mixers of a fixed grid on maps of any size."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..compat import known_equal
from .capture import fx_leaf
from .resize import resize_bicubic
from .tensors import crop, pad_to_multiple, spatial_shape

SPATIAL_RULES = ('tile', 'resize')


def on_native_grid(x: Tensor, grid: int, rule: str, mix: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply ``mix``, which takes only maps of ``grid`` x ``grid``, to a map of any size.

    A map of the native size is mixed as it is, under both rules.

    Args:
        x: ``[B, C, H, W]``.
        grid: side of the native grid, in positions.
        rule: ``'tile'``: zeros complete the map at the right and bottom to whole tiles, which are mixed
            one by one, and the padding is cut off. ``'resize'``: bicubic interpolation to the native grid and, after
            mixing, back, as RaftMLP (arXiv 2108.04384) does with Mixer in a detector.
        mix: maps ``[B', C, grid, grid]`` to the same shape.

    Returns:
        ``[B, C, H, W]``.
    """
    return _from_native(mix(_to_native(x, grid, rule)), x, grid, rule)


@fx_leaf
def _to_native(x: Tensor, grid: int, rule: str) -> Tensor:
    """``[B, C, H, W]`` to ``[B', C, grid, grid]``."""
    if _is_native(x, grid):
        return x
    if rule == 'resize':
        return resize_bicubic(x, (grid, grid))
    x = pad_to_multiple(x, grid)
    rows, columns = (side // grid for side in spatial_shape(x))
    batch, channels = x.shape[:2]
    tiles = x.permute(0, 2, 3, 1).unflatten(2, (columns, grid)).unflatten(1, (rows, grid)).transpose(2, 3)
    # Always copy: asking whether a view suffices fixes sizes in a traced graph.
    tiles = tiles.clone(memory_format=torch.contiguous_format).view(batch * rows * columns, grid, grid, channels)
    return tiles.permute(0, 3, 1, 2)


@fx_leaf
def _from_native(mixed: Tensor, x: Tensor, grid: int, rule: str) -> Tensor:
    """``[B', C, grid, grid]`` to the size of ``x``: the inverse of :func:`_to_native`."""
    if _is_native(x, grid):
        return mixed
    height, width = spatial_shape(x)
    if rule == 'resize':
        return resize_bicubic(mixed, (height, width))
    rows, columns = ((side + grid - 1) // grid for side in (height, width))
    batch, channels = x.shape[:2]
    mixed = mixed.permute(0, 2, 3, 1).unflatten(0, (batch, rows, columns)).transpose(2, 3)
    mixed = mixed.clone(memory_format=torch.contiguous_format).view(batch, rows * grid, columns * grid, channels)
    return crop(mixed.permute(0, 3, 1, 2), 0, 0, height, width)


def _is_native(x: Tensor, grid: int) -> bool:
    return all(known_equal(side, grid) for side in spatial_shape(x))
