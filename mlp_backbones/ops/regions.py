"""Hierarchical rearrangement: runs of neighbours along one axis become channels, and come back."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from .adjoint import apply_linear
from .capture import fx_leaf, is_captured, is_exporting, is_transformed
from .tensors import memory_format, wrap_index


@fx_leaf
def fold_regions(x: Tensor, region_size: int, step: int, dim: int, neighbours_first: bool = False) -> Tensor:
    """Roll along ``dim``, then fold each run of ``region_size`` neighbours into the channels.

    With ``L`` the side along ``dim``, ``p`` the region size and ``r`` the tensor rolled by ``step`` toward larger
    indices, padded at its end around the circle (as often as needed) to a multiple of ``p``:
    ``y[:, c * p + k, g] = r[:, c, (g * p + k) mod L]``. Source: Hire-MLP, arXiv 2108.13341, section 3.2.

    Args:
        x: ``[B, C, H, W]``.
        region_size: neighbours in a region, at least 1.
        step: positions to roll by, at least 0.
        dim: the axis, 2 (H) or 3 (W).
        neighbours_first: fold into channel ``k * C + c`` instead, which copies whole positions in channels_last.
            Default False, the order of the published weights.

    Returns:
        ``[B, C * region_size, ceil(H / region_size), W]`` for ``dim`` 2, the like along W for ``dim`` 3; in the memory
        format of ``x``, or contiguous.

    Raises:
        ValueError: if ``x`` is not 4-D or another argument is out of range.
    """
    _check('fold_regions', x, region_size, step, dim)
    length = x.shape[dim]
    groups = (length + region_size - 1) // region_size
    if is_exporting():
        # Each side stays one symbol: reshaping would add conditions on it to the graph.
        starts = torch.arange(groups, device=x.device) * region_size - step
        parts = [x.index_select(dim, wrap_index(starts + k, length)) for k in range(region_size)]
        return torch.stack(parts, 1 if neighbours_first else 2).flatten(1, 2)
    if not (is_captured() or is_transformed()):
        layout = length, region_size, step, dim, neighbours_first
        return apply_linear(x, partial(_fold, layout=layout), partial(_fold_adjoint, layout=layout))
    step = _mod_static(step, length)
    if step:
        x = torch.cat((x.narrow(dim, length - step, step), x.narrow(dim, 0, length - step)), dim)
    # In this form a compiled graph does not depend on the padding.
    repeats = 2 if length >= region_size else region_size
    x = torch.cat([x] * repeats, dim).narrow(dim, 0, groups * region_size)
    return x.unflatten(dim, (-1, region_size)).movedim(dim + 1, 1 if neighbours_first else 2).flatten(1, 2)


@fx_leaf
def unfold_regions(
    x: Tensor, region_size: int, step: int, dim: int, length: int, neighbours_first: bool = False
) -> Tensor:
    """Invert :func:`fold_regions`: unfold, crop to ``length`` and roll back by ``step``.

    Args:
        x: ``[B, C * region_size, H', W']``.
        region_size, step, dim, neighbours_first: as given to :func:`fold_regions`.
        length: the side along ``dim`` before folding.

    Returns:
        ``[B, C, H, W]`` with ``length`` along ``dim``, in the memory format of ``x``, or contiguous.

    Raises:
        ValueError: if ``x`` is not 4-D, another argument is out of range, or the sizes do not go together.
    """
    _check('unfold_regions', x, region_size, step, dim)
    if not (is_captured() or is_transformed()):
        if -(-length // region_size) != x.shape[dim] or x.shape[1] % region_size:
            raise ValueError(
                f'unfold_regions takes what fold_regions gives: got x {list(x.shape)}, region_size={region_size}, '
                f'dim={dim} and length={length}'
            )
        layout = length, region_size, step, dim, neighbours_first
        return apply_linear(x, partial(_unfold, layout=layout), partial(_unfold_adjoint, layout=layout))
    x = _split(x, region_size, neighbours_first)
    if is_exporting():
        x = x.movedim(2, dim + 1).flatten(dim, dim + 1)
        return x.index_select(dim, wrap_index(torch.arange(length, device=x.device) + step, length))
    x = x.movedim(2, dim + 1).flatten(dim, dim + 1)
    step = _mod_static(step, length)
    if step == 0:
        # In two parts, as a plain crop would tie a compiled graph to whether there is anything to crop.
        return torch.cat((x.narrow(dim, 0, 1), x.narrow(dim, 1, length - 1)), dim)
    return torch.cat((x.narrow(dim, step, length - step), x.narrow(dim, 0, step)), dim)


def add_unfolded(
    y: Tensor, x: Tensor, scale: Tensor, region_size: int, step: int, dim: int, neighbours_first: bool = False
) -> Tensor:
    """Return ``y + scale * unfold_regions(x, ...)``; outside of graphs in place and in one pass over memory.

    Args:
        y: ``[B, C, H, W]``.
        x: ``[B, C * region_size, H', W']``.
        scale: ``[B, C, 1, 1]``.
        region_size, step, dim, neighbours_first: as given to :func:`fold_regions`.

    Raises:
        ValueError: if ``x`` is not 4-D or another argument is out of range.
    """
    _check('add_unfolded', x, region_size, step, dim)
    if is_captured():
        return y + scale * unfold_regions(x, region_size, step, dim, y.shape[dim], neighbours_first)
    for folded, flat, padding in _matching_views(x, y, y.shape[dim], region_size, step, dim, neighbours_first):
        if not padding:
            flat.addcmul_(folded, scale)
    return y


def region_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    region_size: int,
    step: int,
    dim: int,
    neighbours_first: bool = False,
) -> Tensor:
    """Apply a point-wise linear map after :func:`fold_regions`.

    In exported graphs that is a convolution whose stride is its kernel, for which nothing is transposed.

    Args:
        x: ``[B, C, H, W]``.
        weight, bias: of a 1x1 convolution, ``[C_out, C * region_size, 1, 1]`` and ``[C_out]`` or None.
        region_size, step, dim, neighbours_first: see :func:`fold_regions`.

    Returns:
        ``[B, C_out, H', W']``.
    """
    if not is_exporting():
        return F.conv2d(fold_regions(x, region_size, step, dim, neighbours_first), weight, bias)
    length = x.shape[dim]
    positions = torch.arange((length + region_size - 1) // region_size * region_size, device=x.device)
    x = x.index_select(dim, wrap_index(positions - step, length))
    kernel = _split(weight.flatten(1), region_size, neighbours_first).unsqueeze(5 - dim)
    return F.conv2d(x, kernel, bias, stride=tuple(kernel.shape[2:]))


def average_of_unfolded(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    region_size: int,
    dim: int,
    length: int,
    neighbours_first: bool = False,
) -> Tensor:
    """Compute the average over positions of ``unfold_regions(conv2d(x, weight, bias), ...)``, from averages of ``x``.

    Args:
        x: ``[B, K, H', W']``, what the last point-wise map of a branch reads.
        weight: ``[C * region_size, K, 1, 1]``.
        bias: ``[C * region_size]``.
        region_size, dim, neighbours_first: as given to :func:`fold_regions`.
        length: the side along ``dim`` before folding.

    Returns:
        ``[B, C]``; it does not depend on the step.
    """
    # Tensors, as a graph's sizes are symbols.
    groups, side = (torch.scalar_tensor(n, dtype=torch.float64, device=x.device) for n in (x.shape[dim], length))
    # Which neighbours of the last region are not padding.
    valid = torch.arange(region_size, device=x.device) < length - (x.shape[dim] - 1) * region_size
    average = x.mean((2, 3)) * (groups / side)
    without_last = average - x.select(dim, -1).mean(2) / side
    averages = F.linear(torch.stack((average, without_last)), weight.flatten(1))  # the weight is read once
    average, without_last = (_split(vectors, region_size, neighbours_first) for vectors in averages.unbind())
    share = (torch.where(valid, groups, groups - 1) / side).to(bias.dtype)
    bias = (_split(bias[None], region_size, neighbours_first) * share).sum(2)
    return torch.where(valid, average, without_last).sum(2) + bias


def _split(x: Tensor, region_size: int, neighbours_first: bool) -> Tensor:
    """``[B, C * region_size, ...]`` to ``[B, C, region_size, ...]``."""
    if neighbours_first:
        return x.unflatten(1, (region_size, -1)).movedim(1, 2)
    return x.unflatten(1, (-1, region_size))


def _empty(shape: Sequence[int], like: Tensor) -> Tensor:
    return torch.empty(tuple(shape), dtype=like.dtype, device=like.device, memory_format=memory_format(like))


Layout = tuple[int, int, int, int, bool]  # side, region size, step, axis, neighbours first


def _fold(x: Tensor, layout: Layout) -> Tensor:
    """Copy each position once; roll, pad and permute would each copy the whole map."""
    y = _folded(x, layout)
    for folded, flat, _ in _matching_views(y, x, *layout):
        folded.copy_(flat)
    return y


def _fold_adjoint(grad: Tensor, layout: Layout) -> Tensor:
    x = _flat(grad, layout)
    for folded, flat, padding in sorted(_matching_views(grad, x, *layout), key=lambda run: run[2]):
        flat.add_(folded) if padding else flat.copy_(folded)
    return x


def _unfold(x: Tensor, layout: Layout) -> Tensor:
    """Copy in the other direction."""
    y = _flat(x, layout)
    for folded, flat, padding in _matching_views(x, y, *layout):
        if not padding:
            flat.copy_(folded)
    return y


def _unfold_adjoint(grad: Tensor, layout: Layout) -> Tensor:
    x = _folded(grad, layout)
    for folded, flat, padding in _matching_views(x, grad, *layout):
        folded.zero_() if padding else folded.copy_(flat)
    return x


def _folded(flat: Tensor, layout: Layout) -> Tensor:
    """Allocate the folded map of ``flat``."""
    _, region_size, _, dim, _ = layout
    shape = list(flat.shape)
    shape[1], shape[dim] = shape[1] * region_size, -(-shape[dim] // region_size)
    return _empty(shape, flat)


def _flat(folded: Tensor, layout: Layout) -> Tensor:
    """Allocate the unfolded map of ``folded``."""
    length, region_size, _, dim, _ = layout
    shape = list(folded.shape)
    shape[1], shape[dim] = shape[1] // region_size, length
    return _empty(shape, folded)


def _matching_views(
    folded: Tensor, flat: Tensor, length: int, region_size: int, step: int, dim: int, neighbours_first: bool
) -> Iterator[tuple[Tensor, Tensor, bool]]:
    """Yield pairs of views that hold the same values, and whether they pad the last region.

    A pair has the k-th neighbours of successive regions: positions ``region_size`` apart.
    """
    folded = _split(folded, region_size, neighbours_first)
    groups = folded.shape[dim + 1]
    for k in range(region_size):
        group = 0
        while group < groups:
            index = group * region_size + k
            position, padding = (index - step) % length, index >= length
            # A run ends at the end of the map, and where padding begins.
            end = min(length - position, length - index if not padding else length)
            count = min(groups - group, -(-end // region_size))
            chosen = slice(position, position + (count - 1) * region_size + 1, region_size)
            yield (
                folded[:, :, k].narrow(dim, group, count),
                flat[:, :, chosen] if dim == 2 else flat[..., chosen],
                padding,
            )
            group += count


def _mod_static(step: int, length: int) -> int:
    # A comparison binds a compiled graph less than a remainder.
    return step if step < length else step % length


def _check(name: str, x: Tensor, region_size: int, step: int, dim: int) -> None:
    if x.ndim != 4 or region_size < 1 or step < 0 or dim not in (2, 3):
        raise ValueError(
            f'{name} takes x of 4 dimensions [B, C, H, W], region_size >= 1, step >= 0 and dim 2 (H) or 3 (W); '
            f'got x of {x.ndim} dimensions, region_size={region_size}, step={step} and dim={dim}'
        )
