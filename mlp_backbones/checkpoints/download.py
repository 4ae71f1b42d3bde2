"""Fetch checkpoints from http(s) addresses into torch's hub folder, which keeps only whole, checked files."""

import base64
import hashlib
import http.client
import re
import shutil
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib import error as url_error
from urllib import request
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import torch
from mmengine import dist
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from ..errors import CheckpointError, CheckpointMissing, UserError, printable
from ..files import atomic_file
from ..version import __version__

_PATIENCE = 12  # seconds to the first byte, and in which a download must bring _LEAST bytes
_LEAST = 12_000  # bytes
_LARGEST = 64 << 30  # bytes
_BLOCK = 1 << 18  # bytes


def fetch(url: str, check: Callable[[Path, str], object], sha256: str | None = None) -> Path:
    """Download a file once and return its path; later calls find it there.

    In a distributed run one process of each machine downloads and the others wait; all raise if it fails on one.

    The file is ``<name>-<8 digits>.<ending>`` in ``checkpoints/`` of ``torch.hub.get_dir()``. The digits begin the
    SHA-256 of the address, query included, because many addresses end in the same name. A name with the file's own
    hash, ``<name>-<hash>.<ending>`` as torch and mmengine write it, is kept, and the hash is checked. A file
    ``<name>.<ending>`` is never read in place of the address, from which it need not be: the error names it.

    Args:
        url: an http(s) address. A user and password in it are sent, and hidden in messages.
        check: called with the path and a name for messages; raises CheckpointError if the file is not a checkpoint.
        sha256: the first 8 or more hexadecimal digits of the file's SHA-256. Default None: those in the name, if any.

    Returns:
        Path of the file.

    Raises:
        CheckpointMissing: if the file cannot be fetched; the error has the address, the reason, and the path for a
            copy that was fetched by other means.
        CheckpointError: if the address is invalid, the file is not a checkpoint, or its hash differs.
    """
    shown = shown_address(url)
    parts = _split(url, shown)
    path = Path(torch.hub.get_dir(), 'checkpoints', _cache_name(parts)).absolute()
    sha256 = sha256 or _hash_in_name(parts.name)
    failure = None
    if dist.get_local_rank() == 0:
        try:
            if path.is_file():
                if sha256:
                    check_hash(path, f'{shown} (at {printable(path, 1_000)})', sha256)
            else:
                with atomic_file(path) as partial:
                    _download(parts, partial)
                    if sha256:
                        check_hash(partial, shown, sha256)
                    check(partial, shown)
        except CheckpointError as error:
            failure = type(error), str(error)
        except (_DownloadError, UserError, OSError) as error:  # of the network, and of the file system
            reason = printable(getattr(error, 'strerror', None) or error, 1_000)
            text = (
                f'cannot fetch checkpoint {shown}: {reason}. Download it elsewhere and put it at '
                f'{printable(path, 1_000)}, or give the path of your copy with init_cfg.checkpoint'
            )
            # Version 0.1 asked for this name, which many addresses share.
            plain = path.with_name(''.join(_safe_name(parts)))
            if plain != path and plain.is_file():
                text += f'. If your copy is {printable(plain, 1_000)}, move it there'
            failure = CheckpointMissing, text
        except Exception as error:  # the other processes wait for an answer
            failure = CheckpointError, f'cannot fetch checkpoint {shown}: {type(error).__name__}: {printable(error)}'
    for failed in dist.all_gather_object(failure):
        if failed:
            kind, text = failed
            raise kind(text)
    return path


def shown_address(url: str) -> str:
    """An address for messages: escaped, cut, and without the user and password that it may hold."""
    return printable(re.sub(r'^([^/?#]*//)[^/?#]*@', r'\1***@', url), 500)


def check_hash(path: Path, name: str, sha256: str) -> None:
    """Raise CheckpointError if a file does not have this SHA-256, of which 8 to 64 hexadecimal digits are given."""
    if not re.fullmatch('[0-9a-f]{8,64}', sha256 := sha256.lower()):
        raise CheckpointError(
            f'sha256={printable(sha256, 80)!r} is not a hash; give 8 to 64 hexadecimal digits, as sha256sum prints'
        )
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if not (found := digest.hexdigest()).startswith(sha256):
        raise CheckpointError(
            f'refused checkpoint {name}: its SHA-256 is {found}, expected {sha256}; it is damaged or another file. '
            f'Remove it if it lies on your disk, and check the address'
        )


@dataclass
class _Parts:
    url: str  # without user and password
    login: str | None
    name: str


