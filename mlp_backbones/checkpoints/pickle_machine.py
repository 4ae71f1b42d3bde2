"""Rebuild the data of a pickle without importing or calling anything that the pickle names.

Pickle is a small program for a stack machine. Python's own machine imports what the program names and calls it;
torch's ``weights_only`` calls a shorter list, with whatever arguments the program gives. This machine has one function
of its own for every name on its list (``pickle_names.py``), which checks its arguments, and refuses all other names. It
also bounds time, memory and nesting by the size of the pickle (``pickle_limits.py``), so that a small file cannot ask
for much.
"""

import struct
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, BinaryIO

import torch

from ..errors import printable
from .pickle_arrays import PendingArray, Storage
from .pickle_limits import MAX_DEPTH, MAX_NODES, BrokenFileError, Limits, UnsafeFileError, is_count, is_own
from .pickle_names import STORAGES, Name, check_key, find, set_state

_MAX_OPCODES = 4_000_000  # the largest state dict that a backbone can load takes about a tenth
_MAX_LINE = 1_000  # characters of a name


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
    """A container or object on the stack or in the memo.

    Attributes:
        value: the object.
        depth: levels of objects in it.
        size: number of objects in it, counted wherever they appear, itself included.
        alien: the part of it that is not data: a name, a storage, or an array without values; else None.
        is_open: whether it may still be filled. Once the memo has handed it out it is closed: no object holds itself,
            and depth and size of all that hold it stay true.
    """

    __slots__ = ('alien', 'depth', 'is_open', 'size', 'value')

    def __init__(self, value: Any, depth: int = 0, size: int = 1):
        self.value, self.depth, self.size = value, depth, size
        self.alien: object = value if is_own(value, Storage, PendingArray) else None
        self.is_open = True


_MARK = object()


