"""Rebuilds the data of a pickle without importing or calling anything that the pickle names.

Pickle is a small program for a stack machine. Python's own machine imports what the program names and calls it;
torch's ``weights_only`` calls a shorter list, with whatever arguments the program gives. This machine has one function
of its own for every name on its list, which checks its arguments, and it refuses all other names. It also bounds time,
memory and nesting by the size of the pickle, so that a small file cannot ask for much.
"""

import argparse
import datetime
import pathlib
import re
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import BinaryIO

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from ..errors import printable

MAX_DEPTH = 100  # levels; recursive code that prints, copies or hashes the data stays far below Python's own limit
_MAX_OPCODES = 4_000_000  # the largest state dict that a backbone can load takes about a tenth
_MAX_NODES = 10_000_000  # with shared objects counted wherever they appear
_MAX_ODD_KEYS = 10_000  # keys whose hashes a file can choose to collide
_MAX_LINE = 1_000  # characters of a name
# Bytes that tensors may show whatever their storage has: torch saves an expanded tensor as one value with strides of 0.
_MAX_EXPANDED = 1 << 27  # one tensor; the largest layer of a backbone has 90 MB
_MAX_EXPANDED_SUM = 1 << 30


class BrokenFileError(Exception):
    """A file is damaged, or not what it seems; the text is a clause without the file's name."""


class UnsafeFileError(Exception):
    """A file asks for what is not allowed; the text is a clause without the file's name."""


@dataclass
class Storage:
    """Memory that tensors share.

    Attributes:
        memory: bytes, a tensor of type uint8.
        dtype: type of the elements.
        start: number of elements before the first one. Default 0.
        numel: number of elements.
    """

    memory: Tensor
    dtype: torch.dtype
    numel: int
    start: int = 0


class Source:
    """A file that is read from its position to its end, and never asked for more than it holds."""

    def __init__(self, file: BinaryIO, left: int):
        self.file, self.left = file, left

    def read(self, count: int) -> bytes:
        if count > self.left:
            raise BrokenFileError(f'it ends {count - self.left:,} bytes early')
        self.left -= count
        data = self.file.read(count)
        if len(data) != count:
            raise BrokenFileError('it became shorter while it was read')
        return data

    def read_line(self) -> str:
        line = self.file.readline(min(_MAX_LINE, self.left))
        self.left -= len(line)
        if not line.endswith(b'\n'):
            raise BrokenFileError(f'it asks for a name of more than {_MAX_LINE:,} bytes, {printable(line[:20])}...')
        return _decode(line[:-1])


class _Node:
    """A container or object on the stack or in the memo, with what it holds."""

    __slots__ = ('depth', 'is_open', 'size', 'value')

    def __init__(self, value: object, depth: int = 0, size: int = 1):
        self.value, self.depth, self.size = value, depth, size
        # A container is filled right after it is made. Once the memo has handed it out it is closed: no object holds
        # itself, and depth and size of all that hold it stay true.
        self.is_open = True


@dataclass(frozen=True)
class _Name:
    """Something that the pickle may call: ``call`` is our own function for it."""

    name: str
    call: Callable[..., object]
    kind: type | None = None


class _Method:
    """Stands for a method of a log buffer; does nothing."""


class _PendingArray:
    """An array of which only the name has been read."""


_MARK = object()


