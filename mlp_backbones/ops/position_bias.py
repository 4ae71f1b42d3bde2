"""Position biases of attention, learned on a fixed grid, on maps of any size."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..compat import known_equal
from .capture import fx_leaf, without_autocast
from .resize import bicubic_matrix, by_products, interpolate_axes
from .tensors import spatial_shape


@fx_leaf
def resize_position_bias(x: Tensor, bias: Tensor, reduction: int, dilation: int = 1) -> Tensor:
    """Interpolate a bias for the positions of ``x`` and of the map that is ``reduction`` times coarser.

    Bicubic, first over the positions of the queries, then over those of the keys. The bias of a map of the native size
    stays as it is.

    Args:
        x: ``[B, C, H, W]``, of which only the size counts; with a dilation larger.
        bias: ``[heads, g**2, h**2]``, for a map of ``g`` x ``g`` positions and a coarser one of ``h`` x ``h``.
        reduction: the coarser map of ``x`` has ``ceil(H / reduction)`` x ``ceil(W / reduction)`` positions.
        dilation: H and W are the sides of the map of every ``dilation``-th row and column of ``x``. Default 1.

    Returns:
        ``[heads, H * W, ceil(H / reduction) * ceil(W / reduction)]``.
    """
    grid, coarse = (round(int(n) ** 0.5) for n in bias.shape[1:])
    size = [(side + dilation - 1) // dilation for side in spatial_shape(x)] if dilation > 1 else spatial_shape(x)
    if all(known_equal(side, grid) for side in size):
        return bias
    height, width = ((side + reduction - 1) // reduction for side in size)
    if not by_products(bias):
        maps = bias.transpose(1, 2).unflatten(2, (grid, grid))
        bias = F.interpolate(maps, (size[0], size[1]), mode='bicubic').flatten(2).transpose(1, 2)
        return F.interpolate(bias.unflatten(2, (coarse, coarse)), (height, width), mode='bicubic').flatten(2)
    table = bias.to(torch.promote_types(bias.dtype, torch.float32))
    rows, columns = bicubic_matrix(grid, size[0], table), bicubic_matrix(grid, size[1], table)
    table = interpolate_axes(table.unflatten(1, (grid, grid)), rows, columns).flatten(1, 2)
    with without_autocast(table.device.type):
        # Both axes at once, as they are short.
        rows, columns = bicubic_matrix(coarse, height, table), bicubic_matrix(coarse, width, table)
        keys = (rows[:, None, :, None] * columns[:, None]).flatten(2).flatten(0, 1)
        return (table @ keys.T).to(bias.dtype)
