"""Memory format, dtype, GELU and zero padding of one tensor; graphs that are captured keep their sizes open."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from ..compat import autocast_dtype, is_compiling, is_dynamo_compiling, known_equal
from .capture import fx_leaf, is_captured, is_exporting, is_transformed


def memory_format(x: Tensor) -> torch.memory_format:
    """Return channels_last for a map that is only channels_last, contiguous for all else."""
    channels_last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


@fx_leaf
def autocast_once(x: Tensor) -> Tensor:
    """Cast ``x`` as autocast would for the next product, so that several products read one copy.

    Outside of autocast, and in float64, which autocast does not change, ``x`` itself is returned.
    """
    # A compiler shares the casts by itself.
    dtype = None if is_compiling() or x.dtype == torch.float64 else autocast_dtype(x.device.type)
    return x if dtype is None else x.to(dtype)


@fx_leaf
def align_gradient(y: Tensor) -> Tensor:
    """Bring the gradient that arrives at ``y``, the result of a BatchNorm, to the strides of ``y``.

    torch's BatchNorm (2.11, CPU) mistakes the layout of one image's gradient if its strides of size 1 are others.
    """
    if y.requires_grad and not (is_captured() or is_transformed()):
        strides, layout = y.stride(), memory_format(y)
        y.register_hook(lambda grad: grad if grad.stride() == strides else grad.clone(memory_format=layout))
    return y


@fx_leaf
def gelu(x: Tensor) -> Tensor:
    """Apply GELU (exact, arXiv 1606.08415).

    On CPUs the fast kernel of torch (two to three times in bf16) takes only contiguous tensors: it gets a contiguous
    view of a channels_last map. The result has the memory format of ``x``.
    """
    if is_captured() or is_transformed() or memory_format(x) != torch.channels_last:
        return F.gelu(x)
    return F.gelu(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def gelu_(x: Tensor) -> Tensor:
    """Apply GELU as :func:`gelu` does, in place where neither a gradient nor a graph needs ``x``.

    The caller must be the only one that holds ``x``. A new tensor of a large map costs more than its GELU: the
    system zeroes its memory, page by page.
    """
    if isinstance(x, torch.fx.Proxy) or x.requires_grad or is_captured() or is_transformed():
        return gelu(x)
    torch.ops.aten.gelu_(x.permute(0, 2, 3, 1) if memory_format(x) == torch.channels_last else x)
    return x


@fx_leaf
def spatial_shape(x: Tensor) -> Sequence[int]:
    """Return height and width of ``[B, C, H, W]``, as numbers even under torch.jit.trace, which has tensors there."""
    return [int(side) for side in x.shape[2:]] if torch.jit.is_tracing() else x.shape[2:]


def wrap_index(index: Tensor, length: int) -> Tensor:
    """Return positions modulo a size, which may be a symbol of a traced graph."""
    # A tensor, as exporters refuse a remainder by a symbol.
    return index % torch.scalar_tensor(length, dtype=index.dtype, device=index.device)


def sym_max(a: int, b: int) -> int:
    """Return the maximum of two sizes, which may be symbols of a traced graph."""
    # Dynamo supports max of symbols, but not torch.sym_max of numbers; exporters fix sizes at max.
    return max(a, b) if is_dynamo_compiling() else cast(int, torch.sym_max(a, b))


@fx_leaf
def pad_end(x: Tensor, rows: int, columns: int) -> Tensor:
    """Append rows of zeros at the bottom and columns at the right of ``[B, C, H, W]``.

    ``x`` itself is returned where there is nothing to pad, as by the functions below.
    """
    return x if known_equal(rows, 0) and known_equal(columns, 0) else F.pad(x, (0, columns, 0, rows))


@fx_leaf
def crop(x: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Crop ``[B, C, H, W]`` to ``height`` rows from ``top`` on and ``width`` columns from ``left`` on."""
    if is_exporting():
        # A view would ask for its memory layout, which would fix sizes in a traced graph.
        rows, columns = (torch.arange(side, device=x.device) for side in (height, width))
        return x.index_select(2, top + rows).index_select(3, left + columns)
    if is_compiling():
        # Nor a view here; and also where nothing is cropped, a copy keeps compilers from computing what comes before it
        # anew for each reader of the result.
        x = torch.slice_copy(x.permute(0, 2, 3, 1), 1, top, top + height)
        return torch.slice_copy(x, 2, left, left + width).permute(0, 3, 1, 2)
    return x[:, :, top : top + height, left : left + width]


@fx_leaf
def pad_to_multiple(x: Tensor, divisor: int) -> Tensor:
    """Append zeros at the bottom and right of ``[B, C, H, W]`` until both sides are multiples of ``divisor``."""
    # In this form a traced graph sees that the new sides divide.
    return pad_end(x, *((side + divisor - 1) // divisor * divisor - side for side in x.shape[2:]))


@fx_leaf
def pad_to_least(x: Tensor, least: int) -> Tensor:
    """Append zeros at the bottom and right of ``[B, C, H, W]`` until no side is shorter than ``least``."""
    return pad_end(x, *(sym_max(least - side, 0) for side in spatial_shape(x))) if least > 1 else x
