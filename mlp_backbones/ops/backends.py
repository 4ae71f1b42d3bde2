"""Choice of the implementation that an operator runs: for each call, or pinned by name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from torch import Tensor

from ..compat import TORCH, is_compiling
from .capture import is_captured, is_transformed

# The first implementation is the definition, which the others are tested against; the later ones are faster where they
# run.
IMPLEMENTATIONS = {
    'cycle_mix': ('plain', 'folded'),
    'hire_mix': ('plain', 'folded'),
    'cycle_linear': ('plain', 'triton'),
    'axial_linear': ('plain', 'triton'),
    'group_norm_gelu': ('plain', 'triton'),
    'group_norm_linear': ('plain', 'folded'),
}
NAMES = ('plain', 'folded', 'triton')
VARIABLE = 'MLP_BACKBONES_BACKEND'

_pinned: str | None = None


def active_backends(device: str | torch.device = 'cpu') -> dict[str, str]:
    """Return the implementation of each operator on large maps on a device.

    Compiled and exported graphs use 'folded' where it is faster in them, else the plain implementation, which compilers
    fuse themselves. Always plain are graphs of ``torch.jit.trace``, the transforms of ``torch.func``, and mixers whose
    layers have hooks, are parametrized or were replaced.

    Args:
        device: 'cpu' or 'cuda'. Default 'cpu'.

    Returns:
        Operator to 'plain' (the definition), 'folded' (the weights contain the maps after the branches or the norm
        before; on the CPU, in ``hire_mix`` only without gradients, in ``group_norm_linear`` only when compiled without
        gradients) or 'triton' (kernels that shift while they load; only when pinned, see
        :func:`use_backend`).

    Raises:
        ValueError: if the environment variable ``MLP_BACKBONES_BACKEND`` pins an unknown name.
        RuntimeError: if it pins a backend that cannot run on the device.
    """
    name = _pinned or os.environ.get(VARIABLE) or None
    if name:
        _check(name, torch.device(device).type)
        return {op: name if name in known else 'plain' for op, known in IMPLEMENTATIONS.items()}
    folds = torch.device(device).type == 'cpu'
    return {op: 'folded' if folds and 'folded' in known else 'plain' for op, known in IMPLEMENTATIONS.items()}


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Pin the backend of all operators that have it; the others run plain.

    Pin the backward pass together with the forward pass. The environment variable ``MLP_BACKBONES_BACKEND`` does the
    same for a whole process.

    Args:
        name: 'plain', 'folded' or 'triton'.

    Raises:
        ValueError: if there is no backend of this name.
        RuntimeError: if it cannot run: at once when triton is not installed, otherwise at the first tensor.
    """
    global _pinned
    _check(name)
    before, _pinned = _pinned, name
    try:
        yield
    finally:
        _pinned = before


def select_implementation(op: str, x: Tensor, folding_pays: bool = False) -> str:
    """Return the implementation of operator ``op`` for a call on ``x``.

    Args:
        op: a key of ``IMPLEMENTATIONS``.
        x: the input of the call.
        folding_pays: whether the folded implementation saves more time than its set-up takes. Default False.
    """
    if is_compiling():
        pinned = _pinned or os.environ.get(VARIABLE)
        folds = folding_pays and x.is_cpu and pinned != 'plain' and 'folded' in IMPLEMENTATIONS[op]
        return 'folded' if folds else 'plain'
    if is_captured() or is_transformed() or isinstance(x, torch.fx.Proxy):
        return 'plain'
    chosen = active_backends(x.device)[op]
    pinned = _pinned or os.environ.get(VARIABLE)
    return chosen if pinned or chosen != 'folded' or folding_pays else 'plain'


def _check(name: str, device: str | None = None) -> None:
    if name not in NAMES:
        raise ValueError(f'unknown backend {name!r} (use_backend, {VARIABLE}): choose one of {", ".join(NAMES)}')
    if name == 'triton' and TORCH < (2, 4):
        raise RuntimeError(f'the backend triton needs torch 2.4 or newer, and this is torch {torch.__version__}')
    if name == 'triton' and find_spec('triton') is None:
        raise RuntimeError('the backend triton needs the package triton, which is not installed: `pip install triton`')
    if name == 'triton' and device not in (None, 'cuda') and os.environ.get('TRITON_INTERPRET') != '1':
        raise RuntimeError(
            f'the backend triton runs only on CUDA devices, not on {device}: '
            f'move the model to one, or unset {VARIABLE} or use_backend'
        )
