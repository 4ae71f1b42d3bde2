"""Gather the neighbours that a cycle fully-connected layer reads, so that its product needs no shift."""

from functools import partial

import torch
from torch import Tensor

from .adjoint import apply_linear
from .capture import is_captured
from .shift import copy_shifted, move_zero_filled

Part = tuple[slice, int, int]  # channels of x, axis, offset


def gather_neighbours(x: Tensor, step_size: int, dilation: int = 1) -> Tensor:
    """Concatenate ``x`` and the channels that :func:`cycle_shift` moves, shifted along W, then along H.

    With ``n`` the number of channels that move (``c mod S`` not 0, ``S`` the step size) these are ``C + 2 n`` channels:
    all of ``x``, then class by class ``c mod S = 1, 2, ...`` those moved along W, then those along H. For step size 3
    that is 2.33 times the width of ``x``.

    Args:
        x: ``[B, C, H, W]``, any memory format.
        step_size: number of different offsets, at least 1.
        dilation: see :func:`cycle_shift`. Default 1.

    Returns:
        ``[B, C + 2 n, H, W]`` in channels_last.
    """
    if is_captured():
        return _gather_traceable(x, step_size, dilation)
    parts = tuple((chosen, dim, dilation * o) for chosen, dim, o in _shifted_classes(x.shape[1], step_size))
    return apply_linear(x, partial(_gather, parts=parts), partial(_scatter, parts=parts, channels=x.shape[1]))


def neighbour_weights(weight: Tensor, step_size: int, dim: int | None) -> Tensor:
    """Arrange the weights of a cycle fully-connected layer for the product with :func:`gather_neighbours`.

    ``conv2d(gather_neighbours(x, S), neighbour_weights(w, S, dim)) == cycle_linear(x, w, None, S, dim)``.

    Args:
        weight: ``[C_out, C, 1, 1]``.
        step_size: as given to :func:`gather_neighbours`.
        dim: the axis the layer moves along, 2 (H) or 3 (W); None for a layer without shifts.

    Returns:
        ``[C_out, C + 2 n, 1, 1]``, zero where the layer does not read.
    """
    stay = torch.ones(weight.shape[1], dtype=weight.dtype, device=weight.device)
    if dim is not None:
        stay = torch.zeros_like(stay)
        stay[::step_size] = 1
    parts = [weight * stay.view(-1, 1, 1)]
    for channels, axis, _ in _shifted_classes(weight.shape[1], step_size):
        part = weight[:, channels]
        parts.append(part if axis == dim else torch.zeros_like(part))
    return torch.cat(parts, 1)


def _shifted_classes(channels: int, step_size: int) -> tuple[Part, ...]:
    half = step_size // 2
    classes = range(1, min(step_size, channels))
    return tuple((slice(r, None, step_size), dim, (r + half) % step_size - half) for dim in (3, 2) for r in classes)


def _gather(x: Tensor, parts: tuple[Part, ...]) -> Tensor:
    widths = [x[:, channels].shape[1] for channels, _, _ in parts]
    batch, _, height, width = x.shape
    y = x.new_empty((batch, height, width, x.shape[1] + sum(widths))).permute(0, 3, 1, 2)
    y[:, : x.shape[1]] = x
    for target, (channels, dim, offset) in zip(y[:, x.shape[1] :].split(widths, 1), parts, strict=True):
        copy_shifted(x[:, channels], target, dim, offset)
    return y


def _gather_traceable(x: Tensor, step_size: int, dilation: int) -> Tensor:
    parts = _shifted_classes(x.shape[1], step_size)
    moved = (move_zero_filled(x[:, chosen], dim, offset * dilation) for chosen, dim, offset in parts)
    return torch.cat((x, *moved), 1)


def _scatter(grad: Tensor, parts: tuple[Part, ...], channels: int) -> Tensor:
    """Add up slices, the adjoint of :func:`_gather`; autograd would allocate a full tensor for each."""
    x = grad[:, :channels].clone(memory_format=torch.channels_last)
    start = channels
    for chosen, dim, offset in parts:
        target = x[:, chosen]
        source = grad[:, start : start + target.shape[1]]
        start += target.shape[1]
        overlap = x.shape[dim] - abs(offset)
        if overlap > 0:
            target.narrow(dim, max(offset, 0), overlap).add_(source.narrow(dim, max(-offset, 0), overlap))
    return x