def _split(url: str, shown: str) -> _Parts:
    """Check an address, and escape the characters that it may not hold."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        host = parts.hostname
        path, query = (quote(text, safe="/%:@!$&'()*+,;=~?-._[]") for text in (parts.path, parts.query))
    except ValueError as error:
        raise CheckpointError(f'cannot fetch checkpoint {shown}: it is not an address, {printable(error)}') from error
    if not host or not re.fullmatch(r'[\w.:%-]+', host) or re.search(r'[\x00-\x1f\x7f]', url):
        raise CheckpointError(
            f'cannot fetch checkpoint {shown}: it is not an address; write https://host/folder/name.pth, without line '
            f'breaks'
        )
    name = unquote(path.rpartition('/')[2])
    if name in ('', '.', '..'):
        raise CheckpointError(f'cannot fetch checkpoint {shown}: the address names no file; add the name of the file')
    login, at, where = parts.netloc.rpartition('@')
    if not where.isascii():
        where = where.encode('idna').decode()
    return _Parts(urlunsplit((parts.scheme, where, path, query, '')), unquote(login) if at else None, name)


def _safe_name(parts: _Parts) -> tuple[str, str]:
    """The name of a file in the cache, without and from its last dot."""
    name = re.sub(r'[^A-Za-z0-9._-]', '_', parts.name).lstrip('.') or 'checkpoint'
    ending = re.search(r'\.[A-Za-z0-9]{1,12}$', name)
    return (name[: ending.start()][:100], ending[0]) if ending else (name[:100], '')


def _cache_name(parts: _Parts) -> str:
    stem, ending = _safe_name(parts)
    if _hash_in_name(stem + ending):
        return stem + ending
    return f'{stem}-{hashlib.sha256(parts.url.encode()).hexdigest()[:8]}{ending}'


def _hash_in_name(name: str) -> str | None:
    """The hash in ``name-<hash>.pth``; eight digits that are a date are none."""
    found = re.search(r'-([0-9a-f]{8,64})\.[A-Za-z0-9]+$', name)
    return found[1] if found and not re.fullmatch(r'(19|20)\d{6}', found[1]) else None


class _DownloadError(Exception):
    """A download failed; the text is the reason."""


class _Redirects(request.HTTPRedirectHandler):
    """Follows at most ten redirects, never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if req.type == 'https' and urlsplit(newurl).scheme != 'https':
            raise _DownloadError(f'it redirects from https to {shown_address(newurl)}')
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Transfer(threading.Thread):
    """Fetch an address into a file, in a thread: only then can a server be left that sends a byte now and then."""

    def __init__(self, url: request.Request, path: Path):
        super().__init__(daemon=True)
        self.url, self.path = url, path
        self.done, self.total = 0, None  # bytes that arrived, and that the server stated
        self.error: Exception | None = None
        self.is_abandoned = False

    def run(self) -> None:
        try:
            # Only these: urllib's own list has ftp:// and file://, where a redirect could lead.
            opener = request.OpenerDirector()
            for handler in (
                request.ProxyHandler(),
                request.HTTPHandler(),
                request.HTTPSHandler(),
                request.HTTPDefaultErrorHandler(),
                request.HTTPErrorProcessor(),
                request.UnknownHandler(),
                _Redirects(),
            ):
                opener.add_handler(handler)
            with opener.open(self.url, timeout=_PATIENCE) as response, self.path.open('wb') as file:
                self._copy(response, file)
        except Exception as error:  # handed to the thread that waits
            self.error = error

    def _copy(self, response: http.client.HTTPResponse, file) -> None:
        self.total = response.length
        room = shutil.disk_usage(self.path.parent).free - (64 << 20)
        limit = min(_LARGEST, room)
        if self.total is not None and self.total > limit:
            raise _DownloadError(f'it has {self.total:,} bytes; there is room for {limit:,}')
        while not self.is_abandoned and (block := response.read1(_BLOCK)):
            self.done += len(block)
            if self.done > limit:
                raise _DownloadError(f'it goes on after {limit:,} bytes')
            file.write(block)
        if self.total is not None and self.done != self.total:
            raise _DownloadError(f'it was cut short, {self.done:,} of {self.total:,} bytes came')


def _download(parts: _Parts, path: Path) -> None:
    req = request.Request(parts.url, headers={'User-Agent': f'mlp-backbones/{__version__}'})
    if parts.login:
        req.add_unredirected_header('Authorization', 'Basic ' + base64.b64encode(parts.login.encode()).decode())
    transfer = _Transfer(req, path)
    transfer.start()
    columns = TextColumn('{task.description}'), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task(printable(parts.name, 60), total=None)
        try:
            since, before = time.monotonic(), 0
            while transfer.is_alive():
                transfer.join(0.1)
                progress.update(task, completed=transfer.done, total=transfer.total)
                if time.monotonic() - since > _PATIENCE:
                    got = transfer.done - before
                    if transfer.is_alive() and got < _LEAST:
                        what = f'it sent {got:,} bytes in' if transfer.done else 'no answer within'
                        raise _DownloadError(f'{what} {_PATIENCE} seconds')
                    since, before = time.monotonic(), transfer.done
        finally:
            transfer.is_abandoned = True
    if transfer.error:
        raise _DownloadError(_reason(transfer.error)) from transfer.error


def _reason(error: Exception) -> str:
    if isinstance(error, url_error.HTTPError) and 'infinite loop' in str(error.reason):
        return 'its redirects have no end'
    if isinstance(error, url_error.HTTPError):
        return f'the server answered {error.code} {printable(error.reason, 100)}'
    if isinstance(error, url_error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return f'no answer within {_PATIENCE} seconds'
    if isinstance(error, ssl.SSLError):
        return f'its TLS connection is not safe, {printable(getattr(error, "verify_message", None) or error.reason)}'
    if isinstance(error, http.client.IncompleteRead):
        return 'it was cut short'
    if isinstance(error, http.client.HTTPException):
        return f'the server does not speak HTTP ({type(error).__name__})'
    return printable(getattr(error, 'strerror', None) or error, 500)
