"""Published file formats: safe reading, key maps, a loader that reports, and conversion both ways."""

from .convert import convert, inspect
from .identify import Identity, identify
from .load import LoadReport, load_published, load_trained
from .read import CheckpointError, CheckpointMissing, find_state_dict, read_checkpoint

__all__ = [
    'CheckpointError',
    'CheckpointMissing',
    'Identity',
    'LoadReport',
    'convert',
    'find_state_dict',
    'identify',
    'inspect',
    'load_published',
    'load_trained',
    'read_checkpoint',
]
