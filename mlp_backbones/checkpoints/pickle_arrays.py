"""Build tensors and numpy arrays from the parts that a pickle names; each function checks all its arguments."""

import re
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import printable
from .pickle_limits import (
    MAX_EXPANDED,
    BrokenFileError,
    Limits,
    UnsafeFileError,
    is_count,
    is_own,
    is_shape,
    shape_text,
)

# The arguments of these functions come from a file: their types are what the functions check.


@dataclass
class Storage:
    """Memory that tensors share."""

    memory: Tensor  # bytes, uint8
    dtype: torch.dtype
    numel: int
    start: int = 0  # number of elements before the first one


class PendingArray:
    """An array that has no values yet."""


# Tensors


def tensor_v3(
    limits: Limits, storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *metadata: Any
) -> Tensor:
    """Build a tensor on top of a storage, and never let torch enlarge the storage."""
    if hooks:
        raise UnsafeFileError('it holds a tensor with hooks')
    if not is_own(storage, Storage) or not isinstance(dtype, torch.dtype):
        raise BrokenFileError('it holds a tensor without a storage')
    if not (is_count(offset) and is_shape(size) and is_shape(stride) and len(size) == len(stride)):
        raise BrokenFileError('it holds a tensor of impossible shape')
    numel, itemsize = prod(size), dtype.itemsize
    room = storage.numel * storage.dtype.itemsize // itemsize
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if numel else offset - 1
    if last >= room or (numel == 0 and max(size) > room + (1 << 20)):
        raise BrokenFileError(f'it holds a tensor of {shape_text(size)} that is larger than its storage of {room:,}')
    if numel > room and numel * itemsize > MAX_EXPANDED:
        raise UnsafeFileError(f'its tensor of {shape_text(size)} repeats the values of a storage of {room:,}')
    limits.show(size, dtype)
    start = storage.start * storage.dtype.itemsize
    if start % itemsize:
        raise BrokenFileError('it holds a tensor that begins inside of an element')
    memory = storage.memory.untyped_storage()
    tensor = torch.empty(0, dtype=dtype).set_(memory, start // itemsize + offset, size, stride)
    return _view(tensor.requires_grad_() if grad is True else tensor, *metadata)


def tensor_v2(
    limits: Limits, storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, *metadata: Any
) -> Tensor:
    return tensor_v3(limits, storage, offset, size, stride, grad, hooks, getattr(storage, 'dtype', None), *metadata)


def tensor_v1(limits: Limits, storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    return tensor_v2(limits, storage, offset, size, stride, False, None)


def _view(tensor: Tensor, metadata: Any = None) -> Tensor:
    """Return the tensor as conjugate or negative view; torch marks these in its metadata."""
    if not metadata:
        return tensor
    if type(metadata) is not dict or set(metadata) - {'conj', 'neg'}:
        raise BrokenFileError('it holds a tensor with unknown metadata')
    tensor = tensor.conj() if metadata.get('conj') is True else tensor
    return torch.ops.aten._neg_view(tensor) if metadata.get('neg') is True else tensor


def parameter(_: Limits, data: Any, grad: Any, hooks: Any, state: Any = None) -> nn.Parameter:
    if hooks:
        raise UnsafeFileError('it holds a tensor with hooks')
    if not isinstance(data, Tensor):
        raise BrokenFileError('it holds a parameter without a tensor')
    made = nn.Parameter(data.detach(), grad is True)
    if state:
        set_attributes(made, state)
    return made


def device_tensor(limits: Limits, data: Any, dtype: Any, device: Any, grad: Any) -> Tensor:
    """Build a tensor of a TPU and the like, saved as an array or as a tensor on the CPU."""
    tensor = torch.from_numpy(data) if isinstance(data, np.ndarray) else data
    if not isinstance(tensor, Tensor) or not isinstance(dtype, torch.dtype):
        raise BrokenFileError('it holds a tensor without values')
    limits.show(tensor.shape, dtype)
    if tensor.dtype != dtype:
        limits.copy_bytes(tensor.numel() * dtype.itemsize)
    tensor = tensor.detach().to(dtype)
    return tensor.requires_grad_() if grad is True else tensor


def torch_size(_: Limits, size: Any = ()) -> torch.Size:
    if not is_shape(size):
        raise BrokenFileError('it holds an impossible size')
    return torch.Size(size)


def set_attributes(target: Any, state: Any) -> None:
    """Set attributes that the class of the target does not have, and that no protocol of Python or numpy looks for."""
    if type(state) is not dict or not all(type(key) is str for key in state):
        raise BrokenFileError(f'it gives a {type(target).__name__} attributes without names')
    for key, value in state.items():
        if hasattr(type(target), key) or is_special(key):
            raise UnsafeFileError(f'it replaces {printable(key, 50)} of an object of type {type(target).__name__}')
        target.__dict__[key] = value


def is_special(name: str) -> bool:
    """Return whether Python or a library gives an attribute of this name a meaning.

    With ``__array_interface__``, for instance, numpy reads memory at an address that the file chooses.
    """
    return name.startswith('__') and name.endswith('__')


# Numpy


def numpy_dtype(_: Limits, code: Any, *flags: object) -> np.dtype:
    code = code.decode() if type(code) is bytes else code
    if not re.fullmatch(r'[<>=|]?(\?|b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SUV]\d{1,9}|[mM]8)', code):
        raise UnsafeFileError(f'it holds a numpy array of {printable(code, 50)}, only plain numbers and text are read')
    return np.dtype(code)


def finish_dtype(_: Limits, dtype: np.dtype, state: Any) -> np.dtype:
    if type(state) is not tuple or len(state) < 5:
        raise BrokenFileError('it holds a numpy array of unknown type')
    order, inner, names, fields = state[1:5]
    if any(part is not None for part in (inner, names, fields)):
        raise UnsafeFileError('it holds a structured numpy array; only plain numbers and text are read')
    if dtype.kind in 'mM' and len(state) == 9:
        unit, number = state[8][1][:2]
        unit = unit.decode() if type(unit) is bytes else unit
        if not re.fullmatch('Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as|generic', unit) or not 0 < number < 1 << 31:
            raise BrokenFileError('it holds times of an unknown unit')
        dtype = dtype if unit == 'generic' else np.dtype(f'{dtype.kind}8[{number}{unit}]')
    order = order.decode() if type(order) is bytes else order
    if order not in ('<', '>', '|', '='):
        raise BrokenFileError('it holds a numpy array of unknown byte order')
    return dtype.newbyteorder(order)


def finish_array(limits: Limits, _: PendingArray, state: Any) -> np.ndarray:
    if type(state) is not tuple:
        raise BrokenFileError('it holds an array without values or type')
    _, shape, dtype, is_fortran, data = state
    return array_from_bytes(limits, data, dtype, shape, 'F' if is_fortran else 'C')


def array_from_bytes(_: Limits, data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    data = data.encode('latin1') if type(data) is str else data
    if type(data) not in (bytes, bytearray) or not isinstance(dtype, np.dtype):
        raise BrokenFileError('it holds an array without values or type')
    shape = (shape,) if type(shape) is int else shape
    if not is_shape(shape) or len(shape) > 32 or order not in ('C', 'F'):
        raise BrokenFileError('it holds an array of impossible shape')
    if prod(shape) * dtype.itemsize != len(data) or max((prod(shape), *shape)) > len(data) + 100_000:
        raise BrokenFileError(f'it holds an array of {shape_text(shape)} with {len(data):,} bytes')
    if dtype.kind == 'b' and max(data, default=0) > 1:
        raise BrokenFileError('it holds a boolean that is neither true nor false')
    # A copy: an array on top of bytes could not be written to.
    array = np.ndarray(shape, dtype, bytearray(data), order=order)
    if dtype.kind == 'U' and data:
        letters = np.frombuffer(data, np.dtype('u4').newbyteorder(dtype.byteorder))
        if letters.max() > 0x10FFFF:
            raise BrokenFileError('it holds an array of text that is not Unicode')
    return array if dtype.isnative else array.astype(dtype.newbyteorder('='))


def numpy_scalar(limits: Limits, dtype: Any, data: Any) -> object:
    return array_from_bytes(limits, data, dtype, (), 'C')[()]