class Unpickler:
    """Reads one pickle.

    Args:
        source: where the pickle begins.
        load_storage: gives the storage of a key, a type of elements, a number of elements and a view (key, start,
            number of elements) or None. Default None: there are no tensors.
        memory: size of the file in bytes; all tensors together may show eight times as much, and 1 GiB.
            Default 0.
    """

    def __init__(
        self,
        source: Source,
        load_storage: Callable[[str, torch.dtype, int, tuple | None], Storage] | None = None,
        memory: int = 0,
    ):
        self.source, self.load_storage = source, load_storage
        self.stack: list = []
        self.memo: dict[int, object] = {}
        self.size = source.left
        self.budget = 4 * source.left + 1_000  # elements and characters that may be copied
        self.viewed = 8 * memory + _MAX_EXPANDED_SUM  # bytes that tensors may show
        self.odd_keys = 0

    def load(self) -> object:
        """Read the pickle.

        Returns:
            Plain data and tensors.

        Raises:
            BrokenFileError: if it is cut short or not a pickle of protocol 2 or later.
            UnsafeFileError: if it asks for what is not allowed, or for more than its size can need.
        """
        read = self.source.read
        for _ in range(_MAX_OPCODES):
            opcode = read(1)[0]
            if opcode == 0x2E:  # STOP
                if len(self.stack) != 1:
                    raise BrokenFileError('its pickle ends with a wrong number of objects')
                return self._plain(self._pop())
            method = _OPCODES.get(opcode)
            if method is None:
                name = _REFUSED.get(opcode)
                if name:
                    raise UnsafeFileError(f'it uses {name}, which torch.save never writes')
                raise BrokenFileError(f'its pickle holds the unknown opcode {opcode:#04x}')
            try:
                method(self)
            except IndexError as error:
                raise BrokenFileError('its pickle takes more from the stack than there is') from error
        raise UnsafeFileError(f'its pickle has more than {_MAX_OPCODES:,} steps')

    # The stack

    def _push(self, value: object) -> None:
        self.stack.append(value)

    def _pop(self) -> object:
        item = self.stack.pop()
        if item is _MARK:
            raise BrokenFileError('its pickle takes a mark for an object')
        return item.value if type(item) is _Node else item

    def _pop_mark(self) -> list:
        stack = self.stack
        for idx in range(len(stack) - 1, -1, -1):
            if stack[idx] is _MARK:
                items = stack[idx + 1 :]
                del stack[idx:]
                return items
        raise BrokenFileError('its pickle lacks a mark')

    def _pop_count(self, count: int) -> list:
        items = self.stack[-count:]
        if len(items) != count or any(item is _MARK for item in items):
            raise IndexError
        del self.stack[-count:]
        return items

    def _wrap(self, build: Callable[[list], object], items: list) -> _Node:
        node = _Node(None)
        node.value = build(self._into(node, items))
        return node

    def _into(self, node: _Node, items: list) -> list:
        """Values of items of the stack, which are to lie inside of the node."""
        values, depth, size = [], node.depth, node.size
        for item in items:
            if type(item) is _Node:
                depth, size = max(depth, item.depth + 1), size + item.size
                item = item.value
            else:
                size += 1
            values.append(item)
        if depth > MAX_DEPTH:
            raise UnsafeFileError(f'its objects are nested more than {MAX_DEPTH} levels deep')
        if size > _MAX_NODES:
            raise UnsafeFileError(f'it repeats its objects more than {_MAX_NODES:,} times')
        node.depth, node.size = depth, size
        return values

    def _target(self, kinds: tuple[type, ...]) -> _Node:
        node = self.stack[-1]
        if type(node) is not _Node or not isinstance(node.value, kinds):
            raise BrokenFileError('its pickle fills what is no container')
        if not node.is_open:
            raise UnsafeFileError('it changes an object after its use, or holds an object that holds itself')
        return node

    def _plain(self, value: object) -> object:
        """The value, if it is data and not a name."""
        named = value if isinstance(value, _Name) else None
        if type(value) is tuple:
            named = next((v for v in value if isinstance(v, _Name)), None)
        if named:
            raise UnsafeFileError(f'it holds {named.name} itself, which is not data')
        if isinstance(value, _PendingArray | Storage):
            raise BrokenFileError('it holds an array without values, or a storage without a tensor')
        return value

    def _key(self, item: object) -> object:
        value = self._plain(item.value if type(item) is _Node else item)
        if type(value) is str or (type(value) is int and 0 <= value < 1 << 32):
            return value
        self.odd_keys += item.size if type(item) is _Node else 1
        if self.odd_keys > _MAX_ODD_KEYS:
            raise UnsafeFileError(f'more than {_MAX_ODD_KEYS:,} of its keys are neither text nor small numbers')
        try:
            hash(value)
        except TypeError as error:
            raise BrokenFileError(f'it uses a {type(value).__name__} as a key') from error
        return value

    def _charge(self, args: tuple) -> None:
        for arg in args:
            if isinstance(arg, str | bytes | bytearray | list | tuple | dict | set | frozenset | np.ndarray):
                self.budget -= arg.nbytes if isinstance(arg, np.ndarray) else len(arg)
        if self.budget < 0:
            raise UnsafeFileError('it copies its data again and again')

    # Opcodes

    def _proto(self) -> None:
        version = self.source.read(1)[0]
        if not 2 <= version <= 5:
            raise BrokenFileError(f'its pickle is of protocol {version}, expected 2 to 5')

    def _number(self, layout: str) -> int | float:
        return struct.unpack(layout, self.source.read(struct.calcsize(layout)))[0]

    def _push_number(self, layout: str) -> None:
        self._push(self._number(layout))

    def _long1(self) -> None:
        self._push(int.from_bytes(self.source.read(self.source.read(1)[0]), 'little', signed=True))

    def _data(self, layout: str) -> bytes:
        return self.source.read(self._number(layout))

    def _text(self, layout: str) -> None:
        self._push(_decode(self._data(layout)))

    def _bytes(self, layout: str) -> None:
        self._push(self._data(layout))

    def _string(self, layout: str) -> None:
        """A string of Python 2, text or bytes."""
        data = self._data(layout)
        try:
            self._push(data.decode())
        except UnicodeDecodeError:
            self._push(data)

    def _bytearray(self) -> None:
        self._push(bytearray(self._data('<Q')))

    def _frame(self) -> None:
        if self._number('<Q') > self.source.left:
            raise BrokenFileError('a frame of its pickle is longer than the file')

    def _empty(self, kind: Callable[[], object]) -> None:
        self._push(_Node(kind()))

    def _tuple(self, count: int | None = None) -> None:
        self._push(self._wrap(tuple, self._pop_mark() if count is None else self._pop_count(count)))

    def _frozenset(self) -> None:
        items = self._pop_mark()
        for item in items:
            self._key(item)
        self._push(self._wrap(frozenset, items))

    def _append(self, items: list) -> None:
        node = self._target((list, deque))
        node.value.extend(map(self._plain, self._into(node, items)))

    def _add_items(self) -> None:
        items = self._pop_mark()
        node = self._target((set,))
        for item in items:
            self._key(item)
        node.value.update(self._into(node, items))

    def _set_items(self, items: list) -> None:
        node = self._target((dict,))
        target = node.value
        if len(items) % 2:
            raise BrokenFileError('its pickle has a key without a value')
        put = OrderedDict.__setitem__ if isinstance(target, OrderedDict) else dict.__setitem__
        for item in items[::2]:
            self._key(item)
        values = iter(self._into(node, items))
        for key, value in zip(values, values, strict=True):
            if key in target:
                raise BrokenFileError(f'the key {printable(key, 50)} is there twice')
            put(target, key, self._plain(value))

    def _memoize(self, idx: int) -> None:
        if self.stack[-1] is _MARK:
            raise BrokenFileError('its pickle remembers a mark')
        self.memo[idx] = self.stack[-1]

    def _get(self, idx: int) -> None:
        if idx not in self.memo:
            raise BrokenFileError('its pickle recalls what it has not remembered')
        item = self.memo[idx]
        if type(item) is _Node:
            item.is_open = False
        self._push(item)

    def _global(self) -> None:
        self._find(self.source.read_line(), self.source.read_line())

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if type(module) is not str or type(name) is not str or len(module) + len(name) > _MAX_LINE:
            raise BrokenFileError('its pickle names something without a name')
        self._find(module, name)

    def _find(self, module: str, name: str) -> None:
        module = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}.get(module, module)
        full = f'{module}.{name}'
        full = _OLD_NAMES.get(full, full)
        if full.startswith('mmengine.logging.history_buffer.HistoryBuffer.'):
            self._push(_Method())
            return
        if full not in _NAMES:
            what = printable(full, 100)
            # Before 1.6, torch wrapped the class of a network in a reference ('module', class, ...).
            is_whole = not self.stack or self.stack[1:] == ['module']
            if full in _TENSOR_KINDS:
                raise UnsafeFileError(
                    f'it holds {_TENSOR_KINDS[full]} ({what}), which are not read; save it with ordinary tensors'
                )
            raise UnsafeFileError(
                f'it asks for {what}, which could run code; nothing of it was run. '
                + (
                    'Only files with tensors, plain containers, numpy arrays, paths, times, argparse.Namespace and '
                    'configs are read'
                    if not is_whole
                    else 'It is a whole object and not a dict of tensors; if it is a network, save its state_dict()'
                )
            )
        self._push(_NAMES[full])

    def _reduce(self) -> None:
        args, function = self._pop_count(1)[0], self._pop()
        if not isinstance(function, _Name):
            raise UnsafeFileError(f'it calls a {type(function).__name__}, which is data')
        if type(args) is not _Node or type(args.value) is not tuple:
            raise BrokenFileError(f'it calls {function.name} without a tuple of arguments')
        self._push(_Node(self._call(function, args.value), args.depth, args.size))

    def _call(self, function: _Name, args: tuple) -> object:
        if function.call is _not_called:
            raise UnsafeFileError(f'it calls {function.name}, which is only there as the name of a class')
        self._charge(args)
        try:
            return function.call(self, *args)
        except (UnsafeFileError, BrokenFileError, MemoryError):
            raise
        except Exception as error:
            raise BrokenFileError(f'it calls {function.name} with wrong arguments') from error

    def _persistent(self) -> None:
        pid = self._pop()
        kind = pid[0] if type(pid) is tuple and pid else None
        if kind != 'storage' or len(pid) not in (5, 6) or self.load_storage is None:
            raise BrokenFileError('it refers to storages in an unknown way')
        _, kind, key, _, numel, *view = pid
        if not isinstance(kind, _Name) or kind.name not in _STORAGES:
            raise BrokenFileError('it names a storage without a type')
        if type(key) is not str or not _is_count(numel):
            raise BrokenFileError('it names a storage without a key or a size')
        view = view[0] if view else None
        if view is not None and not (
            type(view) is tuple and len(view) == 3 and type(view[0]) is str and all(map(_is_count, view[1:]))
        ):
            raise BrokenFileError('it names a part of a storage in an unknown way')
        self._push(_Node(self.load_storage(key, _STORAGES[kind.name], numel, view)))

    def _build(self) -> None:
        item = self._pop_count(1)[0]
        node = self._target((object,))
        (state,) = self._into(node, [item])
        self._charge(state if type(state) is tuple else (state,))
        value = node.value
        try:
            if isinstance(value, np.dtype):
                node.value = _finish_dtype(value, state)
            elif type(value) is _PendingArray:
                _, shape, dtype, is_fortran, data = state
                node.value = _array(data, dtype, shape, 'F' if is_fortran else 'C')
            elif type(value) is argparse.Namespace:
                _set_attributes(value, state)
            elif type(value) is HistoryBuffer:
                _fill_buffer(value, state)
            elif type(value) is Config:
                _fill_config(value, state)
            elif type(value) is ConfigDict:
                pass  # the flags of a config node of yacs, such as that it is frozen
            elif isinstance(value, OrderedDict | Tensor):
                _set_attributes(value, state)
            else:
                raise BrokenFileError(f'it changes a {type(value).__name__}, which has no state')
        except (UnsafeFileError, BrokenFileError, MemoryError):
            raise
        except Exception as error:
            raise BrokenFileError(f'it gives a {type(value).__name__} a state that does not fit') from error

    # Tensors

    def tensor(
        self, storage: Storage, offset: int, size: tuple, stride: tuple, requires_grad: bool, dtype: torch.dtype
    ) -> Tensor:
        if not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype):
            raise BrokenFileError('it holds a tensor without a storage')
        size, stride = tuple(size), tuple(stride)
        if not all(map(_is_count, (offset, *size, *stride))) or len(size) != len(stride) or len(size) > 64:
            raise BrokenFileError('it holds a tensor of impossible shape')
        numel, itemsize = prod(size), dtype.itemsize
        room = storage.numel * storage.dtype.itemsize // itemsize
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if numel else offset - 1
        if last >= room or (offset > room and numel == 0) or (numel == 0 and max(size) > room + (1 << 20)):
            raise BrokenFileError(f'it holds a tensor of {_shape(size)} that is larger than its storage of {room:,}')
        if numel > room and numel * itemsize > _MAX_EXPANDED:
            raise UnsafeFileError(f'its tensor of {_shape(size)} repeats the values of a storage of {room:,}')
        self.show(size, dtype)
        start = storage.start * storage.dtype.itemsize
        if start % itemsize:
            raise BrokenFileError('it holds a tensor that begins inside of an element')
        tensor = torch.empty(0, dtype=dtype).set_(
            storage.memory.untyped_storage(), start // itemsize + offset, size, stride
        )
        return tensor.requires_grad_() if requires_grad is True else tensor

    def show(self, size: tuple, dtype: torch.dtype) -> None:
        """Count the bytes of a tensor, which may be more than its storage has: strides of 0 repeat values."""
        self.viewed -= prod(size) * dtype.itemsize
        if self.viewed < 0:
            raise UnsafeFileError(f'its tensors, such as one of {_shape(size)}, repeat values that the file lacks')


