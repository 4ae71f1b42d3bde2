"""Checkpoints written whole, and a resumed training that ends as an uninterrupted one."""

import copy
import os
import pickle
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from traceback import walk_stack

import numpy as np
import torch
from mmengine.dataset import worker_init_fn as default_worker_init_fn
from mmengine.dist import all_gather_object, all_reduce, barrier, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, EMAHook, Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, FlexibleRunner, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader, IterableDataset, dataloader

from ...checkpoints import CheckpointError, read_checkpoint
from ...errors import UserError, printable
from ...files import atomic_file, remove_leftovers, write_text
from ...registry import HOOKS, LOOPS

RESUME_HINT = 'go on with the same command and --resume'
UNVALIDATED = '; it is validated when the training is resumed'
LAST = 'last_checkpoint'
# What every module has; the rest of its attributes are its own.
_MODULE_ATTRIBUTES = frozenset(vars(torch.nn.Module()))


class _ResumableLoop:
    """What both training loops share: seeds, the pending validation, and what a checkpoint holds of the loop.

    A training is cut into parts (epochs, or blocks of iterations). Each part starts the random numbers of its process
    and of its data workers, which are started anew, from (seed, rank, part): it does not matter what ran before.
    Validation has random numbers of its own. A resumed training loads the batches of the current part that were
    trained before, so that the workers' random numbers are those of an uninterrupted run.
    """

    def _prepare(self, loader: DataLoader) -> None:
        self.batches = len(loader)
        self.init_worker = loader.worker_init_fn
        self.done = 0  # batches of the current part that were trained before
        self.random: dict | None = None  # the state after them
        self.outside: dict | None = None  # the state of the training, while it is validated
        self.validated = True

    def position(self, meta: dict) -> dict:
        """What a checkpoint with this ``meta`` needs to go on, beside epoch and iteration."""
        return dict(batches=self.batches, processes=get_world_size())

    def go_on(self, checkpoint: dict, random_state: dict | None) -> None:
        """Take over the position of a checkpoint.

        Raises:
            UserError: if the batch size, the data or the number of processes differ.
        """
        meta = checkpoint['meta']
        position = checkpoint.get('position', {})
        # mmengine's own loop saves at the end of an epoch, and does not note how many batches that is.
        batches = position.get('batches') or checkpoint.get('batches') or meta['iter'] // max(meta['epoch'], 1)
        now = dict(batches=self.batches, processes=get_world_size())
        before = dict(batches=batches if self._has_epochs or position else self.batches, processes=now['processes'])
        before.update({key: position[key] for key in now if key in position})
        if before != now:
            raise UserError(
                f'cannot go on: {before["batches"]} batches an epoch in {before["processes"]} process(es) were trained '
                f'before, and there are {now["batches"]} in {now["processes"]} now; resume with the batch size, data '
                f'and number of processes of before'
            )
        self.random = random_state
        # Checkpoints of others do not note it; those from the end of a training were saved before its validation.
        self.validated = checkpoint.get('validated', not self._is_behind_the_end(meta))

    def seed_part(self, part: int) -> None:
        runner, loader = self.runner, self.dataloader
        apart = runner._randomness_cfg.get('diff_rank_seed', False)
        seed = (runner.seed - apart * get_rank()) % 2**64  # mmengine adds the rank, which meets that of a later epoch
        seed_all(seed, part, get_rank() if apart else 0)
        # A key of another length is another stream. Workers of different processes always draw differently.
        loader.worker_init_fn = partial(_init_worker, init=self.init_worker, key=(seed, part, get_rank()))
        # Workers that outlive an epoch would go on with what they drew and cached in it.
        loader._iterator = None

    def pass_over(self, batches: Iterator, done: int) -> Iterator:
        """The batches after the first ``done``, with numbers, once the random state is that after them."""
        if done:
            self.runner.logger.info(f'passing over the {done} batches that were trained before')
            if self.random is None:
                self.runner.logger.warning('the checkpoint holds no random state: random numbers differ from here on')
        number = -1
        for number, batch in enumerate(batches):
            if number >= done:
                yield number, batch
            elif number == done - 1 and self.random:
                set_random_state(self.random)
        if number + 1 < done:
            raise UserError(
                f'cannot go on: {done} batches were trained before, and the data loader gives {number + 1} now; '
                f'resume with the batch size, data and number of processes of before'
            )

    def validate_if_due(self) -> None:
        self._decide_current_val_interval()
        step, last = (self._epoch, self._max_epochs) if self._has_epochs else (self._iter, self._max_iters)
        if self.runner.val_loop is None or step < self.val_begin or (step % self.val_interval and step != last):
            return
        self.outside = random_state()
        seed_all(self.runner.seed % 2**64, step)
        self.runner.val_loop.run()
        set_random_state(self.outside)
        self.outside = None


