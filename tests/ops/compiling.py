"""What operators do in compiled graphs, run without a compiler."""

import pytest

from mlp_backbones.ops import capture, native_grid, norm, shift, tensors


def pretend_compiling(patch: pytest.MonkeyPatch, exporting: bool = True) -> None:
    """Let operators take the form that they have in exported graphs, or in compiled ones."""
    for module in (capture, native_grid, shift, tensors):
        patch.setattr(module, 'is_compiling', lambda: True)
    for module in (capture, norm):
        patch.setattr(module, 'is_dynamo_compiling', lambda: not exporting)
