"""Zero padding that leaves compiled and exported graphs free of sizes."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from .capture import fx_leaf


@fx_leaf
def sides(x: Tensor) -> Sequence[int]:
    """Height and width of ``[B, C, H, W]`` to reckon with; torch.jit.trace, which counters use, has tensors there."""
    return [int(side) for side in x.shape[2:]] if torch.jit.is_tracing() else x.shape[2:]


def larger(a: int, b: int) -> int:
    """``max`` of sizes that may be symbols of a traced graph, which a plain comparison would fix."""
    # Dynamo knows max of symbols, and gives up on torch.sym_max of numbers.
    return max(a, b) if torch.compiler.is_dynamo_compiling() else cast(int, torch.sym_max(a, b))


@fx_leaf
def pad_end(x: Tensor, rows: int, columns: int) -> Tensor:
    """Appends rows of zeros below and columns at the right of ``[B, C, H, W]``.

    Args:
        x: ``[B, C, H, W]``.
        rows: how many, at least 0.
        columns: how many, at least 0.

    Returns:
        ``[B, C, H + rows, W + columns]``; ``x`` itself where there is nothing to pad.
    """
    # In a traced graph the amounts are symbols, and a look at them would fix the size of the image.
    if torch.compiler.is_compiling() or rows or columns:
        return F.pad(x, (0, columns, 0, rows))
    return x


@fx_leaf
def crop(x: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """``height`` rows from ``top`` on and ``width`` columns from ``left`` on of ``[B, C, H, W]``."""
    if torch.compiler.is_compiling():
        # A slice is asked how it lies in memory, which would fix sizes in a traced graph.
        rows, columns = (torch.arange(side, device=x.device) for side in (height, width))
        return x.index_select(2, top + rows).index_select(3, left + columns)
    return x[:, :, top : top + height, left : left + width]


@fx_leaf
def pad_to_multiple(x: Tensor, divisor: int) -> Tensor:
    """Appends zeros below and at the right until both sides are multiples of ``divisor``.

    Args:
        x: ``[B, C, H, W]``.
        divisor: at least 1.

    Returns:
        ``[B, C, ~H, ~W]``; ``x`` itself where there is nothing to pad.
    """
    # In this form a traced graph sees that the new sides divide.
    return pad_end(x, *((side + divisor - 1) // divisor * divisor - side for side in x.shape[2:]))


@fx_leaf
def pad_to_least(x: Tensor, least: int) -> Tensor:
    """Appends zeros below and at the right until no side is shorter than ``least``.

    Args:
        x: ``[B, C, H, W]``.
        least: at least 1.

    Returns:
        ``[B, C, max(H, least), max(W, least)]``; ``x`` itself where there is nothing to pad.
    """
    return pad_end(x, *(larger(least - side, 0) for side in sides(x))) if least > 1 else x
