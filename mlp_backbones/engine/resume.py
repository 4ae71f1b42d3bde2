"""Ctrl-C leaves a checkpoint in the middle of an epoch, and a resumed run ends as an uninterrupted one."""

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from traceback import walk_stack

import numpy as np
import torch
from mmengine.dist import all_gather_object, all_reduce, barrier, get_rank
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import EpochBasedTrainLoop, FlexibleRunner, Runner, set_random_seed
from torch.utils.data import dataloader

from ..registry import HOOKS, LOOPS
from .config import UserError

ADVICE = 'go on with the same command and --resume'
UNVALIDATED = '; its validation is left to tools/test.py'


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """mmengine's epochs, but a checkpoint from the middle of one goes on behind its last batch.

    Every epoch starts its random numbers from (seed, epoch), so that it does not matter what ran before. With
    ``persistent_workers`` the workers' augmentations still differ after a resume.
    """

    resumed_random_state: dict | None = None

    def run_epoch(self) -> None:
        runner = self.runner
        done = self._iter - self._epoch * len(self.dataloader)
        if done:
            runner.logger.info(f'passing over the {done} batches of epoch {self._epoch + 1} that were trained before')
        set_random_seed((runner.seed + self._epoch) % 2**32)
        runner.call_hook('before_train_epoch')
        runner.model.train()
        for idx, data_batch in enumerate(self.dataloader):
            if idx == done - 1 and self.resumed_random_state:
                set_random_state(self.resumed_random_state)
            if idx >= done:
                self.run_iter(idx, data_batch)
        runner.call_hook('after_train_epoch')
        self._epoch += 1


@HOOKS.register_module()
class InterruptHook(Hook):
    """On Ctrl-C (SIGINT, SIGTERM) saves ``interrupted.pth`` after the current iteration and raises KeyboardInterrupt.

    A second Ctrl-C stops at once, unless the checkpoint is being written. Of several processes any may be asked: all
    stop after the same iteration. If one of them dies, another saves the state after the last complete iteration, and
    UserError says so. The random state goes into every checkpoint; the minutes of training and the number of
    parameters go to the visualizer, for tools/report.py.
    """

    priority = 'LOWEST'
    filename = 'interrupted.pth'

    def __init__(self):
        self.asked = False
        self.validating = False
        self.done = 0  # iterations
        self.random_states: list[dict] = []  # of all processes
        self.handlers: dict = {}
        self.sigchld = None  # torch's handler, while ours is in its place
        self.look_again: threading.Timer | None = None
        self.main_process = 0
        self.started = 0.0

    def before_train(self, runner: Runner) -> None:
        # Data workers are forked later and inherit the handler of SIGINT: they ignore a terminal's Ctrl-C. For SIGTERM
        # torch gives them one of its own, which ends them.
        for number in (signal.SIGINT, signal.SIGTERM):
            self.handlers[number] = signal.signal(number, self._ask)
        self.main_process = os.getpid()
        self.started = time.perf_counter()

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.done = runner.iter + 1
        asked = torch.tensor(int(self.asked))
        all_reduce(asked, 'max')
        if asked:
            self.random_states = all_gather_object(random_state())
            self._stop(runner, self.done)

    def before_val_epoch(self, runner: Runner) -> None:
        self.validating = True

    def after_val_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        # Processes need not have as many validation batches as each other: each stops when it is asked.
        if self.asked:
            self._stop(runner, runner.iter, UNVALIDATED)

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        self.validating = False

    def after_lost_batch(self, runner: Runner) -> None:
        """Stops where the batch is missing of a data worker that a SIGTERM to the whole group ended, too."""
        if self.asked:
            self._stop(runner, runner.iter, UNVALIDATED if self.validating else '')

    def after_train(self, runner: Runner) -> None:
        self._record(runner)
        self._restore()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        # Only where all processes stopped together is the state of each known.
        checkpoint['random_state'] = self.random_states or [random_state()]
        if isinstance(runner.train_loop, ResumableEpochLoop):
            checkpoint['batches'] = len(runner.train_loop.dataloader)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not runner._resume or not isinstance(runner.train_loop, ResumableEpochLoop):
            return
        meta, found = checkpoint['meta'], len(runner.train_loop.dataloader)
        # mmengine's own loop saves at the end of an epoch alone, and does not say how many batches that is.
        batches = checkpoint.get('batches') or meta['iter'] // max(meta['epoch'], 1)
        if batches != found:
            raise UserError(
                f'cannot go on: {batches} batches an epoch were trained before, and there are {found} now; '
                f'resume with the batch size, data and number of processes of before'
            )
        if 'random_state' in checkpoint:
            states = checkpoint['random_state']
            states = [states] if isinstance(states, dict) else states  # as checkpoints were before
            runner.train_loop.resumed_random_state = states[get_rank() % len(states)]

    def after_lost_process(self, runner: Runner, error: RuntimeError) -> None:
        """Saves what this process has after a collective operation failed.

        The weights are those after the last complete iteration: optimizers step when the gradients have arrived.

        Raises:
            UserError: if training had begun, with what to do.
            SystemExit: if another process says it.
        """
        if not self.handlers:
            return
        iteration = max(self.done, runner.iter)
        if not self._save(runner, iteration):
            sys.exit(1)
        raise UserError(
            f'another process of this job is gone ({str(error).splitlines()[0]}); stopped after iteration {iteration} '
            f'and saved {Path(runner.work_dir, self.filename)}: {ADVICE}'
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

    def _stop(self, runner: Runner, iteration: int, remark: str = '') -> None:
        saved = self._save(runner, iteration)
        if self.random_states:
            barrier()
        self._restore()
        if not saved:
            sys.exit(130)
        path = Path(runner.work_dir, self.filename)
        raise KeyboardInterrupt(f'stopped after iteration {iteration}; saved {path}{remark}\n{ADVICE}')

    def _save(self, runner: Runner, iteration: int) -> bool:
        """Whether it was this process that saved: the first to get here, for any may be the one that is gone."""
        # Nothing may cut the writing short.
        for number in self.handlers:
            signal.signal(number, signal.SIG_IGN)
        self._record(runner)
        if self.validating:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
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
            Runner.save_checkpoint.__wrapped__(runner, **options)
        Path(runner.work_dir, 'last_checkpoint').write_text(str(Path(runner.work_dir, self.filename)))
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