class Unpickler:
    """Reader of one pickle.

    Args:
        source: where the pickle begins.
        load_storage: returns the storage of (key, dtype, number of elements, view), the view being (key, start, number
            of elements) or None. Default None: there are no tensors.
        memory: size of the file in bytes, which bounds what all tensors together may show. Default 0.
    """

    def __init__(
        self,
        source: Source,
        load_storage: Callable[[str, torch.dtype, int, tuple | None], Storage] | None = None,
        memory: int = 0,
    ):
        self.source, self.load_storage = source, load_storage
        self.limits = Limits(source.left, memory)
        self.stack: list = []
        self.memo: dict[int, object] = {}

    def load(self) -> object:
        """Read the pickle into plain data and tensors.

        Raises:
            BrokenFileError: if it is cut short or not a pickle of protocol 2 or later.
            UnsafeFileError: if it asks for what is not allowed, or for more than its size can need.
        """
        read = self.source.read
        for _ in range(_MAX_OPCODES):
            opcode = read(1)[0]
            if opcode == 0x2E:  # STOP
                if len(self.stack) != 1 or self.stack[0] is _MARK:
                    raise BrokenFileError('its pickle ends with a wrong number of objects')
                return self._fill(_Node(None), self.stack)[0]
            method = OPCODES.get(opcode)
            if method is None:
                name = REFUSED.get(opcode)
                if name:
                    raise UnsafeFileError(f'it uses {name}, which torch.save never writes')
                raise BrokenFileError(f'its pickle holds the unknown opcode {opcode:#04x}')
            try:
                method(self)
            except IndexError as error:
                raise BrokenFileError('its pickle takes more from the stack than there is') from error
        raise UnsafeFileError(f'its pickle has more than {_MAX_OPCODES:,} steps')

    def _push(self, value: object) -> None:
        self.stack.append(value)

    def _pop(self) -> Any:
        """The object on top, and not what is known about it: it must not go into another object."""
        (item,) = self._pop_count(1)
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

    def _fill(self, node: _Node, items: list, is_tuple: bool = False) -> list:
        """Values of items of the stack, which are to lie in the node; only tuples may hold what is not data."""
        values, depth, size, alien = [], node.depth, node.size, node.alien
        for item in items:
            if type(item) is _Node:
                depth, size = max(depth, item.depth + 1), size + item.size
                alien = alien or item.alien
                item = item.value
            else:
                size += 1
                alien = item if is_own(item, Name) else alien
            values.append(item)
        if depth > MAX_DEPTH:
            raise UnsafeFileError(f'its objects are nested more than {MAX_DEPTH} levels deep')
        if size > MAX_NODES:
            raise UnsafeFileError(f'it repeats its objects more than {MAX_NODES:,} times')
        node.depth, node.size, node.alien = depth, size, alien
        if not is_tuple:
            _check_data(alien)
        return values

    def _target(self, kinds: tuple[type, ...]) -> _Node:
        node = self.stack[-1]
        if type(node) is not _Node or not isinstance(node.value, kinds):
            raise BrokenFileError('its pickle fills what is no container')
        if not node.is_open:
            raise UnsafeFileError('it changes an object after its use, or holds an object that holds itself')
        return node

    def _proto(self) -> None:
        version = self.source.read(1)[0]
        if not 2 <= version <= 5:
            raise BrokenFileError(f'its pickle is of protocol {version}, expected 2 to 5')

    def _number(self, layout: str) -> Any:
        return struct.unpack(layout, self.source.read(struct.calcsize(layout)))[0]

    def _long1(self) -> None:
        self._push(int.from_bytes(self.source.read(self.source.read(1)[0]), 'little', signed=True))

    def _data(self, layout: str) -> bytes:
        return self.source.read(self._number(layout))

    def _text(self, layout: str) -> None:
        self._push(_decode(self._data(layout)))

    def _string(self, layout: str) -> None:
        """A string of Python 2, text or bytes."""
        data = self._data(layout)
        try:
            self._push(data.decode())
        except UnicodeDecodeError:
            self._push(data)

    def _frame(self) -> None:
        if self._number('<Q') > self.source.left:
            raise BrokenFileError('a frame of its pickle is longer than the file')

    def _tuple(self, items: list) -> None:
        node = _Node(None)
        node.value = tuple(self._fill(node, items, is_tuple=True))
        self._push(node)

    def _frozenset(self, items: list) -> None:
        node = _Node(None)
        node.value = frozenset(self._keys(self._fill(node, items)))
        self._push(node)

    def _append(self, items: list) -> None:
        node = self._target((list, deque))
        node.value.extend(self._fill(node, items))

    def _add_items(self, items: list) -> None:
        node = self._target((set,))
        node.value.update(self._keys(self._fill(node, items)))

    def _keys(self, keys: list) -> list:
        for key in keys:
            self.limits.hash_key(key)
        return keys

    def _set_items(self, items: list) -> None:
        node = self._target((dict,))
        target = node.value
        if len(items) % 2:
            raise BrokenFileError('its pickle has a key without a value')
        put = OrderedDict.__setitem__ if isinstance(target, OrderedDict) else dict.__setitem__
        values = self._fill(node, items)
        for key, value in zip(self._keys(values[::2]), values[1::2], strict=True):
            if key in target:
                shown = printable(key, 50) if type(key) is str else f'of type {type(key).__name__}'
                raise BrokenFileError(f'the key {shown} is there twice')
            check_key(target, key)
            put(target, key, value)

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
        # Before 1.6, torch wrapped the class of a network in a reference ('module', class, ...).
        self._push(
            find(module, name, is_outermost=not self.stack or (len(self.stack) == 2 and self.stack[1] == 'module'))
        )

    def _reduce(self) -> None:
        args, function = self._pop_count(1)[0], self._pop()
        if not is_own(function, Name):
            raise UnsafeFileError(f'it calls a {type(function).__name__}, which is data')
        if type(args) is not _Node or type(args.value) is not tuple:
            raise BrokenFileError(f'it calls {function.name} without a tuple of arguments')
        if not function.takes_names:
            _check_data(args.alien)
        self._push(_Node(function(self.limits, args.value), args.depth, args.size))

    def _persistent(self) -> None:
        pid = self._pop()
        if type(pid) is not tuple or len(pid) not in (5, 6) or pid[0] != 'storage' or self.load_storage is None:
            raise BrokenFileError('it refers to storages in an unknown way')
        _, kind, key, location, numel, *view = pid
        if not is_own(kind, Name) or kind.name not in STORAGES:
            raise BrokenFileError('it names a storage without a type')
        if type(key) is not str or type(location) is not str or not is_count(numel):
            raise BrokenFileError('it names a storage without a key, a device or a size')
        view = view[0] if view else None
        if view is not None and not (
            type(view) is tuple and len(view) == 3 and type(view[0]) is str and all(map(is_count, view[1:]))
        ):
            raise BrokenFileError('it names a part of a storage in an unknown way')
        self._push(_Node(self.load_storage(key, STORAGES[kind.name], numel, view)))

    def _build(self) -> None:
        item = self._pop_count(1)[0]
        node = self._target((object,))
        if is_own(node.value, PendingArray):
            node.alien = None  # the state has the values
        (state,) = self._fill(node, [item])
        node.value = set_state(self.limits, node.value, state)


