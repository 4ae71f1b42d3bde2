"""Hooks that a config of a test can name, to see inside the process of a tool."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class LossRecorder(Hook):
    """Appends ``[iteration, loss, random number]`` to ``<work directory>/losses_<rank>.jsonl`` after each iteration.

    Each process draws another number of random numbers, as augmentations do.
    """

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        record = [runner.iter + 1, outputs['loss'].item(), torch.rand(1 + runner.rank)[0].item()]
        with Path(runner.work_dir, f'losses_{runner.rank}.jsonl').open('a') as file:
            file.write(json.dumps(record) + '\n')


@HOOKS.register_module()
class Stop(Hook):
    """Sends a signal to the whole group, data workers too, when the hook ``point`` is called.

    Another process sends it, as a terminal, torchrun or slurm does: data workers of torch heed their parent otherwise.
    With ``last`` all other hooks are called before.
    """

    def __init__(self, point: str, name: str, last: bool = False):
        self.command = ['kill', f'-{name}', '--', f'-{os.getpgrp()}']
        self.last = last
        setattr(self, point, self._send)

    def before_train(self, runner) -> None:
        if self.last:
            runner._hooks = sorted(runner.hooks, key=lambda hook: hook is self)

    def _send(self, runner, **kwargs) -> None:
        subprocess.run(self.command)
        # Time for the workers to end.
        time.sleep(1)


@HOOKS.register_module()
class Die(Hook):
    """Kills the process of a rank before an iteration, once; the gradients of the others then never meet its own."""

    def __init__(self, rank: int, iteration: int):
        self.rank, self.iteration = rank, iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        done = Path(runner.work_dir, 'died')
        if runner.rank == self.rank and runner.iter + 1 == self.iteration and not done.exists():
            done.touch()
            os.kill(os.getpid(), signal.SIGKILL)
