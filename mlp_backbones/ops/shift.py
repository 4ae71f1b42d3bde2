"""Spatial shifts: each group of channels moves by offsets of its own; zeros enter, or values come round the border."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from math import gcd

import torch
from torch import Tensor
from torch.nn import functional as F

from ..compat import is_compiling
from .adjoint import apply_linear
from .backends import select_implementation
from .capture import fx_leaf, is_captured, is_exporting, is_transformed, without_autocast
from .tensors import memory_format, wrap_index

# (channels, rows, columns): groups of channels that cover every channel once, and how far away each reads.
ChannelShifts = Sequence[tuple[slice, int, int]]
# Of more groups than these, one gather is faster than a copy of each.
MAX_COPIES = 16
# A depth-wise convolution of at most so many positions is faster than slices of each group.
MAX_POSITIONS = 25


@fx_leaf
def shift_channels(x: Tensor, shifts: ChannelShifts, wrap: bool = False) -> Tensor:
    """Let each group of channels read a number of rows and columns away.

    ``y[:, c, p, q] = x[:, c, p + rows(c), q + columns(c)]``. Outside the map that is zero, or with ``wrap`` the value
    that ``torch.roll`` has there. ShiftViT's shift, MS-MLP's roll and SpiralMLP's spiral differ only in their offsets.

    Args:
        x: ``[B, C, H, W]``, any memory format.
        shifts: ``(channels, rows, columns)`` of each group; the groups cover every channel once.
        wrap: read round the borders. Default False.

    Returns:
        ``[B, C, H, W]``, in the memory format of ``x`` outside of graphs.

    Raises:
        ValueError: if ``x`` is not 4-D, or the groups do not cover every channel once.
    """
    if x.ndim != 4 or not _cover_once(int(x.shape[1]), shifts):
        raise ValueError(
            f'shift_channels takes x of 4 dimensions [B, C, H, W] and groups that cover each of the C channels once; '
            f'got x {list(x.shape)} and groups {[channels for channels, _, _ in shifts]}'
        )
    return _shift(x, shifts, wrap)


def _cover_once(channels: int, shifts: ChannelShifts) -> bool:
    groups = [range(channels)[chosen] for chosen, _, _ in shifts]
    return sum(map(len, groups)) == channels == len(set().union(*groups))


def _in_order(channels: int, shifts: ChannelShifts) -> bool:
    """Return whether few groups lie side by side, as rolls take them."""
    covered = [c for group, _, _ in shifts for c in range(channels)[group]]
    return len(shifts) <= MAX_COPIES and covered == [*range(channels)]


@fx_leaf
def cycle_shift(x: Tensor, step_size: int, dim: int, dilation: int = 1) -> Tensor:
    """Move channel ``c`` by ``(c + S // 2) mod S - S // 2`` positions, ``S`` being the step size, times the dilation.

    ``y[:, c, p] = x[:, c, p + offset(c)]`` along ``dim``, zero outside. For step size 3 the offsets of the channels
    are 0, 1, -1, 0, 1, -1, ... Source: CycleMLP, arXiv 2107.10224, section 3.2.

    Args:
        x: ``[B, C, H, W]``, any memory format, which the result has, too.
        step_size: number of different offsets; 1 leaves all in place.
        dim: the axis to move along, 2 (H) or 3 (W).
        dilation: positions between neighbouring offsets. Default 1.

    Raises:
        ValueError: if ``x`` is not 4-D, ``step_size`` or ``dilation`` is below 1 or ``dim`` is not 2 or 3.
    """
    if x.ndim != 4 or step_size < 1 or dilation < 1 or dim not in (2, 3):
        raise ValueError(
            f'cycle_shift takes x of 4 dimensions [B, C, H, W], step_size >= 1, dilation >= 1 and dim 2 (H) or 3 (W); '
            f'got x of {x.ndim} dimensions, step_size={step_size}, dilation={dilation} and dim={dim}'
        )
    half = step_size // 2
    offsets = (((r + half) % step_size - half) * dilation for r in range(step_size))
    return _shift(x, _along(dim, ((slice(r, None, step_size), offset) for r, offset in enumerate(offsets))))


@fx_leaf
def cycle_linear(x: Tensor, weight: Tensor, bias: Tensor | None, step_size: int, dim: int, dilation: int = 1) -> Tensor:
    """Apply the cycle fully-connected layer: a point-wise linear map after :func:`cycle_shift`.

    ``y[o, p] = bias[o] + sum_c weight[o, c] * x[c, p + offset(c)]``. Source: CycleMLP, arXiv 2107.10224, section 3.2.

    Args:
        x: ``[B, C_in, H, W]``.
        weight, bias: of a 1x1 convolution, ``[C_out, C_in, 1, 1]`` and ``[C_out]`` or None.
        step_size, dim, dilation: see :func:`cycle_shift`.

    Returns:
        ``[B, C_out, H, W]``.
    """
    if select_implementation('cycle_linear', x) == 'triton':
        from . import triton  # optional: only when it is selected

        offsets = triton.cycle_offsets(x.shape[1], step_size, x.device) * dilation
        return triton.shift_linear(x, weight, bias, offsets, dim)
    return F.conv2d(cycle_shift(x, step_size, dim, dilation), weight, bias)


@fx_leaf
def axial_shift(x: Tensor, shift_size: int, dim: int, dilation: int = 1) -> Tensor:
    """Move group ``g`` of the channels by ``(g - s // 2) * dilation`` positions toward larger indices.

    The channels are cut in ``s`` groups of ``ceil(C / s)``; the last ones may be smaller, or empty. Zeros
    enter. Source: AS-MLP, arXiv 2107.08391, section 3.2.

    Args:
        x: ``[B, C, H, W]``, any memory format, which the result has, too.
        shift_size: number of groups ``s``, odd; 1 leaves all in place.
        dim: the axis to move along, 2 (H) or 3 (W).
        dilation: positions between the offsets of neighbouring groups. Default 1.

    Raises:
        ValueError: if ``x`` is not 4-D, ``shift_size`` is even or below 1, ``dilation`` is below 1 or ``dim`` is not
            2 or 3.
    """
    if x.ndim != 4 or shift_size < 1 or shift_size % 2 == 0 or dilation < 1 or dim not in (2, 3):
        raise ValueError(
            f'axial_shift takes x of 4 dimensions [B, C, H, W], an odd shift_size >= 1, dilation >= 1 and dim 2 (H) or '
            f'3 (W); got x of {x.ndim} dimensions, shift_size={shift_size}, dilation={dilation} and dim={dim}'
        )
    width = -(-x.shape[1] // shift_size)
    shifts = ((slice(g * width, (g + 1) * width), (shift_size // 2 - g) * dilation) for g in range(shift_size))
    return _shift(x, _along(dim, shifts))


@fx_leaf
def axial_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, shift_size: int, dim: int, dilation: int = 1
) -> Tensor:
    """Apply a point-wise linear map after :func:`axial_shift`. Source: AS-MLP, arXiv 2107.08391, section 3.2.

    Args:
        x: ``[B, C_in, H, W]``.
        weight, bias: of a 1x1 convolution, ``[C_out, C_in, 1, 1]`` and ``[C_out]`` or None.
        shift_size, dim, dilation: see :func:`axial_shift`.

    Returns:
        ``[B, C_out, H, W]``.

    Raises:
        ValueError: as :func:`axial_shift`.
    """
    if select_implementation('axial_linear', x) == 'triton':
        from . import triton

        offsets = triton.axial_offsets(x.shape[1], shift_size, dilation, x.device)
        return triton.shift_linear(x, weight, bias, offsets, dim)
    return F.conv2d(axial_shift(x, shift_size, dim, dilation), weight, bias)


def _along(dim: int, offsets: Iterable[tuple[slice, int]]) -> ChannelShifts:
    return tuple((channels, *_rows_and_columns(dim, offset)) for channels, offset in offsets)


def _rows_and_columns(dim: int, offset: int) -> tuple[int, int]:
    return (offset, 0) if dim == 2 else (0, offset)


def _shift(x: Tensor, shifts: ChannelShifts, wrap: bool = False) -> Tensor:
    if is_captured() or is_transformed():
        return _shift_traceable(x, shifts, wrap)
    move = _copy_slices if len(shifts) <= MAX_COPIES else _gather
    back = tuple((channels, -rows, -columns) for channels, rows, columns in shifts)
    return apply_linear(x, partial(move, shifts=shifts, wrap=wrap), partial(move, shifts=back, wrap=wrap))


def _copy_slices(x: Tensor, shifts: ChannelShifts, wrap: bool) -> Tensor:
    y = torch.empty_like(x)
    for channels, rows, columns in shifts:
        _copy_moved(x[:, channels], y[:, channels], rows, columns, wrap)
    return y


def copy_shifted(source: Tensor, target: Tensor, dim: int, offset: int) -> None:
    """``target[..., p] = source[..., p + offset]`` along ``dim``, zero outside; both have one shape."""
    _copy_moved(source, target, *_rows_and_columns(dim, offset), wrap=False)


def move_zero_filled(x: Tensor, dim: int, offset: int) -> Tensor:
    """Return ``y[..., p] = x[..., p + offset]`` along ``dim``, zero outside, by operators that keep sizes open."""
    # Slices of what was padded: a negative padding would fail on maps that are smaller than the offset.
    sides = (0, 0) * (3 - dim) + (max(-offset, 0), max(offset, 0))
    return F.pad(x, sides).narrow(dim, max(offset, 0), x.shape[dim])


def _copy_moved(source: Tensor, target: Tensor, rows: int, columns: int, wrap: bool) -> None:
    runs = [list(_runs(source.shape[dim], offset, wrap)) for dim, offset in ((2, rows), (3, columns))]
    for (top, to_top, height), (left, to_left, width) in product(*runs):
        part = source.narrow(2, top, height).narrow(3, left, width)
        target.narrow(2, to_top, height).narrow(3, to_left, width).copy_(part)
    for dim, offset in () if wrap else ((2, rows), (3, columns)):
        gap = min(abs(offset), source.shape[dim])
        target.narrow(dim, source.shape[dim] - gap if offset > 0 else 0, gap).zero_()


def _runs(length: int, offset: int, wrap: bool) -> Iterator[tuple[int, int, int]]:
    """Yield (start in the source, start in the target, count) of neighbours that stay neighbours along one axis."""
    if wrap:
        offset = offset % max(length, 1)
        yield offset, 0, length - offset
        if offset:
            yield 0, length - offset, offset
    elif abs(offset) < length:
        yield max(offset, 0), max(-offset, 0), length - abs(offset)


def _gather(x: Tensor, shifts: ChannelShifts, wrap: bool) -> Tensor:
    """Read every value by its index, in one gather for all groups."""
    every = range(int(x.shape[1]))
    offsets = [(0, 0)] * len(every)
    for channels, rows, columns in shifts:
        for c in every[channels]:
            offsets[c] = rows, columns
    below, right = torch.tensor(offsets, dtype=torch.int64, device=x.device).T.unflatten(1, (-1, 1, 1))
    height, width = x.shape[2:]
    row = below + torch.arange(height, device=x.device)[:, None]
    column = right + torch.arange(width, device=x.device)
    if wrap:
        index = wrap_index(row, height) * width + wrap_index(column, width)
    else:
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        index = torch.where(inside, row * width + column, height * width)
    # Zero is behind the last position.
    if memory_format(x) == torch.channels_last:
        flat = F.pad(x.permute(0, 2, 3, 1).flatten(1, 2), (0, 0, 0, 1))
        index = index.permute(1, 2, 0).flatten(0, 1).expand(x.shape[0], -1, -1)
        return flat.gather(1, index).unflatten(1, (height, width)).permute(0, 3, 1, 2)
    index = index.flatten(1).expand(x.shape[0], -1, -1)
    return F.pad(x.flatten(2), (0, 1)).gather(2, index).unflatten(2, (height, width))


def _shift_traceable(x: Tensor, shifts: ChannelShifts, wrap: bool) -> Tensor:
    """Compute the same with whole-tensor operators, which compilers fuse and exporters know; sizes stay open."""
    if wrap and is_compiling() and not is_exporting() and _in_order(int(x.shape[1]), shifts):
        return torch.cat([torch.roll(x[:, c], (-rows, -columns), (2, 3)) for c, rows, columns in shifts], 1)
    if len(shifts) > MAX_COPIES or wrap:
        return _gather(x, shifts, wrap)
    if is_exporting() or (is_compiling() and x.is_cpu):
        weight, padding, dilation = _one_hot_kernels(x, shifts)
        if weight[0].numel() <= MAX_POSITIONS:
            return _depthwise(x, weight, padding, dilation)
    max_rows, max_columns = max(abs(rows) for _, rows, _ in shifts), max(abs(columns) for _, _, columns in shifts)
    padded = F.pad(x, (max_columns, max_columns, max_rows, max_rows))
    y = x
    for channels, rows, columns in shifts:
        chosen = range(x.shape[1])[channels]
        if (rows or columns) and len(chosen):
            mask = torch.tensor([c in chosen for c in range(x.shape[1])], dtype=torch.bool, device=x.device)
            moved = padded
            for dim, largest, offset in ((2, max_rows, rows), (3, max_columns, columns)):
                moved = moved.narrow(dim, largest + offset, x.shape[dim]) if largest else moved
            y = torch.where(mask.view(-1, 1, 1), moved, y)
    return y


def _one_hot_kernels(x: Tensor, shifts: ChannelShifts) -> tuple[Tensor, list[int], list[int]]:
    """Return weights, padding and dilation of the depth-wise convolution that moves channels.

    Engines run it, and the point-wise map behind it, without changing the layout of the map between them; there are no
    borders to fill. Unlike a copy it spreads infinities.
    """
    every = range(int(x.shape[1]))
    dilation = [gcd(*offsets) or 1 for offsets in list(zip(*shifts, strict=True))[1:]]
    moves = {
        c: (rows // dilation[0], columns // dilation[1]) for chosen, rows, columns in shifts for c in every[chosen]
    }
    reach = [max(abs(move[axis]) for move in moves.values()) for axis in (0, 1)]
    positions = list(product(*(range(-side, side + 1) for side in reach)))
    ones = torch.tensor([[moves[c] == position for position in positions] for c in every], dtype=x.dtype)
    padding = [side * step for side, step in zip(reach, dilation, strict=True)]
    return ones.to(x.device).view(-1, 1, *(2 * side + 1 for side in reach)), padding, dilation


def _depthwise(x: Tensor, weight: Tensor, padding: list[int], dilation: list[int]) -> Tensor:
    with without_autocast(x.device.type):  # a shift has no precision of its own
        return F.conv2d(x, weight, padding=padding, dilation=dilation, groups=len(weight))
