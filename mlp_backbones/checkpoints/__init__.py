"""Published file formats: safe reading, key maps, and a loader that reports."""

from .load import LoadReport, load_published, load_trained
from .read import CheckpointError, CheckpointMissing, find_state_dict, read_checkpoint

__all__ = [
    'CheckpointError',
    'CheckpointMissing',
    'LoadReport',
    'find_state_dict',
    'load_published',
    'load_trained',
    'read_checkpoint',
]
