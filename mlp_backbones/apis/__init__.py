"""Functions for users: configs, inference, export, submissions, reports and the zoo."""

from .config import load_config
from .memory import keep_freed_memory
from .prepare import TestOptions, TrainOptions, prepare_test, prepare_train
from .report import write_report

__all__ = [
    'TestOptions',
    'TrainOptions',
    'keep_freed_memory',
    'load_config',
    'prepare_test',
    'prepare_train',
    'write_report',
]
