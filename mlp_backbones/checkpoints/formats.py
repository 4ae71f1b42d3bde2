"""Read the formats of checkpoint files: torch's zip archives, its older plain files, and safetensors."""

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError, printable
from .pickle_arrays import Storage
from .pickle_limits import BrokenFileError, UnsafeFileError
from .pickle_machine import Source, Unpickler

_MAX_HEADER = 100 << 20  # bytes, as in the reference implementation of safetensors

_SAFETENSORS_TYPES = {
    **{f'{kind[0].upper()}{bits}': f'{kind}{bits}' for kind in ('float', 'int', 'uint') for bits in (8, 16, 32, 64)},
    'BF16': 'bfloat16',
    'BOOL': 'bool',
    'C64': 'complex64',
    'F8_E4M3': 'float8_e4m3fn',
    'F8_E5M2': 'float8_e5m2',
}

# First bytes of files that are not checkpoints, and what the error calls them.
_OTHER_FILES = [
    (
        rb'version https://git-lfs',
        'the pointer that git-lfs keeps in place of a file; fetch the file with `git lfs pull`',
    ),
    (rb'\s*(?i:<!doctype|<html|<head|<body|<\?xml|<!--)', 'a web page; give the address of the file itself'),
    (rb'\s*[\[{]', 'JSON text, perhaps the answer of a server in place of the file'),
    (rb'\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!', 'a compressed file; unpack it'),
    (rb'\x89HDF', 'an HDF5 file, as Keras writes; convert it to a torch file'),
    (rb'\x93NUMPY', 'a numpy array; save a dict of tensors with torch.save'),
    (rb'\x08[\x01-\x20]\x12', 'an ONNX model; it holds a graph, not a dict of tensors'),
    (
        rb'(?s:.){257}ustar',
        'a tar archive; torch wrote its files so before version 0.2. Save it again with a newer torch',
    ),
]


def read_file(path: Path, name: str) -> dict:
    """Read a regular file, which messages call ``name``, as data; none of its content is run.

    Raises:
        CheckpointError: if the file cannot be read, is damaged, is not a dict, or asks for more than data.
    """
    try:
        with path.open('rb') as file:
            content = _read(file, path.stat().st_size)
    except UnsafeFileError as error:
        raise CheckpointError(f'refused to read checkpoint {name}: {error}') from error
    except BrokenFileError as error:
        raise CheckpointError(
            f'cannot read checkpoint {name}: it is broken, cut short, or not a torch file ({error})'
        ) from error
    except PermissionError as error:
        raise CheckpointError(f'cannot read checkpoint {name}: no permission; make it readable for you') from error
    except OSError as error:
        raise CheckpointError(f'cannot read checkpoint {name}: {printable(error.strerror)}') from error
    except MemoryError as error:
        raise CheckpointError(f'cannot read checkpoint {name}: there is not enough memory') from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f'checkpoint {name} holds a {type(content).__name__}, expected a dict of tensors')
    return dict(content)


def _read(file: BinaryIO, size: int) -> object:
    head = file.read(512)
    file.seek(0)
    if not head:
        raise BrokenFileError('it is an empty file')
    # First, because the length of its header may have the bytes of any other format.
    if head[8:9] == b'{' and struct.unpack('<Q', head[:8])[0] < _MAX_HEADER:
        return _read_safetensors(file, size)
    if head[:2] == b'PK':
        return _read_zip(file, size)
    if head[0] == 0x80:
        return _read_legacy(file, size)
    for pattern, what in _OTHER_FILES:
        if re.match(pattern, head):
            raise BrokenFileError(f'it is {what}')
    begins = head[:20].decode('ascii', 'backslashreplace')
    raise BrokenFileError(f'it begins with {printable(begins, 60)!r}')


# Files of torch.save since 1.6: a zip archive of data.pkl and a record for every storage