def _decode(data: bytes) -> str:
    try:
        return data.decode('utf-8', 'surrogatepass')
    except UnicodeDecodeError as error:
        raise BrokenFileError('it holds text that is not UTF-8') from error


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _shape(size: tuple) -> str:
    return printable(' x '.join(f'{n:,}' for n in size) or 'no dimensions', 80)


def _set_attributes(target: object, state: object) -> None:
    """Sets attributes that the class of the target does not have."""
    if type(state) is not dict or not all(type(key) is str for key in state):
        raise BrokenFileError(f'it gives a {type(target).__name__} attributes without names')
    for key, value in state.items():
        if hasattr(type(target), key) or (isinstance(target, OrderedDict) and key != '_metadata'):
            raise UnsafeFileError(f'it replaces {printable(key, 50)} of an object of type {type(target).__name__}')
        if key == '_metadata' and not (isinstance(value, dict) and all(isinstance(v, dict) for v in value.values())):
            raise BrokenFileError('the versions of its modules (_metadata) are not a dict of dicts')
        target.__dict__[key] = value


def _fill_buffer(buffer: HistoryBuffer, state: dict) -> None:
    history, count, length = state['_log_history'], state['_count_history'], state['max_length']
    if not (isinstance(history, np.ndarray) and isinstance(count, np.ndarray) and history.shape == count.shape):
        raise BrokenFileError('a log buffer of it has no values')
    if history.ndim != 1 or {history.dtype.kind, count.dtype.kind} - set('biuf') or not _is_count(length):
        raise BrokenFileError('a log buffer of it has no numbers')
    buffer._log_history, buffer._count_history, buffer.max_length = history, count, length


