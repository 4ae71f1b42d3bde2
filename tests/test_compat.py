"""Every torch from 2.1 on gives the same answers."""

import pytest
import torch

from mlp_backbones import compat
from mlp_backbones.errors import UserError


def test_autocast_dtype():
    assert compat.autocast_dtype('cpu') is None
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert compat.autocast_dtype('cpu') == torch.bfloat16
        assert compat.autocast_dtype('cuda') is compat.autocast_dtype('meta') is None
        with torch.autocast('cpu', enabled=False):
            assert compat.autocast_dtype('cpu') is None


def test_a_torch_that_is_too_old_is_an_error_with_both_versions():
    compat.require(compat.TORCH, 'a task')
    with pytest.raises(UserError) as error:
        compat.require((99, 1), 'a task')
    assert '99.1' in str(error.value) and torch.__version__ in str(error.value)
