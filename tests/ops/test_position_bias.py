import pytest
import torch
from torch.nn import functional as F

from mlp_backbones.ops import resize_position_bias


@pytest.mark.parametrize(('size', 'reduction'), [((5, 9), 2), ((3, 4), 2), ((1, 1), 2), ((7, 7), 1)])
def test_one_head_and_position_at_a_time(size, reduction):
    """Each answering position has a map over those that ask, then the reverse."""
    grid = 4
    coarse = grid // reduction
    bias = torch.randn(2, grid**2, coarse**2, dtype=torch.float64)
    small = tuple(-(-side // reduction) for side in size)
    got = resize_position_bias(torch.empty(1, 3, *size), bias, reduction)
    assert got.shape == (2, size[0] * size[1], small[0] * small[1])
    for head in range(2):
        maps = [bias[head, :, m].view(1, 1, grid, grid) for m in range(coarse**2)]
        asked = torch.stack([F.interpolate(one, size, mode='bicubic').flatten() for one in maps], 1)
        rows = [F.interpolate(row.view(1, 1, coarse, coarse), small, mode='bicubic').flatten() for row in asked]
        torch.testing.assert_close(got[head], torch.stack(rows), rtol=1e-12, atol=1e-12)


def test_the_native_size_keeps_the_bias():
    bias = torch.randn(2, 16, 4)
    assert resize_position_bias(torch.empty(1, 3, 4, 4), bias, 2) is bias