def _fill_config(config: Config, state: tuple) -> None:
    kinds = [ConfigDict, str | None, str | None, dict, bool, set]
    if not isinstance(state, tuple) or not 3 <= len(state) <= len(kinds) or not all(map(isinstance, state, kinds)):
        raise BrokenFileError('a config of it lacks its values')
    content, filename, text, *more = state
    names = '_cfg_dict', '_filename', '_text', '_env_variables', '_format_python_code', '_imported_names'
    config.__dict__.update(zip(names, (content, filename, text, *more), strict=False))


# Numpy


def _dtype(_: Unpickler, code: str, *flags: object) -> np.dtype:
    if type(code) is bytes:
        code = code.decode()
    if not re.fullmatch(r'[<>=|]?(\?|b1|[iu][1248]|f(2|4|8|12|16)|c(8|16|24|32)|[SUV]\d{1,9}|[mM]8)', code):
        raise UnsafeFileError(f'it holds a numpy array of {printable(code, 50)}, only plain numbers and text are read')
    return np.dtype(code)


def _finish_dtype(dtype: np.dtype, state: tuple) -> np.dtype:
    _, order, inner, names, fields, *_ = state
    if any(part is not None for part in (inner, names, fields)):
        raise UnsafeFileError('it holds a structured numpy array; only plain numbers and text are read')
    if dtype.kind in 'mM' and len(state) == 9:
        unit, number, *_ = state[8][1]
        unit = unit.decode() if type(unit) is bytes else unit
        if not re.fullmatch('Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as|generic', unit) or not 0 < number < 1 << 31:
            raise BrokenFileError('it holds times of an unknown unit')
        dtype = dtype if unit == 'generic' else np.dtype(f'{dtype.kind}8[{number}{unit}]')
    order = order.decode() if type(order) is bytes else order
    if order not in ('<', '>', '|', '='):
        raise BrokenFileError('it holds a numpy array of unknown byte order')
    return dtype.newbyteorder(order)