def _check_data(alien: Any) -> None:
    if is_own(alien, Name):
        raise UnsafeFileError(f'it holds {alien.name} itself, which is not data')
    if alien is not None:
        raise BrokenFileError('it holds an array without values, or a storage without a tensor')


def _decode(data: bytes) -> str:
    try:
        return data.decode('utf-8', 'surrogatepass')
    except UnicodeDecodeError as error:
        raise BrokenFileError('it holds text that is not UTF-8') from error


OPCODES: dict[int, Callable[[Unpickler], None]] = {
    0x80: Unpickler._proto,
    ord('('): lambda vm: vm._push(_MARK),
    ord('N'): lambda vm: vm._push(None),
    0x88: lambda vm: vm._push(True),
    0x89: lambda vm: vm._push(False),
    ord('J'): lambda vm: vm._push(vm._number('<i')),
    ord('K'): lambda vm: vm._push(vm.source.read(1)[0]),
    ord('M'): lambda vm: vm._push(vm._number('<H')),
    0x8A: Unpickler._long1,
    ord('G'): lambda vm: vm._push(vm._number('>d')),
    ord('X'): lambda vm: vm._text('<I'),
    0x8C: lambda vm: vm._text('<B'),
    0x8D: lambda vm: vm._text('<Q'),
    ord('U'): lambda vm: vm._string('<B'),
    ord('T'): lambda vm: vm._string('<I'),
    ord('C'): lambda vm: vm._push(vm._data('<B')),
    ord('B'): lambda vm: vm._push(vm._data('<I')),
    0x8E: lambda vm: vm._push(vm._data('<Q')),
    0x96: lambda vm: vm._push(bytearray(vm._data('<Q'))),
    0x95: Unpickler._frame,
    ord('}'): lambda vm: vm._push(_Node({})),
    ord(']'): lambda vm: vm._push(_Node([])),
    0x8F: lambda vm: vm._push(_Node(set())),
    ord(')'): lambda vm: vm._push(_Node(())),
    0x85: lambda vm: vm._tuple(vm._pop_count(1)),
    0x86: lambda vm: vm._tuple(vm._pop_count(2)),
    0x87: lambda vm: vm._tuple(vm._pop_count(3)),
    ord('t'): lambda vm: vm._tuple(vm._pop_mark()),
    0x91: lambda vm: vm._frozenset(vm._pop_mark()),
    ord('a'): lambda vm: vm._append(vm._pop_count(1)),
    ord('e'): lambda vm: vm._append(vm._pop_mark()),
    0x90: lambda vm: vm._add_items(vm._pop_mark()),
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
REFUSED = {
    **dict.fromkeys((0x82, 0x83, 0x84), 'an extension code'),
    0x8B: 'a number of unlimited length',
    0x92: 'a constructor with named arguments',
    **dict.fromkeys((0x97, 0x98), 'a buffer outside of the file'),
    **{ord(code): f'the opcode {code} of old pickles' for code in '012ILFSVPgpidlo'},
}
