import torch

from mlp_backbones.layers import DropPath, LayerNorm2d, Mlp, SplitAttention


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