def _array(data: object, dtype: np.dtype, shape: tuple, order: str) -> np.ndarray:
    data = data.encode('latin1') if type(data) is str else data
    if type(data) not in (bytes, bytearray) or not isinstance(dtype, np.dtype):
        raise BrokenFileError('it holds an array without values or type')
    if type(shape) is int:
        shape = (shape,)
    if not all(map(_is_count, shape)) or order not in ('C', 'F') or len(shape) > 32:
        raise BrokenFileError('it holds an array of impossible shape')
    if prod(shape) * dtype.itemsize != len(data) or max((prod(shape), *shape)) > len(data) + 100_000:
        raise BrokenFileError(f'it holds an array of {_shape(shape)} with {len(data):,} bytes')
    if dtype.kind == 'b' and max(data, default=0) > 1:
        raise BrokenFileError('it holds a boolean that is neither true nor false')
    # A copy: an array on top of bytes could not be written to.
    array = np.ndarray(shape, dtype, bytearray(data), order=order)
    if dtype.kind == 'U' and dtype.itemsize and len(data):
        letters = np.frombuffer(data, np.dtype('u4').newbyteorder(dtype.byteorder))
        if letters.max() > 0x10FFFF:
            raise BrokenFileError('it holds an array of text that is not Unicode')
    return array if dtype.isnative else array.astype(dtype.newbyteorder('='))


def _scalar(_: Unpickler, dtype: np.dtype, data: object) -> object:
    return _array(data, dtype, (), 'C')[()]


def _from_buffer(_: Unpickler, data: object, dtype: np.dtype, shape: tuple, order: str) -> np.ndarray:
    return _array(data, dtype, shape, order)


def _reconstruct(_: Unpickler, kind: object, shape: object, code: object) -> _PendingArray:
    if not isinstance(kind, _Name) or kind.kind is not np.ndarray:
        raise UnsafeFileError('it makes an array of a class that is not an array')
    return _PendingArray()


# Torch


def _no_hooks(hooks: object) -> None:
    if hooks:
        raise UnsafeFileError('it holds a tensor with hooks')


def _tensor_v2(
    vm: Unpickler, storage: Storage, offset: int, size: tuple, stride: tuple, grad: bool, hooks: object, metadata=None
) -> Tensor:
    _no_hooks(hooks)
    return _view(vm.tensor(storage, offset, size, stride, grad, getattr(storage, 'dtype', None)), metadata)


def _tensor_v3(
    vm: Unpickler,
    storage: Storage,
    offset: int,
    size: tuple,
    stride: tuple,
    grad: bool,
    hooks: object,
    dtype: torch.dtype,
    metadata=None,
) -> Tensor:
    _no_hooks(hooks)
    return _view(vm.tensor(storage, offset, size, stride, grad, dtype), metadata)


def _tensor_v1(vm: Unpickler, storage: Storage, offset: int, size: tuple, stride: tuple) -> Tensor:
    return vm.tensor(storage, offset, size, stride, False, getattr(storage, 'dtype', None))


def _view(tensor: Tensor, metadata: object) -> Tensor:
    """The tensor as conjugate or negative view; torch marks these in its metadata."""
    if not metadata:
        return tensor
    if type(metadata) is not dict or set(metadata) - {'conj', 'neg'}:
        raise BrokenFileError('it holds a tensor with unknown metadata')
    tensor = tensor.conj() if metadata.get('conj') is True else tensor
    return torch._neg_view(tensor) if metadata.get('neg') is True else tensor


def _parameter(_: Unpickler, data: Tensor, grad: bool, hooks: object, state: object = None) -> nn.Parameter:
    _no_hooks(hooks)
    if not isinstance(data, Tensor):
        raise BrokenFileError('it holds a parameter without a tensor')
    parameter = nn.Parameter(data.detach(), grad is True)
    if state:
        _set_attributes(parameter, state)
    return parameter


