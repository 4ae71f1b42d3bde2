"""Limits on the requests of a pickle in proportion to its size, and the errors of those that are exceeded."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod

import numpy as np
import torch

from ..errors import printable

MAX_DEPTH = 100  # levels; recursive code that prints, copies or hashes the data stays far below Python's own limit
MAX_NODES = 10_000_000  # objects, counted wherever they appear
# Bytes that tensors may show whatever their storage has: torch saves an expanded tensor as one value with strides of 0.
MAX_EXPANDED = 1 << 27  # one tensor; the largest layer of a backbone has 90 MB
_MAX_EXPANDED_SUM = 1 << 30
_MAX_ODD_KEYS = 10_000  # weight of all keys whose hashes a file can choose to collide
_MAX_LARGE = 10_000  # configs and log buffers, which take 1 kB each even if they are empty


class BrokenFileError(Exception):
    """A file is damaged, or not what it seems; the text is a clause without the file's name."""


class UnsafeFileError(Exception):
    """A file asks for what is not allowed; the text is a clause without the file's name."""


@contextmanager
def broken_if_it_fails(clause: str) -> Iterator[None]:
    """Raise BrokenFileError with this clause for any error inside but those of a file and a lack of memory."""
    try:
        yield
    except (UnsafeFileError, BrokenFileError, MemoryError):
        raise
    except Exception as error:
        raise BrokenFileError(clause) from error


class Limits:
    """The remaining allowance of one pickle.

    Args:
        pickle_size: size of the pickle in bytes.
        file_size: size of the file in bytes; all tensors together may show eight times as much, and 1 GiB.
    """

    def __init__(self, pickle_size: int, file_size: int):
        self._copies = 4 * pickle_size + 1_000
        self._shown = 8 * file_size + _MAX_EXPANDED_SUM
        self._odd_keys = _MAX_ODD_KEYS
        self._large = _MAX_LARGE

    def copy(self, values: tuple) -> None:
        """Count values that a function goes through, and their elements, characters or bytes, which it may copy."""
        self.copy_bytes(len(values))
        for value in values:
            if isinstance(value, np.ndarray):
                self.copy_bytes(value.nbytes)
            elif isinstance(value, str | bytes | bytearray | list | tuple | dict | set | frozenset):
                self.copy_bytes(len(value))

    def copy_bytes(self, count: int) -> None:
        self._copies -= count
        if self._copies < 0:
            raise UnsafeFileError('it copies its data again and again')

    def show(self, shape: tuple, dtype: torch.dtype) -> None:
        """Count the bytes of a tensor, which may be more than its storage has: strides of 0 repeat values."""
        self._shown -= prod(shape) * dtype.itemsize
        if self._shown < 0:
            raise UnsafeFileError(f'its tensors, such as one of {shape_text(shape)}, repeat values that the file lacks')

    def hash_key(self, key: object) -> None:
        """Check and count a key of a dict or an element of a set."""
        # Python salts the hash of text; small numbers spread over the table.
        if type(key) is str or (type(key) is int and 0 <= key < 1 << 32):
            return
        self._odd_keys -= _weight(key, self._odd_keys)
        if self._odd_keys < 0:
            raise UnsafeFileError(f'more than {_MAX_ODD_KEYS:,} of its keys are neither text nor small numbers')
        try:
            hash(key)
        except TypeError as error:
            raise BrokenFileError(f'it uses a {type(key).__name__} as a key') from error

    def make_large(self) -> None:
        self._large -= 1
        if self._large < 0:
            raise UnsafeFileError(f'it holds more than {_MAX_LARGE:,} configs and log buffers')


def _weight(key: object, most: int) -> int:
    """Count the cost of comparing a key, its objects and hundreds of characters, up to ``most``."""
    weight = 1 + (len(key) // 100 if isinstance(key, str | bytes) else 0)
    for item in key if isinstance(key, tuple | frozenset) else ():
        if weight > most:
            break
        weight += _weight(item, most)
    return weight


def is_count(value: object) -> bool:
    """Return whether a value is an integer that can be a size or an offset."""
    return type(value) is int and 0 <= value < 1 << 62


def is_shape(value: object) -> bool:
    """Return whether a value is a tuple of counts, of which tensors and arrays have at most 64."""
    return isinstance(value, tuple) and len(value) <= 64 and all(map(is_count, value))


def shape_text(shape: tuple) -> str:
    """A shape for messages."""
    return printable(' x '.join(f'{n:,}' for n in shape) or 'no dimensions', 80)


def is_own(value: object, *kinds: type) -> bool:
    """Compare the class of a value with others by name: after a reload of its module there are two of each."""
    return (type(value).__module__, type(value).__name__) in {(kind.__module__, kind.__name__) for kind in kinds}
