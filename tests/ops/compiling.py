"""What operators do in compiled graphs, run without a compiler."""

import pytest

from mlp_backbones.ops import capture, native_grid, regions, tensors


def pretend_compiling(patch: pytest.MonkeyPatch) -> None:
    """Let operators take the form that they have in graphs."""
    for module in (capture, native_grid, regions, tensors):
        patch.setattr(module, 'is_compiling', lambda: True)