def _typed_tensor(vm: Unpickler, function: object, kind: object, args: tuple, state: object) -> Tensor:
    if not isinstance(function, _Name) or function.call not in (_tensor_v1, _tensor_v2, _tensor_v3, _parameter):
        raise UnsafeFileError('it makes a tensor by other means than those of torch.save')
    if not isinstance(kind, _Name) or kind.kind not in (Tensor, nn.Parameter) or type(args) is not tuple:
        raise UnsafeFileError('it makes a tensor of a class that is not a tensor')
    tensor = vm._call(function, args)
    if kind.kind is nn.Parameter and not isinstance(tensor, nn.Parameter):
        tensor = nn.Parameter(tensor.detach(), tensor.requires_grad)
    if state:
        _set_attributes(tensor, state)
    return tensor


def _device_tensor(vm: Unpickler, data: object, dtype: torch.dtype, device: object, grad: bool) -> Tensor:
    """A tensor of a TPU and the like, saved as an array or as a tensor on the CPU."""
    tensor = torch.from_numpy(data) if isinstance(data, np.ndarray) else data
    if not isinstance(tensor, Tensor) or not isinstance(dtype, torch.dtype):
        raise BrokenFileError('it holds a tensor without values')
    vm.show(tensor.shape, dtype)
    tensor = tensor.detach().to(dtype)
    return tensor.requires_grad_() if grad is True else tensor


def _size(_: Unpickler, size: tuple = ()) -> torch.Size:
    if not all(map(_is_count, size)):
        raise BrokenFileError('it holds an impossible size')
    return torch.Size(size)


def _device(_: Unpickler, kind: str, idx: int | None = None) -> torch.device:
    if type(kind) is not str or len(kind) > 100:
        raise BrokenFileError('it holds a device without a name')
    return torch.device(kind) if idx is None else torch.device(kind, idx)


# Python


def _ordered(vm: Unpickler, items: list = ()) -> OrderedDict:
    return OrderedDict(_pairs(vm, items))


def _pairs(vm: Unpickler, items: object) -> dict:
    """The dict, or what a list of pairs of it holds; keys and values checked."""
    if isinstance(items, dict):
        return items
    if type(items) not in (list, tuple) or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in items):
        raise BrokenFileError('it holds a dict without pairs')
    if not all(type(key) in (str, int) for key, _ in items):
        raise BrokenFileError('it holds a dict with odd keys')
    return {key: vm._plain(value) for key, value in items}


def _default_dict(vm: Unpickler, factory: object = None, items: dict = ()) -> defaultdict:
    if factory is not None and not (isinstance(factory, _Name) and factory.kind in _FACTORIES):
        raise UnsafeFileError('it holds a defaultdict that could run code')
    return defaultdict(factory and factory.kind, _pairs(vm, items))


def _counter(vm: Unpickler, items: dict = ()) -> Counter:
    counter = Counter()
    dict.update(counter, _pairs(vm, items))
    return counter


def _config_dict(vm: Unpickler, items: dict = ()) -> ConfigDict:
    content = ConfigDict()
    dict.update(content, _pairs(vm, items))
    return content


def _config(_: Unpickler) -> Config:
    return Config()


def _history_buffer(_: Unpickler) -> HistoryBuffer:
    return HistoryBuffer()


def _deque(vm: Unpickler, items: list = (), maxlen: int | None = None) -> deque:
    if type(items) not in (list, tuple) or not (maxlen is None or _is_count(maxlen)):
        raise BrokenFileError('it holds a deque without items')
    return deque(map(vm._plain, items), maxlen)


def _collect(vm: Unpickler, items: list = (), kind: type = set) -> object:
    if type(items) not in (list, tuple):
        raise BrokenFileError(f'it holds a {kind.__name__} without items')
    if kind in (set, frozenset):
        for item in items:
            vm._key(_Node(item, size=_count(item)))
    return kind(map(vm._plain, items))


def _count(value: object) -> int:
    """Number of objects in nested tuples, where each may be there many times."""
    if type(value) is not tuple:
        return 1
    count = 1
    for item in value:
        count += _count(item)
        if count > _MAX_ODD_KEYS:
            break
    return count


def _encode(_: Unpickler, text: str, codec: str) -> bytes:
    if type(text) is not str or codec not in ('latin1', 'latin-1'):
        raise BrokenFileError('it holds bytes in an unknown form')
    return text.encode('latin1')


def _empty_bytes(_: Unpickler) -> bytes:
    return b''


def _byte_array(_: Unpickler, data: object = b'', codec: str = 'latin-1') -> bytearray:
    if type(data) is str:
        data = _encode(_, data, codec)
    if type(data) is not bytes:
        raise UnsafeFileError('it asks for a bytearray without bytes')
    return bytearray(data)


def _numbers(_: Unpickler, *args: object, kind: Callable[..., object]) -> object:
    """An object of Python's that is made of a few numbers, bytes or other such objects."""
    if not all(type(arg) in (int, float, bool, bytes, type(None), str, *_TIMES) for arg in args):
        raise BrokenFileError('it holds a number or time of other parts')
    if any(type(arg) in (bytes, str) and len(arg) > 20 for arg in args):
        raise BrokenFileError('it holds a time of impossible length')
    return kind(*args)


