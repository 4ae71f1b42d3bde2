import pytest
import torch

from mlp_backbones.layers import DropPath, LayerNorm2d, Mlp, RescalePyramid, SplitAttention


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    x = torch.ones(4000, 2, 3, 3)
    y = DropPath(0.3)(x)
    per_sample = y.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    kept = per_sample[:, 0] != 0
    assert torch.allclose(per_sample[kept], torch.tensor(1 / 0.7))
    assert abs(kept.float().mean() - 0.7) < 0.03
    assert DropPath(0.3).eval()(x) is x


def test_layer_norm_is_over_channels_alone():
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    norm = LayerNorm2d(6).double()
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(norm(x), expected)


def test_mlp_treats_every_position_alone():
    mlp = Mlp(4, 8, 5)
    x = torch.randn(1, 4, 3, 3)
    torch.testing.assert_close(mlp(x)[..., 1:2, 2:3], mlp(x[..., 1:2, 2:3]))


def test_reweight_of_equal_branches_is_that_branch():
    x = torch.randn(2, 8, 3, 5)
    torch.testing.assert_close(SplitAttention(8, 3)(x, x, x), x)


def test_reweight_of_narrow_branches():
    assert SplitAttention(2, 3)(*torch.randn(3, 1, 2, 1, 1)).shape == (1, 2, 1, 1)


@pytest.mark.parametrize(
    ('scales', 'expected'),
    [
        ((4, 2, 1, 0.5), ((28, 20), (14, 10), (7, 5), (4, 3))),
        ((3.5, 1.75, 0.875, 0.4375), ((25, 18), (13, 9), (7, 5), (4, 3))),
        ((0.25, 1.5), ((2, 2), (11, 8))),
    ],
)
def test_pyramid_sizes(scales, expected):
    pyramid = RescalePyramid([4] * len(scales), scales)
    outputs = pyramid([torch.rand(2, 4, 7, 5)] * len(scales))
    assert [tuple(output.shape) for output in outputs] == [(2, 4, *size) for size in expected]
    sum(output.sum() for output in outputs).backward()
    assert all(parameter.grad is not None for parameter in pyramid.parameters())
    tiny = pyramid([torch.rand(1, 4, 1, 1)] * len(scales))
    assert all(min(output.shape[2:]) >= 1 for output in tiny)


def test_pyramid_keeps_what_has_the_stride_and_pools_what_is_coarser():
    x = torch.rand(1, 3, 8, 6)
    same, pooled = RescalePyramid([3, 3], [1, 0.5])([x, x])
    assert torch.equal(same, x)
    assert torch.equal(pooled, x.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2)))


@pytest.mark.parametrize('scales', [(1,), (1, 0), (1, -2), ()])
def test_pyramid_names_wrong_scales(scales):
    with pytest.raises(ValueError, match='scales'):
        RescalePyramid([4, 4], scales)