@LOOPS.register_module()
class ResumableEpochLoop(_ResumableLoop, EpochBasedTrainLoop):
    """mmengine's epochs, which a checkpoint from anywhere continues as if there had been no stop.

    Every epoch starts its random numbers and its data workers from (seed, epoch, rank), with ``persistent_workers``,
    too. The number of batches of an epoch is what the data loader gives; its ``len`` may be an estimate.
    """

    _has_epochs = True

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args, **kwargs):
        super().__init__(runner, dataloader, *args, **kwargs)
        self._prepare(self.dataloader)
        self.first = 0  # iteration that the current epoch began with

    def position(self, meta: dict) -> dict:
        within = meta['epoch'] == self._epoch
        return dict(super().position(meta), done=meta['iter'] - self.first if within else 0)

    def go_on(self, checkpoint: dict, random_state: dict | None) -> None:
        super().go_on(checkpoint, random_state)
        meta = checkpoint['meta']
        estimate = meta['iter'] - meta['epoch'] * self.batches
        self.done = checkpoint.get('position', {}).get('done', estimate if 0 < estimate <= self.batches else 0)
        self.first = meta['iter'] - self.done
        self.validated = self.validated or self.done > 0

    def _is_behind_the_end(self, meta: dict) -> bool:
        return meta['epoch'] >= self._max_epochs

    def run(self) -> torch.nn.Module:
        self.runner.call_hook('before_train')
        if not self.validated:
            self.validate_if_due()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self.validate_if_due()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        done, self.done = self.done, 0
        self.first = self._iter - done
        self.seed_part(self._epoch)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for number, batch in self.pass_over(self.dataloader, done):
            self.run_iter(number, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
        self.first = self._iter


@LOOPS.register_module()
class ResumableIterLoop(_ResumableLoop, IterBasedTrainLoop):
    """mmengine's iterations, which a checkpoint continues as if there had been no stop.

    The data workers are started anew every ``block`` iterations, with random numbers from (seed, block, rank). A
    resumed training draws the indices of all blocks before without loading them, and loads what was trained of the
    current block. Samplers draw their random numbers apart from the training.
    """

    _has_epochs = False
    block = 1000

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args, **kwargs):
        if not isinstance(dataloader, DataLoader):
            apart = runner._randomness_cfg.get('diff_rank_seed', False)
            dataloader = runner.build_dataloader(dataloader, seed=runner.seed, diff_rank_seed=apart)
        # mmengine 0.10.7 starts the workers in here, which takes the first indices out of an endless sampler.
        super().__init__(runner, DataLoader(dataloader.dataset, batch_size=None), *args, **kwargs)
        self.dataloader = dataloader
        self.dataloader_iterator = None
        self._prepare(dataloader)

    def position(self, meta: dict) -> dict:
        return dict(super().position(meta), block=self.block)

    def go_on(self, checkpoint: dict, random_state: dict | None) -> None:
        super().go_on(checkpoint, random_state)
        self.block = checkpoint.get('position', {}).get('block', self.block)
        if isinstance(self.dataloader.dataset, IterableDataset) and checkpoint['meta']['iter']:
            raise UserError(
                f'cannot go on: {type(self.dataloader.dataset).__name__} is an IterableDataset, which cannot continue '
                f'in its middle; use load_from to begin a training with these weights'
            )

    def _is_behind_the_end(self, meta: dict) -> bool:
        return meta['iter'] >= self._max_iters

    def run(self) -> torch.nn.Module:
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        if not self.validated:
            self.validate_if_due()
        batches = self._batches()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(batches))
            self.validate_if_due()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def _batches(self) -> Iterator:
        if isinstance(self.dataloader.dataset, IterableDataset):
            for number in count():
                self.seed_part(number)
                yield from self.dataloader
        part, done = divmod(self._iter, self.block)
        indices = self._indices()
        seed_all(self.runner.seed % 2**64)
        # The first time the indices of all blocks before are drawn, too.
        drawn = list(islice(indices, part * self.block, (part + 1) * self.block))
        while True:
            sampler_state = random_state()
            self.seed_part(part)
            for _, batch in self.pass_over(self._load(drawn), done):
                yield batch
            set_random_state(sampler_state)
            drawn = list(islice(indices, self.block))
            part, done = part + 1, 0

    def _indices(self) -> Iterator:
        """Indices of batch after batch, without end."""
        loader = self.dataloader
        batch_sampler = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
        samplers = (loader.sampler, getattr(batch_sampler, 'sampler', None))
        for number in count():
            sampler = next((s for s in samplers if hasattr(s, 'set_epoch')), None)
            if sampler is not None:
                sampler.set_epoch(number)
            found = False
            for indices in batch_sampler:
                found = True
                yield indices
            if not found:
                raise UserError('the training data loader gives no batch: the data set is smaller than a batch')

    def _load(self, indices: list) -> DataLoader:
        loader = self.dataloader
        how = dict(sampler=indices, batch_size=None) if loader.batch_sampler is None else dict(batch_sampler=indices)
        names = ('num_workers', 'collate_fn', 'pin_memory', 'timeout', 'worker_init_fn', 'multiprocessing_context')
        options = {name: getattr(loader, name) for name in (*names, 'prefetch_factor')}
        return DataLoader(loader.dataset, **how, **options)


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
    """For a Runner: every checkpoint is written whole or not at all, and holds the state of all processes.

    Raises, when it saves:
        UserError: if the checkpoint cannot be written.
    """

    def save_checkpoint(self, out_dir: str, filename: str, file_client_args: dict | None = None, **options) -> None:
        self.call_hook('before_save_of_all')
        save = partial(super().save_checkpoint, file_client_args=file_client_args)
        if '://' in str(out_dir) or file_client_args or options.get('backend_args') or get_rank():
            save(out_dir, filename, **options)
        else:
            save_whole(save, out_dir, filename, **options)


