"""Operators on interleaved maps."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlp_backbones.ops import on_phases


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(0, 2),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    dilation=st.integers(1, 4),
    channels_last=st.booleans(),
)
def test_each_phase_is_mapped_alone(batch, height, width, dilation, channels_last):
    x = torch.randn(batch, 3, height, width, dtype=torch.float64, requires_grad=True)
    laid_out = x.contiguous(memory_format=torch.channels_last) if channels_last else x

    def mix(maps):
        assert maps.shape == (batch * dilation**2, 3, -(-height // dilation), -(-width // dilation))
        return maps.cumsum(2).cumsum(3)  # no position sees those after it, which may be repetitions

    expected = torch.zeros_like(x)
    for row in range(dilation):
        for column in range(dilation):
            phase = (..., slice(row, None, dilation), slice(column, None, dilation))
            expected[phase] = x[phase].cumsum(2).cumsum(3)
    y = on_phases(laid_out, dilation, mix)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    grads = [torch.autograd.grad(out.square().sum(), x, retain_graph=True)[0] for out in (y, expected)]
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('size', [(1, 1), (5, 7), (6, 3), (8, 8)])
def test_the_first_phase_sees_no_repetition(size):
    x = torch.randn(2, 3, *size, dtype=torch.float64)

    def mix(maps):
        return maps - maps.mean((1, 2, 3), keepdim=True)

    for dilation in (2, 3, 4):
        chosen = (..., slice(None, None, dilation), slice(None, None, dilation))
        torch.testing.assert_close(on_phases(x, dilation, mix)[chosen], mix(x[chosen]), rtol=1e-12, atol=1e-12)


def test_the_last_row_and_column_are_repeated():
    seen = []

    def mix(maps):
        seen.append(maps)
        return maps

    x = torch.arange(6.0).view(1, 1, 2, 3)
    assert torch.equal(on_phases(x, 2, mix), x)
    assert seen[0].flatten(1).tolist() == [[0, 2], [1, 2], [3, 5], [4, 5]]
