"""What an mmengine Runner takes: the runner, its loops, hooks and optimizer constructors."""

from .hooks.auxiliary_loss import AuxiliaryLossHook
from .hooks.classes import ClassesHook
from .hooks.interrupt import InterruptHook, KeepingCheckpointHook, ResumableEpochLoop, ResumableIterLoop
from .hooks.result import ResultHook
from .optimizers import LayerDecayOptimWrapperConstructor
from .runner import ProgressHook, TerminalRunner, build_runner

__all__ = [
    'AuxiliaryLossHook',
    'ClassesHook',
    'InterruptHook',
    'KeepingCheckpointHook',
    'LayerDecayOptimWrapperConstructor',
    'ProgressHook',
    'ResultHook',
    'ResumableEpochLoop',
    'ResumableIterLoop',
    'TerminalRunner',
    'build_runner',
]
