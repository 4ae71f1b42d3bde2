"""Make a file to give away from a checkpoint of a training."""

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import torch

from ..errors import CheckpointError
from ..files import atomic_file

KEPT = ('meta', 'state_dict')


def publish(content: Mapping, target: Path) -> tuple[Path, tuple[str, ...]]:
    """Write a checkpoint of a training without what only training needs, named by its hash as torch names files.

    The tensors and ``meta`` (config, classes, versions) stay; the states of optimizer, schedulers, log and data, and
    the raw weights beside a moving average go: with EMAHook, ``state_dict`` holds the average.

    Args:
        content: of the checkpoint, as :func:`read_checkpoint` returns it.
        target: such as ``a/mine.pth`` for ``a/mine-0123abcd.pth``, with the first 8 digits of the file's SHA-256.

    Returns:
        (path of the file, keys that were left out).

    Raises:
        CheckpointError: if the checkpoint has no ``state_dict``, as tools/train.py writes it.
    """
    if 'state_dict' not in content:
        raise CheckpointError(
            f'the checkpoint has no state_dict but {", ".join(map(str, [*content][:5]))}: --publish takes a checkpoint '
            f'of a training; convert published weights without it'
        )
    buffer = BytesIO()
    torch.save({key: content[key] for key in KEPT if key in content}, buffer)
    digits = hashlib.sha256(buffer.getbuffer()).hexdigest()[:8]
    target = target.with_name(f'{target.stem}-{digits}{target.suffix}')
    with atomic_file(target) as aside:
        aside.write_bytes(buffer.getbuffer())
    return target, tuple(key for key in content if key not in KEPT)
