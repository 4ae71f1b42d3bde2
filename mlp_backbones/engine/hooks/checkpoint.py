"""Write checkpoints whole or not at all, and find the newest one of a work directory."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import Runner

from ...checkpoints import CheckpointError, read_checkpoint
from ...errors import printable
from ...files import atomic_file, writing
from ...registry import HOOKS

LAST = 'last_checkpoint'
INTERRUPTED = 'interrupted.pth'
RESUME_HINT = 'go on with the same command and --resume'


@HOOKS.register_module()
class KeepingCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, but a checkpoint is removed only when the one that replaces it is written.

    In a work directory that was copied or moved, it takes the checkpoints there for those that the training wrote.
    """

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        info = runner.message_hub.runtime_info
        for key in [key for key in info if key == 'last_ckpt' or key.startswith('best_ckpt')]:
            if info[key]:
                runner.message_hub.update_info(key, os.path.join(self.out_dir, Path(str(info[key])).name))
        if self.save_best is not None and len(self.key_indicators) == 1:
            self.best_ckpt_path = info.get('best_ckpt')
        elif self.save_best is not None:
            self.best_ckpt_path_dict = {key: info.get(f'best_ckpt_{key}') for key in self.key_indicators}
        self.last_ckpt = info.get('last_ckpt')

    def _save_checkpoint_with_step(self, runner: Runner, *args, **kwargs) -> None:
        self._remove_later(super()._save_checkpoint_with_step, runner, *args, **kwargs)

    def _save_best_checkpoint(self, runner: Runner, *args, **kwargs) -> None:
        self._remove_later(super()._save_best_checkpoint, runner, *args, **kwargs)

    def _remove_later(self, save: Callable, *args, **kwargs) -> None:
        backend = self.file_backend
        if isinstance(backend, _LateRemoval):
            save(*args, **kwargs)
            return
        self.file_backend = _LateRemoval(backend)
        try:
            save(*args, **kwargs)
            for remove, path in self.file_backend.removals:
                remove(path)
        finally:
            self.file_backend = backend


class _LateRemoval:
    """A file backend of mmengine that notes what to remove."""

    def __init__(self, backend: object):
        self.backend = backend
        self.removals: list[tuple[Callable, str]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.removals.append((self.backend.remove, path))

    def rmtree(self, path: str) -> None:
        self.removals.append((self.backend.rmtree, path))


class WholeCheckpoints:
    """A mix-in for runners: every checkpoint is written whole or not at all, and holds the state of all processes."""

    def save_checkpoint(self, out_dir: str, filename: str, file_client_args: dict | None = None, **options) -> None:
        self.call_hook('before_save_of_all')
        save = partial(super().save_checkpoint, file_client_args=file_client_args)
        if '://' in str(out_dir) or file_client_args or options.get('backend_args') or get_rank():
            save(out_dir, filename, **options)
        else:
            save_whole(save, out_dir, filename, **options)


def save_whole(save: Callable, out_dir: str, filename: str, **options) -> None:
    """Write a checkpoint by ``save(out_dir, filename, **options)``, whole, or raise UserError."""
    target = Path(out_dir, filename)
    with writing(target, f'what was saved before is kept; make room, then {RESUME_HINT}'), atomic_file(target) as path:
        save(str(path.parent), path.name, **options)


def newest_checkpoint(work_dir: str | Path) -> str | None:
    """Return the path of the checkpoint of a work directory that was saved last; None if there is none.

    ``last_checkpoint`` is a hint: it may be missing, empty, older than a checkpoint, or name a file of the folder that
    this one was copied from. Of its file, ``interrupted.pth`` and the last two ``epoch_*.pth`` and ``iter_*.pth`` the
    one counts whose content was saved last. Of several, files that cannot be read are passed over with a warning.

    Raises:
        CheckpointError: if there are some, and none can be read.
    """
    folder, hint = Path(work_dir), Path(work_dir, LAST)
    text = hint.read_text(errors='replace').strip() if hint.is_file() else ''
    groups = [sorted(folder.glob(f'{kind}_*.pth'), key=_number) for kind in ('epoch', 'iter')]
    latest = [max(group, key=lambda path: path.stat().st_mtime) for group in groups if group]
    last_two = [path for group in groups for path in group[-2:]]
    named = [folder / Path(text).name] if text else []
    found = [path for path in dict.fromkeys([*named, folder / INTERRUPTED, *latest, *last_two]) if path.is_file()]
    if not found:
        # default_hooks.checkpoint.out_dir may have put it elsewhere.
        return text if text and Path(text).is_file() else None
    if len(found) == 1:
        return str(found[0])
    saved, errors = {}, []
    for path in found:
        try:
            meta = read_checkpoint(path).get('meta', {})
            saved[path] = str(meta.get('time', '')), meta.get('iter', 0), path.stat().st_mtime
        except CheckpointError as error:
            errors.append(error)
            print_log(f'passing over {printable(path)}: {error}', logger='current', level=30)
    if not saved:
        raise errors[0]
    return str(max(saved, key=saved.get))


def _number(path: Path) -> int:
    end = path.stem.rpartition('_')[2]
    return int(end) if end.isdecimal() else -1