def save_whole(save: Callable, out_dir: str, filename: str, **options) -> None:
    """Write a checkpoint by ``save(out_dir, filename, **options)``, whole or not at all.

    Raises:
        UserError: if it cannot be written.
    """
    target = Path(out_dir, filename)
    try:
        with atomic_file(target) as path:
            save(str(path.parent), path.name, **options)
    except OSError as error:
        raise UserError(
            f'cannot write {printable(target)} ({error.strerror or error}): what was saved before is kept; make room, '
            f'then {RESUME_HINT}'
        ) from error


def newest_checkpoint(work_dir: str | Path) -> str | None:
    """The checkpoint of a work directory that was saved last.

    ``last_checkpoint`` is a hint: it may be missing, empty, older than a checkpoint, or name a file of the folder that
    this one was copied from. Of its file, ``interrupted.pth`` and the last two ``epoch_*.pth`` and ``iter_*.pth`` the
    one counts whose content was saved last. Of several, files that cannot be read are passed over with a warning.

    Args:
        work_dir: may be missing.

    Returns:
        Its path; None if there is none.

    Raises:
        CheckpointError: if there are some, and none can be read.
    """
    folder, hint = Path(work_dir), Path(work_dir, LAST)
    text = hint.read_text(errors='replace').strip() if hint.is_file() else ''
    groups = [sorted(folder.glob(f'{kind}_*.pth'), key=_number) for kind in ('epoch', 'iter')]
    latest = [max(group, key=lambda path: path.stat().st_mtime) for group in groups if group]
    found = [folder / Path(text).name if text else hint, folder / InterruptHook.filename, *latest]
    found = [
        path for path in dict.fromkeys([*found, *(path for group in groups for path in group[-2:])]) if path.is_file()
    ]
    found = [path for path in found if path != hint]
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


