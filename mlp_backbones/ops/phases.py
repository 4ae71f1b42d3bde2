"""Dilation of token mixers that have none of their own: they run on each of the interleaved maps."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..compat import is_compiling
from .capture import fx_leaf, is_captured
from .tensors import crop, memory_format, spatial_shape


def on_phases(x: Tensor, dilation: int, mix: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply ``mix`` to each of the ``dilation ** 2`` maps of every ``dilation``-th row and column of ``x``.

    The à trous algorithm (Holschneider et al. 1990; arXiv 1606.00915, section 3.1) for an operator of any kind. The
    last row and column are repeated until all of these maps have the same size, which the first one keeps:
    ``on_phases(x, d, mix)[:, :, ::d, ::d] == mix(x[:, :, ::d, ::d])``.

    Args:
        x: ``[B, C, H, W]``.
        dilation: rows and columns between neighbours, at least 1, with which this is ``mix(x)``.
        mix: maps ``[B * dilation ** 2, C, ~H / dilation, ~W / dilation]`` to the same shape.

    Returns:
        ``[B, C, H, W]``.
    """
    return mix(x) if dilation == 1 else _from_phases(mix(_to_phases(x, dilation)), x, dilation)


@fx_leaf
def _to_phases(x: Tensor, dilation: int) -> Tensor:
    batch, channels = x.shape[:2]
    rows, columns = ((side + dilation - 1) // dilation for side in spatial_shape(x))
    layout = memory_format(x)
    x = _repeat_last(_repeat_last(x, 2, rows * dilation), 3, columns * dilation)
    if not is_captured() and layout == torch.contiguous_format:
        phases = x.view(batch, channels, rows, dilation, columns, dilation).permute(0, 3, 5, 1, 2, 4)
        return phases.clone(memory_format=torch.contiguous_format).flatten(0, 2)
    phases = x.permute(0, 2, 3, 1).unflatten(2, (columns, dilation)).unflatten(1, (rows, dilation))
    # Always copy: asking whether a view suffices fixes sizes in a traced graph.
    phases = phases.permute(0, 2, 4, 1, 3, 5).clone(memory_format=torch.contiguous_format)
    return phases.view(batch * dilation**2, rows, columns, channels).permute(0, 3, 1, 2)


@fx_leaf
def _from_phases(phases: Tensor, x: Tensor, dilation: int) -> Tensor:
    """Interleave the maps of :func:`_to_phases` to one of the size of ``x``."""
    (batch, channels), (height, width) = x.shape[:2], spatial_shape(x)
    rows, columns = ((side + dilation - 1) // dilation for side in (height, width))
    mixed = phases.permute(0, 2, 3, 1).unflatten(0, (batch, dilation, dilation)).permute(0, 3, 1, 4, 2, 5)
    mixed = mixed.clone(memory_format=torch.contiguous_format)
    mixed = mixed.view(batch, rows * dilation, columns * dilation, channels).permute(0, 3, 1, 2)
    return crop(mixed, 0, 0, height, width)


def _repeat_last(x: Tensor, dim: int, length: int) -> Tensor:
    if not is_compiling() and x.shape[dim] == length:
        return x
    index = torch.arange(length, device=x.device)
    last = torch.scalar_tensor(x.shape[dim] - 1, dtype=index.dtype, device=x.device)
    return x.index_select(dim, torch.minimum(index, last))
