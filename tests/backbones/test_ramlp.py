import pytest
import torch
from torch import nn

import mlp_backbones as mb
from mlp_backbones.backbones.ramlp import RaMLPBlock, RegionMixer
from tests.backbones.slim import slim, slim_arch


@pytest.mark.parametrize(
    ('arch', 'parameters', 'depths'),
    [
        ('tiny', 25_063_293, (3, 3, 12, 3)),
        ('small', 38_678_673, (3, 8, 27, 3)),
        ('base', 68_497_736, (3, 8, 18, 3)),
        # The README's 58 M.
        (dict(dims=(96, 192, 384, 768), depths=(3, 8, 12, 3)), 57_688_130, (3, 8, 12, 3)),
    ],
)
def test_published_parameter_counts(arch, parameters, depths):
    with torch.device('meta'):
        net = mb.build_classifier('RaMLP', arch=arch)
    assert net.backbone.stage_depths() == depths
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_scales_of_the_residual_are_in_the_last_two_stages():
    net = slim('RaMLP')
    for stage in net.stages:
        for block in stage.blocks:
            assert isinstance(block, RaMLPBlock)
            scaled = stage in (net.stages[2], net.stages[3])
            assert isinstance(block.res_scale1, nn.Identity) is isinstance(block.res_scale2, nn.Identity) is not scaled


def test_padding_inside_the_mixer_comes_before_its_norm():
    """A map that the parts do not divide is mixed as its zero-padded form, cut off afterwards."""
    mixer = RegionMixer(4, 8, 4, 1, nn.BatchNorm2d).double().eval()
    x = torch.randn(1, 4, 6, 7, dtype=torch.float64)
    near = nn.functional.pad(mixer.dwconv1(mixer.pwconv1(x)), (0, 1, 0, 2))
    vectors = near.view(8, 4, 2, 4, 2).permute(0, 2, 4, 1, 3).reshape(-1, 16) @ mixer.sfc.weight[:, :, 0, 0].T / 16
    far = vectors.view(8, 2, 2, 4, 4).permute(0, 3, 1, 4, 2).reshape(1, 8, 8, 8)[:, :, :6, :7]
    expected = mixer.proj(mixer.bn1(far) * mixer.bn2(mixer.pwconv2(x)))
    torch.testing.assert_close(mixer(x), expected, rtol=1e-12, atol=1e-12)


def test_widths_that_do_not_divide_are_named():
    with pytest.raises(ValueError, match=r'one whose widths divide dims .* expand_ratios; stage 3 has not'):
        mb.RaMLP(slim_arch('RaMLP') | dict(widths=(1, 1, 1, 7)))