@HOOKS.register_module()
class InterruptHook(Hook):
    """On Ctrl-C (SIGINT, SIGTERM) saves ``interrupted.pth`` after the current iteration and raises KeyboardInterrupt.

    A second Ctrl-C stops at once, unless the checkpoint is being written. Of several processes any may be asked: all
    stop after the same iteration. If one of them dies, another saves the state after the last complete iteration, and
    UserError says so. In a thread that is not the main one, Python has no signals: Ctrl-C then saves nothing.

    Every checkpoint gets what a resumed training needs beside mmengine's own parts, of each process: random numbers,
    accumulated gradients, and what modules and EarlyStoppingHook keep in plain attributes. A hook of yours with
    ``state_dict`` and ``load_state_dict`` is saved and restored, too. The minutes of training and the number of
    parameters go to the visualizer, for tools/report.py.
    """

    priority = 'LOWEST'
    filename = 'interrupted.pth'

    def __init__(self):
        self.asked = False
        self.training = False
        self.validating = False
        self.stopping = False
        self.done = 0  # iterations
        self.processes: list[dict] = []  # their states
        self.counts: list[int] = []  # of backward passes, from the checkpoint
        self.attributes: dict | None = None  # of modules, before the training
        self.handlers: dict = {}
        self.sigchld = None  # torch's handler, while ours is in its place
        self.look_again: threading.Timer | None = None
        self.main_process = 0
        self.started = 0.0

    def before_train(self, runner: Runner) -> None:
        if self.attributes is None:
            self.attributes = _fingerprints(runner)
        for wrapper, number in zip(_optim_wrappers(runner), self.counts, strict=False):
            wrapper._inner_count = number
        if threading.current_thread() is threading.main_thread():
            # Data workers are forked later and inherit the handler of SIGINT: they ignore a terminal's Ctrl-C. For
            # SIGTERM torch gives them one of its own, which ends them.
            for number in (signal.SIGINT, signal.SIGTERM):
                self.handlers[number] = signal.signal(number, self._ask)
        else:
            runner.logger.info('training in a thread: Ctrl-C will not save a checkpoint')
        if get_rank() == 0:
            remove_leftovers(runner.work_dir)
            # A training that began in the same second has the same folder.
            Path(runner.log_dir, 'stopped').unlink(missing_ok=True)
        # CheckpointHook may save behind a validation: by then the patience is counted.
        counters = [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]
        others = [hook for hook in runner.hooks if hook not in counters]
        place = next((i for i, hook in enumerate(others) if isinstance(hook, CheckpointHook)), len(others))
        runner._hooks = [*others[:place], *counters, *others[place:]]
        self.main_process = os.getpid()
        self.training = True
        self.started = time.perf_counter()

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.done = runner.iter + 1
        asked = torch.tensor(int(self.asked))
        all_reduce(asked, 'max')
        if asked:
            self.before_save_of_all(runner)
            self._stop(runner, self.done)

    def before_val_epoch(self, runner: Runner) -> None:
        if self.training:
            # Here all processes still meet; a stop in the validation may be that of one.
            self.before_save_of_all(runner)
            self.validating = True

    def after_val_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        # Processes need not have as many validation batches as each other: each stops when it is asked.
        if self.asked:
            self._stop(runner, runner.iter, UNVALIDATED, together=False)

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        self.validating = False
        self.processes = []

    def after_lost_batch(self, runner: Runner) -> None:
        """Stops where the batch is missing of a data worker that a SIGTERM to the whole group ended, too."""
        if self.asked:
            self._stop(runner, runner.iter, UNVALIDATED if self.validating else '', together=False)

    def after_train(self, runner: Runner) -> None:
        self.training = False
        self._record(runner)
        self._restore()

    def before_save_of_all(self, runner: Runner) -> None:
        """Gather the state of all processes, each of which calls this."""
        self.processes = all_gather_object(self._state(runner))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        # Only where all processes stopped together is the state of each known.
        checkpoint['processes'] = self.processes if get_world_size() > 1 and self.processes else [self._state(runner)]
        self.processes = self.processes if self.validating else []
        if isinstance(runner.train_loop, _ResumableLoop):
            checkpoint['position'] = runner.train_loop.position(checkpoint['meta'])
            # CheckpointHook saves once more behind a validation that found the best metric.
            checkpoint['validated'] = self.validating and not self.stopping

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not runner._resume:
            return
        if 'optimizer' not in checkpoint and not isinstance(runner, FlexibleRunner):
            raise UserError(
                'cannot go on: the checkpoint holds no state of the optimizer (best_*.pth never do); resume from '
                'another one, or give it as load_from to begin a training with its weights'
            )
        # Checkpoints of before held random states only.
        states = checkpoint.get('processes') or [dict(random=s) for s in checkpoint.get('random_state', [])]
        state = states[get_rank() % len(states)] if states else {}
        self.attributes = _fingerprints(runner)
        owners = _owners(runner)
        for name, values in state.get('attributes', {}).items():
            for key, value in values.items() if name in owners else ():
                setattr(owners[name], key, value)
        for wrapper, gradients in zip(_optim_wrappers(runner), state.get('gradients', []), strict=False):
            for parameter, gradient in zip(_parameters(wrapper), gradients, strict=False):
                parameter.grad = None if gradient is None else gradient.to(parameter.device)
            if gradients:
                runner.logger.info('the accumulated gradients of the checkpoint are taken over')
        self.counts = state.get('counts', [])
        hooks = _hooks_with_state(runner)
        for name, saved in state.get('hooks', {}).items():
            if name in hooks:
                _load_hook(hooks[name], saved)
        loop = runner.train_loop
        if isinstance(loop, _ResumableLoop):
            loop.go_on(checkpoint, state.get('random'))
        else:
            runner.logger.warning(
                f'{type(loop).__name__} does not restore random numbers: augmentations will differ from those of an '
                f'uninterrupted training'
            )

    def after_lost_process(self, runner: Runner, error: RuntimeError) -> None:
        """Saves what this process has after a collective operation failed.

        The weights are those after the last complete iteration: optimizers step when the gradients have arrived.

        Raises:
            UserError: if training had begun, with what to do.
            SystemExit: if another process says it.
        """
        if not self.training:
            return
        iteration = max(self.done, runner.iter)
        self.processes = []
        if not self._save(runner, iteration):
            sys.exit(1)
        raise UserError(
            f'another process of this job is gone ({str(error).splitlines()[0]}); stopped after iteration {iteration} '
            f'and saved {Path(runner.work_dir, self.filename)}: {RESUME_HINT}'
        )

    def _state(self, runner: Runner) -> dict:
        """What is this process's own, in plain containers and tensors."""
        changed = {}
        for name, owner in _owners(runner).items():
            before = (self.attributes or {}).get(name, {})
            values = {key: value for key, value in _plain(owner).items() if before.get(key) != _fingerprint(value)}
            if values:
                changed[name] = values
        gradients = [[parameter.grad for parameter in _parameters(w)] for w in _optim_wrappers(runner)]
        return dict(
            random=getattr(runner.train_loop, 'outside', None) or random_state(),
            gradients=[found if any(g is not None for g in found) else [] for found in gradients],
            counts=[wrapper._inner_count for wrapper in _optim_wrappers(runner)],
            attributes=changed,
            hooks={name: _hook_state(hook) for name, hook in _hooks_with_state(runner).items()},
        )

    def _ask(self, number: int, frame: object) -> None:
        if os.getpid() != self.main_process:
            return
        if self.asked:
            raise KeyboardInterrupt('stopped at once; the checkpoint of this iteration is not saved')
        self.asked = True
        # Not SIG_IGN, with which the kernel takes away what torch and multiprocessing wait for.
        self.sigchld = signal.signal(signal.SIGCHLD, self._worker_ended)
        if get_rank() == 0:
            # print may be interrupted in itself.
            os.write(2, b'\nsaving a checkpoint after this iteration; Ctrl-C again stops at once\n')

    def _worker_ended(self, number: int, frame: object) -> None:
        """A data worker that the same SIGTERM ended is no error inside an iteration, which goes on to its end.

        It is one where its batch is waited for: if the worker ended in the middle of sending it, the rest never comes.
        """
        if any(f.f_code.co_filename == dataloader.__file__ for f, _ in walk_stack(frame)):
            if callable(self.sigchld):
                self.sigchld(number, frame)
        else:
            # The wait may be about to begin.
            if self.look_again:
                self.look_again.cancel()
            self.look_again = threading.Timer(0.5, signal.pthread_kill, (threading.main_thread().ident, number))
            self.look_again.daemon = True
            self.look_again.start()

    def _stop(self, runner: Runner, iteration: int, remark: str = '', together: bool = True) -> None:
        saved = self._save(runner, iteration)
        if together:
            barrier()
        self._restore()
        if not saved:
            sys.exit(130)
        path = Path(runner.work_dir, self.filename)
        raise KeyboardInterrupt(f'stopped after iteration {iteration}; saved {path}{remark}\n{RESUME_HINT}')

    def _save(self, runner: Runner, iteration: int) -> bool:
        """Whether it was this process that saved: the first to get here, for any may be the one that is gone."""
        # Nothing may cut the writing short.
        for number in self.handlers:
            signal.signal(number, signal.SIG_IGN)
        self.stopping = True
        if self.validating:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook) and getattr(hook, 'evaluate_on_ema', True):
                    # The moving average stands in for the weights while it is validated.
                    hook._swap_ema_parameters()
        options = dict(out_dir=runner.work_dir, filename=self.filename, meta=dict(epoch=runner.epoch, iter=iteration))
        if isinstance(runner, FlexibleRunner):
            # Each of its processes may hold a part.
            runner.save_checkpoint(**options)
            if get_rank():
                return False
        else:
            try:
                Path(runner.log_dir, 'stopped').touch(exist_ok=False)
            except FileExistsError:
                return False
            # Not the method itself, which does nothing but in the process of rank 0.
            save_whole(partial(Runner.save_checkpoint.__wrapped__, runner), **options)
        write_text(Path(runner.work_dir, LAST), str(Path(runner.work_dir, self.filename)))
        self._record(runner)
        return True

    def _restore(self) -> None:
        if self.look_again:
            self.look_again.cancel()
            self.look_again.join()
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        self.handlers = {}
        if self.sigchld is not None:
            signal.signal(signal.SIGCHLD, self.sigchld)
            self.sigchld = None

    def _record(self, runner: Runner) -> None:
        parameters = sum(p.numel() for p in runner.model.parameters())
        minutes = (time.perf_counter() - self.started) / 60
        runner.visualizer.add_scalars(dict(minutes=minutes, parameters=parameters), step=runner.iter)


