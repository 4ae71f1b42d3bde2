"""Write files and folders whole or not at all."""

import argparse
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import UserError, printable

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SUFFIX = '.partial'
_LONGEST = 255  # bytes of a name, on the usual file systems


@contextmanager
def atomic_file(target: str | Path) -> Iterator[Path]:
    """Write a file next to its target, and move it into place when the block ends without an error.

    The new content is synced to disk before it replaces the old one: after a kill or on a full disk the target is
    unchanged. Leftovers of killed writers of the same target are removed. An existing target keeps its permissions.

    The folder is created if it is missing.

    Yields:
        The path to write to, an empty file in the folder of the target whose name ends in ``.partial``.

    Raises:
        UserError: if the target exists and is not a regular file (a folder, device, FIFO or link), or cannot be one.
        OSError: if the folder cannot be written or the disk is full.
    """
    target = check_target(target)
    with _beside(target, lambda path: path.open('xb').close()) as path:
        yield path
        _sync(path)
        if target.exists():
            path.chmod(stat.S_IMODE(target.stat().st_mode))


@contextmanager
def atomic_folder(target: str | Path) -> Iterator[Path]:
    """Write a folder next to its target, and move it into place when the block ends without an error.

    Yields:
        The path to write to, an empty folder beside the target, which must be missing or empty when the block ends.

    Raises:
        UserError: if the target exists and is not a folder, or cannot be one.
        OSError: if the parent folder cannot be written, the target is not empty, or the disk is full.
    """
    target = check_target(target, is_folder=True)
    with _beside(target, os.mkdir) as path:
        yield path
        for folder, _, names in os.walk(path):
            for name in (*names, ''):
                _sync(Path(folder, name))


@contextmanager
def writing(target: str | Path, remedy: str = 'free space, or give a folder that you may write to') -> Iterator[None]:
    """Raise an OSError of the block as a UserError that names the target, the reason and the remedy."""
    try:
        yield
    except OSError as error:
        raise UserError(f'cannot write {printable(target)} ({error.strerror or error}): {remedy}') from error


def write_text(target: str | Path, text: str) -> None:
    """Write a text file as UTF-8, whole or not at all; see :func:`atomic_file`."""
    with atomic_file(target) as path:
        path.write_text(text, encoding='utf-8')


def check_target(target: str | Path, is_folder: bool = False) -> Path:
    """Check, before the work begins, that a file or folder can be written, and create the folder that it is in.

    Raises:
        UserError: if the target is a device, FIFO, socket or link, a folder instead of a file or the reverse, or has a
            name that no file can have.
        OSError: if the folder that it is in cannot be created.
    """
    target = Path(target)
    fault = _fault(target, is_folder)
    if not fault:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            return target
        except (FileExistsError, NotADirectoryError) as error:
            fault = f'{printable(error.filename)} is not a folder'
    raise UserError(f'cannot write {printable(target)}: {fault}')


def add_force_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag without which :func:`check_output` refuses to replace a file."""
    parser.add_argument('--force', action='store_true', help='replace a file of that name')


def check_output(target: str | Path, force: bool) -> Path:
    """Check, before the work begins, a file that a user names as output; no folder is created.

    Raises:
        UserError: if it is a regular file and ``force`` is not set, or no file can have its name.
    """
    path = Path(target)
    if fault := _fault(path, is_folder=False):
        raise UserError(f'cannot write {printable(path)}: {fault}')
    if path.exists() and not force:
        raise UserError(f'{printable(path)} exists: name another file, or add --force to replace it')
    return path


def _fault(target: Path, is_folder: bool) -> str:
    try:
        length = len(os.fsencode(target.name))
    except UnicodeEncodeError:
        return 'its name has half of a character (a lone surrogate); leave it out'
    if '\0' in str(target):
        return 'its name has a NUL character; leave it out'
    if length > _LONGEST:
        return f'its name has {length} bytes; give one of at most {_LONGEST}'
    is_right = target.is_dir() if is_folder else target.is_file()
    if target.is_symlink() or (target.exists() and not is_right):
        what = 'a link' if target.is_symlink() else 'a folder' if target.is_dir() else 'a file' if is_folder else ''
        kind = 'folder' if is_folder else 'file'
        return f'it is {what or "a device, FIFO or socket"}; give the name of a regular {kind}'
    return ''


def remove_leftovers(folder: str | Path, target: str = '') -> None:
    """Remove what killed writers of ``target``, or of anything, left in a folder; see :func:`atomic_file`."""
    prefix = re.escape(_prefix(target)) if target else r'\..+\.'
    pattern = re.compile(prefix + '[0-9a-f]{16}' + re.escape(_SUFFIX))
    for entry in [*os.scandir(folder)]:
        if pattern.fullmatch(entry.name) and not entry.is_symlink():
            path = Path(entry.path)
            try:
                number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            except OSError:
                continue  # removed by its writer in the meantime, or of another user
            # The lock fails if the writer is alive, and the removal if the file is of another user.
            with suppress(OSError):
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path)
            os.close(number)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _beside(target: Path, create: Callable[[Path], None]) -> Iterator[Path]:
    """Create a locked file or folder beside the target; move it into place when the block ends without an error."""
    path, number = _create(target, create)
    try:
        yield path
        path.replace(target)
        _sync(target.parent)
    finally:
        _remove(path)
        os.close(number)


def _create(target: Path, create: Callable[[Path], None]) -> tuple[Path, int]:
    """Create a file or folder next to the target, and return it with a locked descriptor.

    The lock tells others that its writer is alive.
    """
    remove_leftovers(target.parent, target.name)
    while True:
        path = target.with_name(f'{_prefix(target.name)}{secrets.token_hex(8)}{_SUFFIX}')
        create(path)
        try:
            number = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # another writer took it for a leftover
        # A shared lock, for which NFS requires no right to write. On a file system without locks, remove_leftovers
        # cannot lock either, and removes nothing.
        with suppress(OSError):
            fcntl.flock(number, fcntl.LOCK_SH)
        if path.exists():  # else it was taken for a leftover before it was locked
            return path, number
        os.close(number)


def _prefix(name: str) -> str:
    # Leave room for the rest of the name, and split no character.
    room = _LONGEST - len(f'..{"0" * 16}{_SUFFIX}')
    return f'.{os.fsencode(name)[:room].decode(errors="ignore")}.'


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
