"""The Runner of the tools, and the choice of a runner for a config."""

import os
import re
from datetime import timedelta
from functools import partial
from traceback import walk_tb

import torch
from mmengine.config import Config
from mmengine.evaluator import DumpResults, Evaluator
from mmengine.fileio import dump
from mmengine.logging import MMLogger, print_log
from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner, Runner
from torch.utils.data import dataloader

from ..checkpoints import install_loader
from ..compat import fuses_adamw
from ..errors import UserError, printable
from ..files import FULL_DISK, atomic_file, writing
from .data import CheckedData
from .hooks.checkpoint import RESUME_HINT, WholeCheckpoints
from .hooks.load import LoadHook
from .hooks.progress import terminal_handlers
from .nodes import type_name

# The last two are about mmengine's own hooks.
_PAGES = ('Config:', 'Hooks will be executed', '\n-----', '"FileClient" will be', '"HardDiskBackend" is the alias')
_UNSAFE_STRATEGIES = ('DeepSpeedStrategy', 'ColossalAIStrategy')
# How gloo and NCCL word it when a process at the other end is gone or silent.
_LOST = re.compile('Connection (closed|reset) by peer|Broken pipe|Timed out waiting|NCCL')


class TerminalRunner(CheckedData, WholeCheckpoints, Runner):
    """mmengine's Runner, with seven differences.

    It reads files safely and refuses a checkpoint that does not fit (:class:`.LoadHook`). Environment, config and hook
    lists go only to the log file. Without a GPU, several processes communicate through gloo. If the connection to
    another process breaks or a batch cannot be loaded, it calls hooks (``after_lost_process``, ``after_lost_batch``).
    It reports faults of data sets and annotation files in one sentence. Checkpoints and dumped predictions are written
    whole or not at all.
    """

    def setup_env(self, env_cfg: dict) -> None:
        install_loader()
        _join(self.launcher, env_cfg)
        if self.on_cpus:
            self.cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
        super().setup_env(env_cfg)

    def register_hooks(self, *args, **kwargs) -> None:
        super().register_hooks(*args, **kwargs)
        self.register_hook(LoadHook())

    def build_evaluator(self, evaluator: dict | list | Evaluator) -> Evaluator:
        built = super().build_evaluator(evaluator)
        for metric in built.metrics:
            if isinstance(metric, DumpResults):
                metric.compute_metrics = partial(_dump_whole, metric.out_file_path)
        return built

    @property
    def on_cpus(self) -> bool:
        return self.distributed and not torch.cuda.is_available()

    def wrap_model(self, model_wrapper_cfg: dict | None, model: torch.nn.Module) -> torch.nn.Module:
        if self.on_cpus:
            defaults = dict(
                broadcast_buffers=False, find_unused_parameters=self.cfg.get('find_unused_parameters', False)
            )
            # There is no device to name, and DistributedDataParallel refuses a number.
            model_wrapper_cfg = dict(model_wrapper_cfg or defaults, device_ids=None)
        return super().wrap_model(model_wrapper_cfg, model)

    def train(self) -> torch.nn.Module:
        try:
            return super().train()
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL_DISK:
                raise UserError(
                    f'{error.strerror}: {printable(error.filename or self.work_dir)}; make room, then {RESUME_HINT}'
                ) from error
            # Of a worker that is just ending, the connection may break before torch knows: no text tells all of them.
            if any(frame.f_code.co_filename == dataloader.__file__ for frame, _ in walk_tb(error.__traceback__)):
                self.call_hook('after_lost_batch')
            if isinstance(error, RuntimeError) and self.distributed and _LOST.search(str(error)):
                self.call_hook('after_lost_process', error=error)
            raise

    def build_logger(self, *args, **kwargs) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in terminal_handlers(logger):
            handler.addFilter(lambda record: not str(record.msg).startswith(_PAGES))
        logger.info(f'environment, config and log: {self._log_dir}')
        if self.on_cpus:
            logger.info(f'torch sees no GPU: {self.world_size} processes on CPUs, which communicate through gloo')
        return logger


def build_runner(config: Config) -> Runner | FlexibleRunner:
    """Build the runner of a prepared config: :class:`TerminalRunner`, or the one that its ``runner_type`` names.

    Raises:
        UserError: if there are several processes, and too few GPUs for the launcher, or if it would load a checkpoint
            with a strategy whose own loader runs what is in files.
    """
    fuse_where_possible(config)
    if not config.get('runner_type'):
        return TerminalRunner.from_cfg(config)
    kind = type_name(config.get('strategy') or {})
    if kind in _UNSAFE_STRATEGIES and (config.get('resume') or config.get('load_from')):
        raise UserError(
            f'{kind} reads checkpoints with a loader of its own, which can run code from them: '
            f'leave resume and load_from out, or train with DDPStrategy or FSDPStrategy'
        )
    install_loader()
    _join(config.launcher, config.get('env_cfg', {}))
    if config.runner_type == 'FlexibleRunner':
        is_whole = kind in ('', 'SingleDeviceStrategy', 'DDPStrategy')  # those write one file
        runner = (WholeFlexibleRunner if is_whole else CheckedFlexibleRunner).from_cfg(config)
    else:
        runner = RUNNERS.build(config)
    runner.register_hook(LoadHook())
    return runner


class CheckedFlexibleRunner(CheckedData, FlexibleRunner):
    """mmengine's FlexibleRunner, which reports faults of data sets in one sentence."""


class WholeFlexibleRunner(WholeCheckpoints, CheckedFlexibleRunner):
    """A FlexibleRunner whose checkpoints are written whole or not at all."""


def _dump_whole(target: str, results: list) -> dict:
    """Replace ``DumpResults.compute_metrics``, which leaves half a file when it is interrupted."""
    with writing(target, 'free space or give another file'), atomic_file(target) as path:
        dump(results, str(path), file_format='pkl')
    print_log(f'predictions: {printable(target)}', logger='current')
    return {}


def fuse_where_possible(config: Config) -> None:
    """Leave ``fused=True`` out of an optimizer where this torch has no such kernel, and log it."""
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if optimizer.get('fused') and not fuses_adamw(device):
        optimizer.fused = False
        print_log(f'fused=True of the optimizer is left out: on {device} it needs torch 2.4 or newer', logger='current')


def _join(launcher: str, env_cfg: dict) -> None:
    """Join processes on CPUs, which mmengine's launchers cannot do: they select a GPU first."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if launcher == 'none' or int(os.environ.get('LOCAL_RANK', 0)) < gpus:
        return
    if gpus:
        raise UserError(f'each process needs a GPU of its own: start {gpus}, as many as torch sees on this machine')
    if launcher != 'pytorch':
        raise UserError(
            f'--launcher {launcher} needs GPUs, and torch sees none: --launcher pytorch, under torchrun, runs on CPUs'
        )
    limit = env_cfg.get('dist_cfg', {}).get('timeout')
    options = {} if limit is None else dict(timeout=timedelta(seconds=limit))
    torch.distributed.init_process_group('gloo', **options)
