"""Files and folders that are written whole or not at all."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError, printable

_SUFFIX = '.partial'


@contextmanager
def atomic_file(target: str | Path) -> Iterator[Path]:
    """Write a file next to its target, and move it into place when the block ends without an error.

    The new content is on the disk before it replaces the old one, so that a killed process or a full disk leaves the
    target as it was. What a killed writer of the same target left behind is removed.

    Args:
        target: the file to write; its folder is created if it is missing.

    Yields:
        The path to write to, an empty file in the folder of the target.

    Raises:
        UserError: if the target exists and is not a regular file (a folder, device, FIFO or link).
        OSError: if the folder cannot be written or the disk is full.
    """
    target = _check(Path(target), is_folder=False)
    path, number = _create(target, _make_file)
    try:
        yield path
        _sync(path)
        path.chmod(target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask())
        path.replace(target)
        _sync(target.parent)
    finally:
        path.unlink(missing_ok=True)
        os.close(number)


@contextmanager
def atomic_folder(target: str | Path) -> Iterator[Path]:
    """Write a folder next to its target, and move it into place when the block ends without an error.

    Args:
        target: the folder to create; it must be missing or empty when the block ends.

    Yields:
        The path to write to, an empty folder beside the target.

    Raises:
        UserError: if the target exists and is not a folder.
        OSError: if the parent folder cannot be written, the target is not empty, or the disk is full.
    """
    target = _check(Path(target), is_folder=True)
    path, number = _create(target, tempfile.mkdtemp)
    try:
        yield path
        for folder, _, names in os.walk(path):
            for name in names:
                _sync(Path(folder, name))
            _sync(Path(folder))
        path.chmod(0o777 & ~_umask())
        path.replace(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(number)


def write_text(target: str | Path, text: str) -> None:
    """Write a text file as UTF-8, whole or not at all; see :func:`atomic_file`."""
    with atomic_file(target) as path:
        path.write_text(text, encoding='utf-8')


def remove_leftovers(folder: str | Path, prefix: str = '.') -> None:
    """Remove what killed writers of :func:`atomic_file` and :func:`atomic_folder` left in a folder."""
    for path in Path(folder).iterdir():
        if path.name.startswith(prefix) and path.name.endswith(_SUFFIX) and not path.is_symlink():
            try:
                number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            except OSError:
                continue  # removed by its writer in the meantime
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
            except BlockingIOError:
                pass  # its writer is alive
            finally:
                os.close(number)


def _check(target: Path, is_folder: bool) -> Path:
    kind = 'folder' if is_folder else 'file'
    if target.is_symlink() or (target.exists() and not (target.is_dir() if is_folder else target.is_file())):
        what = 'a link' if target.is_symlink() else 'a folder' if target.is_dir() else 'a file' if is_folder else ''
        raise UserError(
            f'cannot write {printable(target)}: it is {what or "a device, FIFO or socket"}; give the name of a regular '
            f'{kind}'
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _create(target: Path, create: Callable[[str, str, Path], str]) -> tuple[Path, int]:
    """A new file or folder next to the target, and its descriptor, locked: the lock tells others that we are alive."""
    remove_leftovers(target.parent, _prefix(target))
    while True:
        path = Path(create(_SUFFIX, _prefix(target), target.parent))
        number = os.open(path, os.O_RDONLY)
        fcntl.flock(number, fcntl.LOCK_EX)
        if path.exists():  # else another writer took it for a leftover before it was locked
            return path, number
        os.close(number)


def _make_file(suffix: str, prefix: str, folder: Path) -> str:
    number, name = tempfile.mkstemp(suffix, prefix, folder)
    os.close(number)
    return name


def _prefix(target: Path) -> str:
    return f'.{target.name[:100]}.'


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
