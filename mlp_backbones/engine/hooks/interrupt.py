"""Save a checkpoint when training is interrupted, and resume it exactly."""

import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from traceback import walk_stack

import torch
from mmengine.dist import all_gather_object, all_reduce, barrier, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, EMAHook, Hook
from mmengine.runner import FlexibleRunner, Runner
from torch.utils.data import dataloader

from ...errors import UserError
from ...files import remove_leftovers, write_text
from ...registry import HOOKS
from ..loops import ResumableLoop
from ..state import (
    fingerprint,
    fingerprints,
    hook_state,
    hooks_with_state,
    load_hook,
    optim_wrappers,
    owners,
    parameters,
    plain,
    random_state,
)
from .checkpoint import INTERRUPTED, LAST, RESUME_HINT, save_whole

UNVALIDATED = '; it is validated when the training is resumed'


@HOOKS.register_module()
class InterruptHook(Hook):
    """Save ``interrupted.pth`` after the current iteration on Ctrl-C (SIGINT, SIGTERM), and raise KeyboardInterrupt.

    A second Ctrl-C stops at once, unless the checkpoint is being written. Of several processes any may be asked: all
    stop after the same iteration. If one of them dies, another saves the state after the last complete iteration, and
    UserError reports it. Python has signals only in the main thread: in another one Ctrl-C saves nothing.

    Every checkpoint gets what a resumed training needs beside mmengine's own parts, of each process: random numbers,
    accumulated gradients, and what modules and EarlyStoppingHook keep in plain attributes. A hook of yours with
    ``state_dict`` and ``load_state_dict`` is saved and restored, too. The minutes of training and the number of
    parameters go to the visualizer, for tools/report.py.
    """

    priority = 'LOWEST'
    filename = INTERRUPTED

    def __init__(self):
        self.asked = False
        self.training = False
        self.validating = False
        self.stopping = False
        self.lost = False  # another process
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
            self.attributes = fingerprints(runner)
        for wrapper, number in zip(optim_wrappers(runner), self.counts, strict=False):
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
            # All processes still meet at this point; one of them may stop in the validation.
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
        """Stop where the batch is missing of a data worker that a SIGTERM to the whole group ended, too."""
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
        if isinstance(runner.train_loop, ResumableLoop):
            checkpoint['position'] = runner.train_loop.position(checkpoint['meta'])
            # CheckpointHook saves once more behind a validation that found the best metric.
            checkpoint['validated'] = self.validating and not self.stopping

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not runner._resume:
            return
        # Checkpoints of before held random states only.
        states = checkpoint.get('processes') or [dict(random=s) for s in checkpoint.get('random_state', [])]
        state = states[get_rank() % len(states)] if states else {}
        self.attributes = fingerprints(runner)
        found = owners(runner)
        for name, values in state.get('attributes', {}).items():
            for key, value in values.items() if name in found else ():
                setattr(found[name], key, value)
        # Each process adds up gradients of its own, which their last step averages: any number can begin with the mean.
        parts = [state] if len(states) == get_world_size() else states
        for wrapper, *gradients in zip(
            optim_wrappers(runner), *(part.get('gradients', []) for part in parts), strict=False
        ):
            for parameter, *each in zip(parameters(wrapper), *gradients, strict=False):
                held = [gradient.to(parameter.device) for gradient in each if gradient is not None]
                parameter.grad = sum(held) / len(parts) if held else None
            if gradients and all(gradients):
                runner.logger.info('the accumulated gradients of the checkpoint are taken over')
        self.counts = state.get('counts', [])
        hooks = hooks_with_state(runner)
        for name, saved in state.get('hooks', {}).items():
            if name in hooks:
                load_hook(hooks[name], saved)
        loop = runner.train_loop
        if isinstance(loop, ResumableLoop):
            loop.go_on(checkpoint, state.get('random') if len(states) == get_world_size() else None)
        else:
            runner.logger.warning(
                f'{type(loop).__name__} does not restore random numbers: augmentations will differ from those of an '
                f'uninterrupted training'
            )

    def after_lost_process(self, runner: Runner, error: RuntimeError) -> None:
        """Save what this process has after a collective operation failed, and raise UserError with what to do.

        The weights are those after the last complete iteration: optimizers step when the gradients have arrived. Those
        of the broken iteration are left out, and with them what was accumulated before. If another process reports it,
        SystemExit is raised.
        """
        if not self.training:
            return
        iteration = max(self.done, runner.iter)
        self.processes = []
        self.lost = True
        if not self._save(runner, iteration):
            sys.exit(1)
        raise UserError(
            f'another process of this job is gone ({str(error).splitlines()[0]}); stopped after iteration {iteration} '
            f'and saved {Path(runner.work_dir, self.filename)}: {RESUME_HINT}'
        )

    def _state(self, runner: Runner) -> dict:
        """The state of only this process, in plain containers and tensors."""
        changed = {}
        before = self.attributes or {}
        for name, owner in owners(runner).items():
            old = before.get(name, {})
            changed[name] = {key: value for key, value in plain(owner).items() if old.get(key) != fingerprint(value)}
        gradients = [[parameter.grad for parameter in parameters(w)] for w in optim_wrappers(runner)]
        return dict(
            random=getattr(runner.train_loop, 'outside', None) or random_state(),
            gradients=[[] if self.lost or all(g is None for g in found) else found for found in gradients],
            # DeepSpeed counts in its engine.
            counts=[getattr(wrapper, '_inner_count', 0) for wrapper in optim_wrappers(runner)],
            attributes={name: values for name, values in changed.items() if values},
            hooks={name: hook_state(hook) for name, hook in hooks_with_state(runner).items()},
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
        """Save unless another process did, and return whether this one saved: any may be the one that is gone."""
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
        # The slash keeps mmdet's analyze_logs.py from taking them for a step of the training.
        runner.visualizer.add_scalars({'run/minutes': minutes, 'run/parameters': parameters}, step=runner.iter)
