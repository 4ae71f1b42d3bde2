"""Reads checkpoint files, and never runs what is in them."""

import argparse
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine import dist

from ..errors import CheckpointError, CheckpointMissing


class _Inert:
    """Stands in for the log buffers in mmengine's checkpoints: takes whatever it is given, and does nothing."""

    def __init__(self, *args: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


# All that a file may ask for beside tensors and plain containers.
_ALLOWED = [
    argparse.Namespace,
    (OrderedDict, 'yacs.config.CfgNode'),  # a dict with attributes, in AS-MLP's files
    # numpy scalars; numpy 1 and 2 name the module of their maker differently
    np.dtype,
    *{type(np.dtype(code)) for code in '?bhilBHILefd'},
    *((np.float64(0).__reduce__()[0], f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
]

# What the log buffers in the checkpoints of mmengine's runner ask for; none of it is made.
_SKIPPED = [
    (_Inert, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (_Inert, 'builtins.getattr'),
    (_Inert, 'numpy.ndarray'),
    *((_Inert, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
]


def read_checkpoint(source: str | Path) -> dict:
    """Reads a checkpoint with ``weights_only=True`` and a short allow-list.

    Args:
        source: path of a file, or an http(s) address, which is fetched once into torch's hub folder.

    Returns:
        What the file holds, tensors on the CPU.

    Raises:
        CheckpointError: if the file cannot be had or read, or asks for anything but tensors, plain containers,
            ``argparse.Namespace``, yacs' config nodes and numpy scalars; the sentence names what it asked for.
    """
    path = Path(_fetch(source)) if urlparse(str(source)).scheme in ('http', 'https') else Path(source)
    try:
        if not path.is_file():
            what = 'a folder' if path.is_dir() else 'no such file'
            raise CheckpointMissing(
                f'cannot read checkpoint {path}: {what}; give the path of a .pth file or an http(s) address'
            )
        content = _load(path)
    except CheckpointError:
        raise
    except PermissionError as error:
        raise CheckpointError(f'cannot read checkpoint {path}: no permission; make it readable for you') from error
    except Exception as error:
        asked = isinstance(error, UnpicklingError) and re.search(r'(?:GLOBAL|class|function) (\S+)', str(error))
        if asked:
            raise CheckpointError(
                f'refused to read checkpoint {path}: it asks for {asked[1]}, which could run code; nothing of it was '
                f'run. Only files with tensors, plain containers, argparse.Namespace, yacs config nodes and numpy '
                f'scalars are read'
            ) from error
        raise CheckpointError(
            f'cannot read checkpoint {path}: it is broken, cut short, or not a torch file '
            f'({type(error).__name__}: {str(error).partition(chr(10))[0]})'
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f'checkpoint {path} holds a {type(content).__name__}, expected a dict of tensors')
    return dict(content)


def _load(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(_ALLOWED):
            return torch.load(path, map_location='cpu', weights_only=True)
    except UnpicklingError as error:
        with torch.serialization.safe_globals(_ALLOWED + _SKIPPED):
            content = torch.load(path, map_location='cpu', weights_only=True)
        if not isinstance(content, Mapping) or 'message_hub' not in content:
            raise error
        return content


def _fetch(url: str) -> Path:
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(url).path).name)
    error = None
    if dist.get_local_rank() == 0 and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path))
        except OSError as caught:
            error = caught
    dist.barrier()
    if not path.is_file():
        reason = f' ({error})' if error else ''
        raise CheckpointMissing(
            f'cannot fetch checkpoint {url}{reason}: download it elsewhere and put it at {path}, or give the path of '
            f'your copy with init_cfg.checkpoint'
        ) from error
    return path
