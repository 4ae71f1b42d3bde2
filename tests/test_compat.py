"""Every torch from 2.1 on gives the same answers."""

import pytest
import torch

from mlp_backbones import compat
from mlp_backbones.errors import UserError
from mlp_backbones.registry import OPTIMIZERS


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


def test_fused_adamw_steps_as_torch_does():
    torch.manual_seed(0)
    start, gradient = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    ends = []
    for kind in (OPTIMIZERS.get('mlp_backbones.FusedAdamW'), torch.optim.AdamW):
        parameter = torch.nn.Parameter(start.clone())
        optimizer = kind([dict(params=[parameter], lr=1e-2)], weight_decay=0.1)
        for _ in range(3):
            parameter.grad = gradient
            optimizer.step()
        ends.append(parameter.detach())
    torch.testing.assert_close(*ends)
    assert not torch.equal(ends[0], start)