def seed_all(*key: int) -> None:
    """Start all generators of this process from a key of non-negative integers, each key its own stream."""
    # As plain entropy a key would be the same with zeros behind it.
    sequence = np.random.SeedSequence(key[0], spawn_key=key[1:])
    first, second, third = sequence.generate_state(3, np.uint64).tolist()
    random.seed(first)
    np.random.seed([second % 2**32, second >> 32])
    torch.manual_seed(third)


def _init_worker(worker: int, init: Callable | None, key: tuple[int, ...]) -> None:
    is_default = isinstance(init, partial) and init.func is default_worker_init_fn
    if is_default:
        init(worker)  # for what it does beside seeding
    seed_all(*key, worker)
    if init is not None and not is_default:
        init(worker)


def _optim_wrappers(runner: Runner) -> list:
    wrapper = runner.optim_wrapper
    return list(wrapper.optim_wrappers.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def _parameters(wrapper: object) -> list[torch.nn.Parameter]:
    return [parameter for group in wrapper.optimizer.param_groups for parameter in group['params']]


def _owners(runner: Runner) -> dict[str, object]:
    """All modules of the model, and the objects that they hold, by a name that is the same after a restart."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    found = {}
    for name, module in model.named_modules():
        found[name] = module
        known = ('mm', type(module).__module__)  # not loggers, devices or what else torch and Python have
        for key, value in vars(module).items():
            if key not in _MODULE_ATTRIBUTES:
                for number, held in enumerate(value if isinstance(value, (list, tuple)) else [value]):
                    is_object = hasattr(held, '__dict__') and not isinstance(held, (torch.nn.Module, type, dict))
                    if is_object and not callable(held) and type(held).__module__.startswith(known):
                        found[f'{name}:{key}:{number}'] = held
    return found


def _plain(owner: object) -> dict[str, object]:
    """The attributes that are data: numbers, text, tensors outside of the state dict, and containers of them."""
    skipped = _MODULE_ATTRIBUTES if isinstance(owner, torch.nn.Module) else ()
    return {key: value for key, value in vars(owner).items() if key not in skipped and _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, torch.Tensor):
        return type(value) is torch.Tensor and value.grad_fn is None
    if type(value) is dict:
        return all(_is_plain(item) for pair in value.items() for item in pair)
    if type(value) in (list, tuple):
        return all(_is_plain(item) for item in value)
    return value is None or type(value) in (bool, int, float, str) or isinstance(value, (np.ndarray, np.generic))


def _fingerprint(value: object) -> int:
    return hash(pickle.dumps(value))


def _fingerprints(runner: Runner) -> dict[str, dict[str, int]]:
    return {
        name: {key: _fingerprint(value) for key, value in _plain(owner).items()}
        for name, owner in _owners(runner).items()
    }


def _hooks_with_state(runner: Runner) -> dict[str, Hook]:
    hooks = [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook) or hasattr(hook, 'state_dict')]
    return {f'{number} {type(hook).__name__}': hook for number, hook in enumerate(hooks)}


def _hook_state(hook: Hook) -> dict:
    if hasattr(hook, 'state_dict'):
        return copy.deepcopy(hook.state_dict())
    return dict(wait_count=hook.wait_count, best_score=float(hook.best_score))


def _load_hook(hook: Hook, state: dict) -> None:
    if hasattr(hook, 'load_state_dict'):
        hook.load_state_dict(state)
    else:
        hook.wait_count, hook.best_score = state['wait_count'], state['best_score']


def random_state() -> dict:
    """The state of all generators in this process, in plain containers and tensors."""
    name, keys, *rest = np.random.get_state()
    return dict(
        python=random.getstate(),
        numpy=(name, keys.tolist(), *rest),
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    )


def set_random_state(state: dict) -> None:
    version, keys, gauss = state['python']
    random.setstate((version, tuple(keys), gauss))
    np.random.set_state(tuple(state['numpy']))
    torch.set_rng_state(state['torch'].cpu())
    if len(state['cuda']) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([s.cpu() for s in state['cuda']])
