"""Hooks that a config of a test can name, to see inside the process of a tool."""

import json
import os
import signal
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
class CtrlCInValidation(Hook):
    """What a user does who has seen enough."""

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        os.kill(os.getpid(), signal.SIGINT)
