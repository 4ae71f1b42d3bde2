"""Read checkpoint files safely, load them with a report, identify the network, and convert names both ways."""

from .convert import convert, inspect
from .identify import Identity, identify
from .load import LoadReport, load_published, load_trained
from .loader import install_loader
from .read import CheckpointError, CheckpointMissing, read_checkpoint
from .state_dict import find_state_dict

__all__ = [
    'CheckpointError',
    'CheckpointMissing',
    'Identity',
    'LoadReport',
    'convert',
    'find_state_dict',
    'identify',
    'inspect',
    'install_loader',
    'load_published',
    'load_trained',
    'read_checkpoint',
]
