"""Spatial shifts: each group of channels moves along one axis, zeros enter, and values that leave are lost."""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from .adjoint import apply_linear
from .backends import select_implementation
from .capture import fx_leaf, is_captured, is_transformed

ChannelShifts = tuple[tuple[slice, int], ...]  # (channels, offset) pairs that cover every channel once


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
    return _shift(x, tuple((slice(r, None, step_size), offset) for r, offset in enumerate(offsets)), dim)


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
    return _shift(x, tuple(shifts), dim)


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


def _shift(x: Tensor, shifts: ChannelShifts, dim: int) -> Tensor:
    if is_captured() or is_transformed():
        return _shift_traceable(x, shifts, dim)
    back = tuple((channels, -offset) for channels, offset in shifts)
    return apply_linear(x, partial(_copy_slices, shifts=shifts, dim=dim), partial(_copy_slices, shifts=back, dim=dim))


def _copy_slices(x: Tensor, shifts: ChannelShifts, dim: int) -> Tensor:
    y = torch.empty_like(x)
    for channels, offset in shifts:
        copy_shifted(x[:, channels], y[:, channels], dim, offset)
    return y


def copy_shifted(source: Tensor, target: Tensor, dim: int, offset: int) -> None:
    """``target[..., p] = source[..., p + offset]`` along ``dim``, zero outside; both have one shape."""
    length = source.shape[dim]
    offset = max(-length, min(offset, length))
    gap, overlap = abs(offset), length - abs(offset)
    target.narrow(dim, max(-offset, 0), overlap).copy_(source.narrow(dim, max(offset, 0), overlap))
    target.narrow(dim, overlap if offset > 0 else 0, gap).zero_()


def _shift_traceable(x: Tensor, shifts: ChannelShifts, dim: int) -> Tensor:
    """Compute the same with whole-tensor operators, which compilers fuse and exporters know; sizes stay open."""
    max_offset = max(abs(offset) for _, offset in shifts)
    padded = F.pad(x, (max_offset, max_offset) if dim == 3 else (0, 0, max_offset, max_offset))
    y = x
    for channels, offset in shifts:
        chosen = range(x.shape[1])[channels]
        if offset and len(chosen):
            mask = torch.tensor([c in chosen for c in range(x.shape[1])], dtype=torch.bool, device=x.device)
            y = torch.where(mask.view(-1, 1, 1), padded.narrow(dim, max_offset + offset, x.shape[dim]), y)
    return y
