"""Read checkpoint files, and never run what is in them."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..errors import CheckpointError, CheckpointMissing, printable
from .download import check_hash, fetch, shown_address
from .formats import read_file
from .weights import SCHEME, find_weights, log_use, saved_by_hand

_MAX_PATH = 1_000  # characters of a path in a message


def read_checkpoint(source: str | Path, *, sha256: str | None = None) -> dict:
    """Read a checkpoint as data; none of its content is run.

    Files of ``torch.save``, new and old, and safetensors files are read. Time and memory stay in proportion to the size
    of the file.

    Args:
        source: path of a file, ``~`` allowed; a ``file://`` address; an http(s) address, which is fetched once into
            ``checkpoints/`` of torch's hub folder; or ``mlp_backbones://NAME``, of :func:`mlp_backbones.list_weights`.
        sha256: the file's SHA-256, or its first 8 or more hexadecimal digits. Default None: only a hash in the
            name of an address is checked, as in ``name-<hash>.pth``.

    Returns:
        The content of the file, tensors on the CPU.

    Raises:
        CheckpointMissing: if the file does not exist or cannot be fetched.
        CheckpointError: if the file cannot be read, is damaged, or asks for anything but tensors and plain data, which
            the error names.
    """
    if not isinstance(source, str | os.PathLike):
        raise CheckpointError(
            f'cannot read a checkpoint from a {type(source).__name__}; give the path of a file or an http(s) address'
        )
    text = os.fsdecode(source)
    if text.startswith(f'{SCHEME}://'):
        weights = find_weights(text.partition('://')[2])
        log_use(weights.name)
        where = saved_by_hand(weights) if weights.file else weights.address
        return read_checkpoint(where, sha256=sha256 or weights.sha256 or None)
    scheme = re.match(r'([A-Za-z][A-Za-z0-9+.-]*)://', text)
    scheme = scheme[1].lower() if scheme else None
    if scheme in ('http', 'https'):
        path, name = fetch(text, read_file, sha256), shown_address(text)
        return read_file(path, f'{name} (at {printable(path, _MAX_PATH)})')
    if scheme not in (None, 'file'):
        raise CheckpointError(
            f'cannot read checkpoint {shown_address(text)}: addresses of {printable(scheme, 50)}:// are not supported; '
            f'download the file and give its path, or give an http(s) address'
        )
    name = printable(text, _MAX_PATH)
    path = _local_path(text, name, scheme)
    if sha256 is not None:
        check_hash(path, name, sha256)
    return read_file(path, name)


def _local_path(text: str, name: str, scheme: str | None) -> Path:
    try:
        if scheme:
            parts = urlsplit(text)
            if parts.netloc not in ('', 'localhost'):
                raise CheckpointError(
                    f'cannot read checkpoint {name}: it is on another machine, {printable(parts.netloc, 100)}; '
                    f'write file:///folder/name.pth for a file of this machine'
                )
            text = url2pathname(parts.path)
        path = Path(text).expanduser()
        if not path.is_file():
            what = 'a folder' if path.is_dir() else 'not a regular file' if path.exists() else 'no such file'
            if what == 'no such file' and not path.is_absolute():
                what += f' in {printable(Path.cwd(), _MAX_PATH)}'
            raise CheckpointMissing(
                f'cannot read checkpoint {name}: {what}; give the path of a .pth file or an http(s) address'
            )
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, CheckpointError):
            raise
        if isinstance(error, PermissionError):
            raise CheckpointError(f'cannot read checkpoint {name}: no permission; make it readable for you') from error
        reason = printable(getattr(error, 'strerror', None) or error)
        raise CheckpointMissing(f'cannot read checkpoint {name}: {reason}; give the path of a .pth file') from error
    return path
