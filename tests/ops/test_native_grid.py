"""Fixed grids on maps of any size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mlp_backbones.ops import SPATIAL_RULES, on_native_grid


def mixing(grid):
    """A linear map of all positions with a bias, so that padding and its place show."""
    generator = torch.Generator().manual_seed(grid)
    weight = torch.randn(grid * grid, grid * grid, dtype=torch.float64, generator=generator)
    bias = torch.randn(grid * grid, dtype=torch.float64, generator=generator)

    def mix(x):
        assert x.shape[2:] == (grid, grid)
        return F.linear(x.flatten(2), weight, bias).view(x.shape)

    return mix


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 2),
    channels=st.integers(1, 3),
    height=st.integers(1, 11),
    width=st.integers(1, 11),
    grid=st.integers(1, 4),
    channels_last=st.booleans(),
)
def test_tile_mixes_each_tile_alone(batch, channels, height, width, grid, channels_last):
    mix = mixing(grid)
    x = torch.randn(batch, channels, height, width, dtype=torch.float64, requires_grad=True)
    laid_out = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    rows, columns = -(-height // grid), -(-width // grid)
    padded = torch.zeros(batch, channels, rows * grid, columns * grid, dtype=torch.float64)
    padded[:, :, :height, :width] = x
    expected = torch.zeros_like(padded)
    for row in range(0, rows * grid, grid):
        for column in range(0, columns * grid, grid):
            tile = (..., slice(row, row + grid), slice(column, column + grid))
            expected[tile] = mix(padded[tile])
    expected = expected[:, :, :height, :width]
    y = on_native_grid(laid_out, grid, 'tile', mix)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    grads = [torch.autograd.grad(out.square().sum(), x, retain_graph=True)[0] for out in (y, expected)]
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('size', [(1, 1), (4, 4), (3, 9), (12, 7)])
def test_resize_goes_to_the_native_grid_and_back(size):
    mix = mixing(4)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    native = F.interpolate(x, (4, 4), mode='bicubic', align_corners=False)
    expected = F.interpolate(mix(native), size, mode='bicubic', align_corners=False)
    torch.testing.assert_close(on_native_grid(x, 4, 'resize', mix), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('rule', SPATIAL_RULES)
def test_native_sizes_are_mixed_as_they_are(rule):
    x = torch.randn(2, 3, 4, 4)
    mix = torch.nn.Conv2d(3, 3, 4, padding='same')
    assert torch.equal(on_native_grid(x, 4, rule, mix), mix(x))
