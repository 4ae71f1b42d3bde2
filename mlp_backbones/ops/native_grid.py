"""Token mixers of a fixed grid on maps of any size."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .pad import crop, pad_to_multiple, sides

SPATIAL_RULES = ('tile', 'resize')


def on_native_grid(x: Tensor, grid: int, rule: str, mix: Callable[[Tensor], Tensor]) -> Tensor:
    """Applies ``mix``, which takes maps of ``grid`` x ``grid`` alone, to a map of any size.

    A map of the native size is mixed as it is, under both rules.

    Args:
        x: ``[B, C, H, W]``.
        grid: side of the native grid, in positions.
        rule: ``'tile'``: zeros complete the map at the right and bottom to whole tiles, each is mixed alone, and what
            was added is cut off. ``'resize'``: bicubic interpolation to the native grid and, after mixing, back,
            as RaftMLP (arXiv 2108.04384) does with Mixer in a detector.
        mix: maps ``[B', C, grid, grid]`` to the same shape.

    Returns:
        ``[B, C, H, W]``.
    """
    height, width = sides(x)
    if not torch.compiler.is_compiling() and height == width == grid:
        return mix(x)
    if rule == 'resize':
        native = F.interpolate(x, (grid, grid), mode='bicubic')
        return F.interpolate(mix(native), (height, width), mode='bicubic')
    x = pad_to_multiple(x, grid)
    rows, columns = (side // grid for side in sides(x))
    batch, channels = x.shape[:2]
    tiles = x.permute(0, 2, 3, 1).unflatten(2, (columns, grid)).unflatten(1, (rows, grid)).transpose(2, 3)
    # Copied in any case: to ask whether a view would do fixes sizes in a traced graph.
    tiles = tiles.clone(memory_format=torch.contiguous_format).view(batch * rows * columns, grid, grid, channels)
    mixed = mix(tiles.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).unflatten(0, (batch, rows, columns)).transpose(2, 3)
    mixed = mixed.clone(memory_format=torch.contiguous_format).view(batch, rows * grid, columns * grid, channels)
    return crop(mixed.permute(0, 3, 1, 2), 0, 0, height, width)
