"""Differences between versions of torch (from 2.1 on) and of mmengine; no other module asks for a version.

Source: the release notes of torch 2.1 to 2.11.
"""

from functools import cache

import torch
from mmengine.logging import print_log
from mmengine.runner import checkpoint as mmengine_checkpoint

from .errors import UserError

TORCH = tuple(int(part) for part in torch.__version__.split('+')[0].split('.')[:2])
# What the tests run with; other versions are allowed, and named in the log once.
TESTED = ((2, 1), (2, 4), (2, 6), (2, 11), (2, 13))
OLDEST = TESTED[0]

# Whether mmengine's own loader reads the checkpoints of its runners. From 2.6 on, torch.load refuses the log buffers in
# them unless it is told otherwise; the original mmengine, up to 0.10.7, does not.
MMENGINE_READS_RUNNERS = TORCH < (2, 6) or hasattr(mmengine_checkpoint, '_safe_torch_load')

if TORCH >= (2, 3):
    is_compiling = torch.compiler.is_compiling
    is_dynamo_compiling = torch.compiler.is_dynamo_compiling
else:
    # torch.export uses Dynamo only, so that the two questions have one answer.
    is_compiling = is_dynamo_compiling = torch._dynamo.external_utils.is_compiling


def known_equal(a: int, b: int) -> bool:
    """Return whether two sizes are equal; in a graph of open sizes, whether they are for every image."""
    if not is_compiling():
        return a == b
    # A module that torch loads late, and has loaded where it compiles.
    return TORCH >= (2, 4) and torch.fx.experimental.symbolic_shapes.statically_known_true(a == b)


def autocast_dtype(device: str) -> torch.dtype | None:
    """Return the dtype that autocast has for matrix products on a kind of device; None where it is off.

    Args:
        device: the kind, such as 'cpu' or 'cuda'.
    """
    if TORCH >= (2, 4):
        # Dynamo cannot trace the first question.
        if not is_compiling() and not torch.amp.is_autocast_available(device):
            return None
        return None if not torch.is_autocast_enabled(device) else torch.get_autocast_dtype(device)
    if device == 'cuda':
        return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None
    if device == 'cpu':
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return None


def fuses_adamw(device: str) -> bool:
    """Return whether torch updates all parameters on a kind of device in one kernel of AdamW."""
    return device == 'cuda' or (device == 'cpu' and TORCH >= (2, 4))


def flop_registry() -> dict:
    """Return torch's operators to functions that count their floating point operations; renamed in torch 2.2."""
    from torch.utils import flop_counter  # late, as it imports triton

    return getattr(flop_counter, 'flop_registry' if TORCH >= (2, 2) else 'flop_mapping')


@cache
def log_untested() -> None:
    """Log once that the tests of this package did not run with this torch."""
    if TORCH not in TESTED:
        tested = ', '.join(f'{major}.{minor}' for major, minor in TESTED)
        print_log(f'mlp_backbones is tested with torch {tested}, not with {torch.__version__}', logger='current')


def require(version: tuple[int, int], task: str) -> None:
    """Check that this torch is new enough for a task.

    Args:
        version: the oldest torch that can do it, as (major, minor).
        task: the subject of the error's sentence, such as 'export to ONNX'.

    Raises:
        UserError: if torch is older.
    """
    if version > TORCH:
        needed = '.'.join(map(str, version))
        raise UserError(f'{task} needs torch {needed} or newer, and this is torch {torch.__version__}: update torch')