def _read_zip(file: BinaryIO, size: int) -> object:
    try:
        with zipfile.ZipFile(file) as archive:
            entries, end = archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error) as error:
        raise BrokenFileError(f'its zip archive cannot be read: {printable(error)}') from error
    records = _check_records(file, entries, end)
    names = [name for name in records if re.fullmatch(r'[^/]+/data\.pkl', name)]
    if len(names) != 1:
        held = ', '.join(printable(name, 40) for name in list(records)[:3]) or 'nothing'
        raise BrokenFileError(f'it is a zip archive of something else, which holds {held}')
    folder = names[0].removesuffix('data.pkl')
    if folder + 'constants.pkl' in records:
        raise UnsafeFileError(
            'it is a TorchScript archive, which holds code; load it with torch.jit.load if you trust it, and save its '
            'state_dict()'
        )
    if folder + 'byteorder' in records and _read_record(file, records[folder + 'byteorder']).tobytes() != b'little':
        raise BrokenFileError('its numbers are not in little-endian byte order')
    storages: dict[str, Storage] = {}

    def load_storage(key: str, dtype: torch.dtype, numel: int, view: tuple | None) -> Storage:
        record = records.get(f'{folder}data/{key}')
        if record is None or view is not None:
            raise BrokenFileError(f'it lacks the storage {printable(key, 50)}')
        if numel * dtype.itemsize != (held := record.entry.file_size):
            raise BrokenFileError(
                f'its storage {printable(key, 50)} is to have {numel:,} elements, and has {held:,} bytes'
            )
        if key not in storages:
            storages[key] = Storage(torch.from_numpy(_read_record(file, record)), dtype, numel)
        known = storages[key]
        return known if known.dtype == dtype else Storage(known.memory, dtype, numel)

    data = _read_record(file, records[names[0]]).tobytes()
    return Unpickler(Source(io.BytesIO(data), len(data)), load_storage, size).load()


@dataclass
class _Record:
    entry: zipfile.ZipInfo
    start: int


def _check_records(file: BinaryIO, entries: list[zipfile.ZipInfo], end: int) -> dict[str, _Record]:
    """Find the records, which must not overlap and must end within the file."""
    records, last = {}, 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        name = printable(entry.filename, 50)
        if entry.filename in records:
            raise BrokenFileError(f'its zip archive holds {name} twice')
        # Zip64 has offsets of up to 2^64, and an archive may shift all of them, below zero, too.
        if not last <= entry.header_offset < end:
            raise BrokenFileError(f'its record {name} overlaps another, or lies outside of the file')
        file.seek(entry.header_offset)
        header = file.read(30)
        if len(header) < 30 or header[:4] != b'PK\3\4':
            raise BrokenFileError(f'its record {name} is not at its place in the zip archive')
        start = entry.header_offset + 30 + sum(struct.unpack('<HH', header[26:]))
        last = start + entry.compress_size
        if last > end:
            raise BrokenFileError(f'its record {name} is longer than the file')
        records[entry.filename] = _Record(entry, start)
    return records


def _read_record(file: Any, record: _Record) -> np.ndarray:
    """Read the bytes of a record. A compressed one is refused, because it could grow to any size."""
    entry = record.entry
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
        raise UnsafeFileError(
            f'its record {printable(entry.filename, 50)} is compressed or encrypted, which torch.save never does; '
            f'write it again with torch.save'
        )
    data = np.empty(entry.file_size, np.uint8)
    file.seek(record.start)
    if file.readinto(data) != len(data):
        raise BrokenFileError('it became shorter while it was read')
    # torch.serialization.set_crc32_options(False) writes 0.
    if entry.CRC and zlib.crc32(data.data) != entry.CRC:
        raise BrokenFileError('a checksum is wrong, so that values were damaged; get the file anew')
    return data


def _fill(file: Any, memory: Tensor) -> None:
    if file.readinto(memory.numpy()) != len(memory):
        raise BrokenFileError('it is shorter than its tensors')


# Files of torch.save before 1.6: pickles, one after another, and the storages


