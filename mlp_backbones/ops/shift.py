"""Spatial shifts: each group of channels moves along one axis, what enters is zero, what leaves is lost."""

import torch
from torch import Tensor
from torch.nn import functional as F

Moves = tuple[tuple[slice, int], ...]  # (channels, offset) pairs that cover every channel once


def cycle_shift(x: Tensor, step_size: int, dim: int) -> Tensor:
    """Moves channel ``c`` by ``(c + S // 2) mod S - S // 2`` positions, ``S`` being the step size.

    ``y[:, c, p] = x[:, c, p + offset(c)]`` along ``dim``, zero outside. For step size 3 the offsets of the channels
    are 0, 1, -1, 0, 1, -1, ... Source: CycleMLP, arXiv 2107.10224, section 3.2.

    Args:
        x: ``[B, C, H, W]``, any memory format.
        step_size: number of different offsets; 1 moves nothing.
        dim: the axis to move along, 2 (H) or 3 (W).

    Returns:
        ``[B, C, H, W]`` in the memory format of ``x``.

    Raises:
        ValueError: if ``x`` is not 4-D, ``step_size`` is below 1 or ``dim`` is not 2 or 3.
    """
    if x.ndim != 4 or step_size < 1 or dim not in (2, 3):
        raise ValueError(
            f'cycle_shift takes x of 4 dimensions [B, C, H, W], step_size >= 1 and dim 2 (H) or 3 (W); '
            f'got x of {x.ndim} dimensions, step_size={step_size} and dim={dim}'
        )
    half = step_size // 2
    moves = tuple((slice(r, None, step_size), (r + half) % step_size - half) for r in range(step_size))
    return _Shift.apply(x, moves, dim)


def cycle_linear(x: Tensor, weight: Tensor, bias: Tensor | None, step_size: int, dim: int) -> Tensor:
    """The cycle fully-connected layer: a point-wise linear map after :func:`cycle_shift`.

    ``y[o, p] = bias[o] + sum_c weight[o, c] * x[c, p + offset(c)]``. Source: CycleMLP, arXiv 2107.10224, section 3.2.

    Args:
        x: ``[B, C_in, H, W]``.
        weight: ``[C_out, C_in, 1, 1]``, the layout of a 1x1 convolution.
        bias: ``[C_out]`` or None.
        step_size: see :func:`cycle_shift`.
        dim: 2 (H) or 3 (W).

    Returns:
        ``[B, C_out, H, W]``.
    """
    return F.conv2d(cycle_shift(x, step_size, dim), weight, bias)


class _Shift(torch.autograd.Function):
    """The adjoint of a shift is the opposite shift; autograd's own backward of the slice copies is far slower."""

    @staticmethod
    def forward(ctx, x: Tensor, moves: Moves, dim: int) -> Tensor:
        ctx.moves, ctx.dim = moves, dim
        return _copy_slices(x, moves, dim)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        back = tuple((channels, -offset) for channels, offset in ctx.moves)
        return _Shift.apply(grad, back, ctx.dim), None, None


def _copy_slices(x: Tensor, moves: Moves, dim: int) -> Tensor:
    y = torch.zeros_like(x)
    for channels, offset in moves:
        kept = x.shape[dim] - abs(offset)
        if kept > 0:
            source = x[:, channels].narrow(dim, max(offset, 0), kept)
            y[:, channels].narrow(dim, max(-offset, 0), kept).copy_(source)
    return y
