"""What operators do in compiled graphs, run without a compiler."""

import pytest

from mlp_backbones.ops import capture, native_grid, norm, position_bias, shift, tensors


def pretend_compiling(patch: pytest.MonkeyPatch, exporting: bool = True) -> None:
    """Let operators take the form that they have in exported graphs, or in compiled ones."""
    for module in (capture, shift, tensors):
        patch.setattr(module, 'is_compiling', lambda: True)
    for module in (native_grid, position_bias, tensors):
        patch.setattr(module, 'known_equal', lambda a, b: False)  # sizes are open
    for module in (capture, norm):
        patch.setattr(module, 'is_dynamo_compiling', lambda: not exporting)