def _path(_: Unpickler, *parts: str, kind: type) -> pathlib.PurePath:
    if not all(type(part) is str for part in parts):
        raise BrokenFileError('it holds a path without text')
    return kind(*parts)


def _namespace(_: Unpickler) -> argparse.Namespace:
    return argparse.Namespace()


def _not_called(*_: object) -> None:
    """Stands for what a file may name and not call."""


def _method(_: Unpickler, thing: object, name: str) -> _Method:
    if not isinstance(thing, _Name) or thing.kind is not HistoryBuffer or type(name) is not str:
        raise UnsafeFileError('it asks for builtins.getattr, which could run code; nothing of it was run')
    return _Method()


_TIMES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone)
_FACTORIES = (list, dict, set, tuple, int, float, str, bool, OrderedDict, defaultdict, Counter, deque)

_STORAGES = {
    f'{module}.{name}Storage': dtype
    for module in ('torch', 'torch.cuda')
    for name, dtype in {
        'Float': torch.float32,
        'Double': torch.float64,
        'Half': torch.float16,
        'BFloat16': torch.bfloat16,
        'Long': torch.int64,
        'Int': torch.int32,
        'Short': torch.int16,
        'Char': torch.int8,
        'Byte': torch.uint8,
        'Bool': torch.bool,
        'ComplexFloat': torch.complex64,
        'ComplexDouble': torch.complex128,
    }.items()
} | {f'torch.storage.{name}': torch.uint8 for name in ('UntypedStorage', '_UntypedStorage')}

# Names of Python 2, which pickles of protocol 2 use to this day.
_OLD_NAMES = {'builtins.xrange': 'builtins.range', 'builtins.unicode': 'builtins.str', 'builtins.long': 'builtins.int'}

_TENSOR_KINDS = {
    'torch._utils._rebuild_sparse_tensor': 'sparse tensors',
    'torch._utils._rebuild_sparse_csr_tensor': 'sparse tensors',
    'torch._utils._rebuild_qtensor': 'quantized tensors',
    'torch._utils._rebuild_nested_tensor': 'nested tensors',
    'torch._utils._rebuild_meta_tensor_no_storage': 'tensors without values (on the meta device)',
    'torch._utils._rebuild_wrapper_subclass': 'tensors of a subclass',
    'torch.distributed.tensor.DTensor': 'tensors that are spread over several devices',
    'torch.distributed._tensor.api.DTensor': 'tensors that are spread over several devices',
    **{f'torch.{kind}Storage': 'quantized tensors' for kind in ('QInt8', 'QUInt8', 'QInt32', 'QUInt4x2', 'QUInt2x4')},
}

_CALLS: dict[str, tuple[Callable[..., object], type | None]] = {
    'collections.OrderedDict': (_ordered, OrderedDict),
    'collections.defaultdict': (_default_dict, defaultdict),
    'collections.Counter': (_counter, Counter),
    'collections.deque': (_deque, deque),
    'builtins.list': (partial(_collect, kind=list), list),
    'builtins.tuple': (partial(_collect, kind=tuple), tuple),
    'builtins.set': (partial(_collect, kind=set), set),
    'builtins.frozenset': (partial(_collect, kind=frozenset), frozenset),
    'builtins.dict': (_not_called, dict),
    'builtins.int': (_not_called, int),
    'builtins.float': (_not_called, float),
    'builtins.str': (_not_called, str),
    'builtins.bool': (_not_called, bool),
    'builtins.bytes': (_empty_bytes, None),
    'builtins.bytearray': (_byte_array, None),
    'builtins.complex': (partial(_numbers, kind=complex), None),
    'builtins.range': (partial(_numbers, kind=range), None),
    'builtins.slice': (partial(_numbers, kind=slice), None),
    'builtins.getattr': (_method, None),
    '_codecs.encode': (_encode, None),
    'argparse.Namespace': (_namespace, None),
    'yacs.config.CfgNode': (_config_dict, None),
    'mmengine.config.config.ConfigDict': (_config_dict, None),
    'mmengine.config.config.Config': (_config, None),
    'mmengine.logging.history_buffer.HistoryBuffer': (_history_buffer, HistoryBuffer),
    'numpy.dtype': (_dtype, None),
    'numpy.ndarray': (_not_called, np.ndarray),
    'torch.Size': (_size, None),
    'torch.device': (_device, None),
    'torch.Tensor': (_not_called, Tensor),
    'torch.nn.parameter.Parameter': (_not_called, nn.Parameter),
    'torch._tensor._rebuild_from_type_v2': (_typed_tensor, None),
    'torch._utils._rebuild_tensor': (_tensor_v1, None),
    'torch._utils._rebuild_tensor_v2': (_tensor_v2, None),
    'torch._utils._rebuild_tensor_v3': (_tensor_v3, None),
    'torch._utils._rebuild_parameter': (_parameter, None),
    'torch._utils._rebuild_parameter_with_state': (_parameter, None),
    'torch._utils._rebuild_xla_tensor': (_device_tensor, None),
    'torch._utils._rebuild_device_tensor_from_numpy': (_device_tensor, None),
    'torch._utils._rebuild_device_tensor_from_cpu_tensor': (_device_tensor, None),
    **{f'datetime.{kind.__name__}': (partial(_numbers, kind=kind), None) for kind in _TIMES},
    **dict.fromkeys(_STORAGES, (_not_called, None)),
}
for _module in ('pathlib', 'pathlib._local'):
    for _kind in ('PosixPath', 'WindowsPath', 'PurePosixPath', 'PureWindowsPath'):
        _made = pathlib.PurePath if _kind.startswith('Pure') else pathlib.Path
        if _kind.endswith('WindowsPath'):
            _made = pathlib.PureWindowsPath
        _CALLS[f'{_module}.{_kind}'] = (partial(_path, kind=_made), None)
