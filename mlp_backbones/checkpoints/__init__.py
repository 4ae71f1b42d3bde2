"""Read checkpoint files safely, load them with a report, identify the network, and convert names both ways."""

from .convert import convert, inspect
from .identify import Identity, identify
from .load import LoadReport, load_published, load_trained
from .loader import install_loader
from .publish import publish
from .read import CheckpointError, CheckpointMissing, read_checkpoint
from .state_dict import find_state_dict
from .weights import Weights, find_weights, list_weights

__all__ = [
    'CheckpointError',
    'CheckpointMissing',
    'Identity',
    'LoadReport',
    'Weights',
    'convert',
    'find_state_dict',
    'find_weights',
    'identify',
    'inspect',
    'install_loader',
    'list_weights',
    'load_published',
    'load_trained',
    'publish',
    'read_checkpoint',
]
