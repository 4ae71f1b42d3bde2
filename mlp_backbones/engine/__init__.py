"""Components of an mmengine Runner: the runner, its loops, hooks and optimizer constructors."""

from ..moved import engine_name as __getattr__  # noqa: F401
from .hooks.auxiliary_loss import AuxiliaryLossHook
from .hooks.checkpoint import KeepingCheckpointHook
from .hooks.classes import ClassesHook
from .hooks.contact_sheet import ContactSheetHook
from .hooks.interrupt import InterruptHook
from .hooks.progress import ProgressHook
from .hooks.result import ResultHook
from .loops import ResumableEpochLoop, ResumableIterLoop
from .optimizers import LayerDecayOptimWrapperConstructor
from .runner import TerminalRunner, build_runner

__all__ = [
    'AuxiliaryLossHook',
    'ClassesHook',
    'ContactSheetHook',
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