for _core in ('core', '_core'):  # of numpy 1 and of numpy 2
    _CALLS[f'numpy.{_core}.multiarray._reconstruct'] = (_reconstruct, None)
    _CALLS[f'numpy.{_core}.multiarray.scalar'] = (_scalar, None)
    _CALLS[f'numpy.{_core}.numeric._frombuffer'] = (_from_buffer, None)

# All that a pickle may name: what it may call, and classes and types that are data.
_NAMES: dict[str, object] = {
    **{name: _Name(name, call, kind) for name, (call, kind) in _CALLS.items()},
    **{str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)},
    **{f'numpy.{kind.__name__}': kind for kind in {np.dtype(code).type for code in '?bhilqBHILQefdgFDGSU'}},
    **dict.fromkeys(('numpy.bool', 'numpy.bool_'), np.bool_),  # numpy 2 and 1
}

_OPCODES: dict[int, Callable[[Unpickler], None]] = {
    0x80: Unpickler._proto,
    ord('('): lambda vm: vm._push(_MARK),
    ord('N'): lambda vm: vm._push(None),
    0x88: lambda vm: vm._push(True),
    0x89: lambda vm: vm._push(False),
    ord('J'): lambda vm: vm._push_number('<i'),
    ord('K'): lambda vm: vm._push(vm.source.read(1)[0]),
    ord('M'): lambda vm: vm._push_number('<H'),
    0x8A: Unpickler._long1,
    ord('G'): lambda vm: vm._push_number('>d'),
    ord('X'): lambda vm: vm._text('<I'),
    0x8C: lambda vm: vm._text('<B'),
    0x8D: lambda vm: vm._text('<Q'),
    ord('U'): lambda vm: vm._string('<B'),
    ord('T'): lambda vm: vm._string('<I'),
    ord('C'): lambda vm: vm._bytes('<B'),
    ord('B'): lambda vm: vm._bytes('<I'),
    0x8E: lambda vm: vm._bytes('<Q'),
    0x96: Unpickler._bytearray,
    0x95: Unpickler._frame,
    ord('}'): lambda vm: vm._empty(dict),
    ord(']'): lambda vm: vm._empty(list),
    0x8F: lambda vm: vm._empty(set),
    ord(')'): lambda vm: vm._push(_Node(())),
    0x85: lambda vm: vm._tuple(1),
    0x86: lambda vm: vm._tuple(2),
    0x87: lambda vm: vm._tuple(3),
    ord('t'): Unpickler._tuple,
    0x91: Unpickler._frozenset,
    ord('a'): lambda vm: vm._append(vm._pop_count(1)),
    ord('e'): lambda vm: vm._append(vm._pop_mark()),
    0x90: Unpickler._add_items,
    ord('s'): lambda vm: vm._set_items(vm._pop_count(2)),
    ord('u'): lambda vm: vm._set_items(vm._pop_mark()),
    ord('q'): lambda vm: vm._memoize(vm.source.read(1)[0]),
    ord('r'): lambda vm: vm._memoize(vm._number('<I')),
    0x94: lambda vm: vm._memoize(len(vm.memo)),
    ord('h'): lambda vm: vm._get(vm.source.read(1)[0]),
    ord('j'): lambda vm: vm._get(vm._number('<I')),
    ord('c'): Unpickler._global,
    0x93: Unpickler._stack_global,
    ord('R'): Unpickler._reduce,
    0x81: Unpickler._reduce,
    ord('Q'): Unpickler._persistent,
    ord('b'): Unpickler._build,
}
# Opcodes that make code run or values of unbounded cost, or belong to pickles that torch.save never wrote.
_REFUSED = {
    0x82: 'an extension code',
    0x83: 'an extension code',
    0x84: 'an extension code',
    0x8B: 'a number of unlimited length',
    0x92: 'a constructor with named arguments',
    0x97: 'a buffer outside of the file',
    0x98: 'a buffer outside of the file',
    **{ord(code): f'the opcode {code} of old pickles' for code in '012ILFSVPgpidlo'},
}