def _read_legacy(file: BinaryIO, size: int) -> object:
    source = Source(file, size)
    first = Unpickler(source).load()
    if first != 0x1950A86A20F9469CFC6C:
        raise BrokenFileError('it is a pickle that torch.save did not write')
    if Unpickler(source).load() != 1001:
        raise BrokenFileError('its format is of an unknown version')
    system = Unpickler(source).load()
    if not isinstance(system, dict) or system.get('little_endian') is not True:
        raise BrokenFileError('its numbers are not in little-endian byte order')
    storages: dict[str, Storage] = {}
    promised = 0

    def load_storage(key: str, dtype: torch.dtype, numel: int, view: tuple | None) -> Storage:
        nonlocal promised
        if key not in storages:
            promised += numel * dtype.itemsize
            if promised > size:
                raise BrokenFileError(f'its tensors need {promised:,} bytes, and the file has {size:,}')
            # Filled at the end: the values come after the pickle.
            storages[key] = Storage(torch.empty(numel * dtype.itemsize, dtype=torch.uint8), dtype, numel)
        known = storages[key]
        if (known.dtype, known.numel) != (dtype, numel):
            raise BrokenFileError(f'its storage {printable(key, 50)} has two types or sizes')
        if view is None:
            return known
        _, start, count = view
        if start + count > numel:
            raise BrokenFileError(f'a part of its storage {printable(key, 50)} is larger than the whole')
        return Storage(known.memory, dtype, count, start)

    content = Unpickler(source, load_storage, size).load()
    keys = Unpickler(source).load()
    if not isinstance(keys, list) or not all(type(key) is str for key in keys) or set(keys) != set(storages):
        raise BrokenFileError('it lists other storages than its tensors have')
    for key in keys:
        storage = storages.pop(key, None)
        if storage is None or struct.unpack('<q', source.read(8))[0] != storage.numel:
            raise BrokenFileError(f'its storage {printable(key, 50)} is there twice or of another size')
        _fill(file, storage.memory)
        source.left -= len(storage.memory)
    return content


# Files of safetensors: the length of a header, the header in JSON, and the values


def _read_safetensors(file: BinaryIO, size: int) -> dict[str, Tensor]:
    (length,) = struct.unpack('<Q', file.read(8))
    if length > min(size - 8, _MAX_HEADER):
        raise BrokenFileError(f'its safetensors header is to have {length:,} bytes, and the file has {size:,}')
    try:
        header = json.loads(file.read(length), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BrokenFileError('its safetensors header is not JSON') from error
    header.pop('__metadata__', None)
    entries = [_check_entry(name, entry) for name, entry in header.items()]
    tensors, last = {}, 0
    for start, end, name, dtype, shape in sorted(entries, key=lambda entry: entry[:2]):
        if start != last:
            raise BrokenFileError(f'its tensor {printable(name, 50)} overlaps another, or there is a gap before it')
        if end + 8 + length > size:
            raise BrokenFileError(f'its tensor {printable(name, 50)} ends after the file')
        memory = torch.empty(end - start, dtype=torch.uint8)
        _fill(file, memory)
        tensors[name] = memory.view(dtype).reshape(shape) if len(memory) else torch.empty(shape, dtype=dtype)
        last = end
    if last + 8 + length != size:
        raise BrokenFileError('it goes on after its last tensor')
    return {name: tensors[name] for name in header}


def _unique(pairs: list[tuple[str, object]]) -> dict:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise BrokenFileError('its safetensors header has a name twice')
    return content


def _check_entry(name: str, entry: Any) -> tuple[int, int, str, torch.dtype, list[int]]:
    shown = printable(name, 50)
    if not isinstance(entry, dict) or set(entry) != {'dtype', 'shape', 'data_offsets'}:
        raise BrokenFileError(f'the entry of its tensor {shown} is not one of safetensors')
    dtype, shape, offsets = entry['dtype'], entry['shape'], entry['data_offsets']
    if not all(isinstance(numbers, list) and len(numbers) <= 64 for numbers in (shape, offsets)) or len(offsets) != 2:
        raise BrokenFileError(f'the entry of its tensor {shown} is not one of safetensors')
    # Nor may the sizes of a tensor without elements overflow when they are multiplied.
    if not all(type(n) is int and n >= 0 for n in (*shape, *offsets)) or prod(n for n in shape if n) >= 1 << 48:
        raise BrokenFileError(f'its tensor {shown} has an impossible shape')
    dtype = getattr(torch, _SAFETENSORS_TYPES.get(dtype, ''), None) if isinstance(dtype, str) else None
    if dtype is None:
        raise BrokenFileError(f'its tensor {shown} has an unknown type of elements')
    start, end = offsets
    if end - start != prod(shape) * dtype.itemsize:
        raise BrokenFileError(f'its tensor {shown} has other bytes than its shape needs')
    return start, end, name, dtype, shape
