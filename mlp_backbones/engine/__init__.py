"""What the command lines in tools/ share, on top of mmengine's Runner. Nothing in the package imports this."""

from .config import UserError, load_config, prepare_test, prepare_train
from .progress import ProgressHook, TerminalRunner, build_runner
from .report import write_report
from .resume import InterruptHook, KeepingCheckpointHook, ResumableEpochLoop, ResumableIterLoop

__all__ = [
    'InterruptHook',
    'KeepingCheckpointHook',
    'ProgressHook',
    'ResumableEpochLoop',
    'ResumableIterLoop',
    'TerminalRunner',
    'UserError',
    'build_runner',
    'load_config',
    'prepare_test',
    'prepare_train',
    'write_report',
]
