"""What one family has and the others have not: its variants, arguments, norms and initialisation."""

import pytest
import torch
from torch import nn

import mlp_backbones as mb
from mlp_backbones.layers import DropPath, LayerNorm2d, Mlp
from mlp_backbones.ops import axial_shift
from tests.backbones.slim import DEPTHS, DIMS, loss_of, slim

MILLIONS = {
    'asmlp_tiny': 28.3,
    'asmlp_small': 49.6,
    'asmlp_base': 87.7,
    'convmlp_s': 9.0,
    'convmlp_m': 17.4,
    'convmlp_l': 42.7,
    'cyclemlp_b1': 15.2,
    'cyclemlp_b2': 26.8,
    'cyclemlp_b3': 38.4,
    'cyclemlp_b4': 51.8,
    'cyclemlp_b5': 75.7,
    'hiremlp_tiny': 18.0,
    'hiremlp_small': 33.1,
    'hiremlp_base': 58.2,
    'hiremlp_large': 95.7,
}


@pytest.mark.parametrize('name', mb.list_backbones())
def test_published_parameter_counts(name):
    with torch.device('meta'):
        net = mb.build_classifier(name)
    assert abs(sum(p.numel() for p in net.parameters()) / 1e6 - MILLIONS[name]) < 0.06  # the papers round, and cut


def test_drop_path_of_the_whole_network_and_of_each_stage_of_convmlp():
    def rates(family, **kwargs):
        return [m.rate for m in slim(family, **kwargs).modules() if isinstance(m, DropPath)]

    for family in ('ASMLP', 'CycleMLP', 'HireMLP'):
        assert rates(family, drop_path_rate=0.5) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
        assert set(rates(family)) == {0}
    net = mb.build_backbone('ConvMLP', arch='s')
    found = [[m.rate for m in stage.modules() if isinstance(m, DropPath)] for stage in net.stages]
    assert found == [[], [], pytest.approx([0, 0.1]), pytest.approx([0, 0.1 / 3, 0.2 / 3, 0.1, 0, 0.1])]


def test_steps_of_hiremlp_by_block():
    net = mb.build_backbone('HireMLP', arch='small')
    steps = [[block.mixer.step for block in stage.blocks] for stage in net.stages]
    assert steps == [[0, 2, 0], [0, 2, 0, 2], [0, 1, 2, 0, 1, 2, 0, 1, 2, 0], [0, 1, 0]]
    assert [stage.blocks[0].mixer.region_size for stage in net.stages] == [4, 3, 3, 2]
    net = slim('HireMLP', region_size=(2, 2, 2, 2), step_stride=(1, 3, 3, 1), step_dilation=(1, 3, 1, 1))
    assert [[block.mixer.step for block in stage.blocks] for stage in net.stages] == [[0], [0, 3], [0, 1], [0]]


def test_shift_size_and_dilation_of_asmlp_reach_the_mixer():
    net = slim('ASMLP', shift_size=3, dilation=2).eval()
    mixer = net.stages[0].blocks[0].mixer
    x = torch.randn(1, 8, 6, 7)
    y = mixer.norm1(mixer.conv1(x))
    total = 0
    for conv, dim in ((mixer.conv2_1, 3), (mixer.conv2_2, 2)):
        total += nn.functional.gelu(nn.functional.conv2d(axial_shift(y, 3, dim, 2), conv.weight, conv.bias))
    torch.testing.assert_close(mixer(x), mixer.conv3(mixer.norm2(total)))
    assert not torch.equal(axial_shift(y, 3, 3, 2), axial_shift(y, 3, 3, 1))


@pytest.mark.parametrize('family', ['HireMLP', 'ConvMLP'])
@pytest.mark.parametrize(
    ('norm_cfg', 'kind'),
    [
        (None, nn.BatchNorm2d),
        (dict(type='BN', momentum=0.3, requires_grad=False), nn.BatchNorm2d),
        (dict(type='SyncBN', eps=1e-3), nn.SyncBatchNorm),
        (dict(type='GN', num_groups=2), nn.GroupNorm),
    ],
)
def test_norm_cfg(family, norm_cfg, kind):
    net = slim(family, norm_cfg=norm_cfg).train()
    norms = [m for m in net.modules() if isinstance(m, (nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm))]
    assert norms and {type(m) for m in norms} == {kind}
    options = dict(norm_cfg or {})
    assert {p.requires_grad for m in norms for p in m.parameters()} == {options.pop('requires_grad', True)}
    options.pop('type', None)
    assert all(getattr(m, key) == value for m in norms for key, value in options.items())
    if kind is nn.SyncBatchNorm:
        net.eval()
    before = {name: b.clone() for name, b in net.named_buffers()}
    loss_of(net(torch.randn(2, 3, 64, 64))).backward()
    moved = {name.split('.')[-1]: not torch.equal(b, before[name]) for name, b in net.named_buffers()}
    assert all(value is net.training for value in moved.values()) and bool(moved) is (kind is not nn.GroupNorm)


def test_output_norms_of_each_family():
    kinds = {'ASMLP': nn.GroupNorm, 'CycleMLP': LayerNorm2d, 'HireMLP': nn.BatchNorm2d}
    for family, kind in kinds.items():
        norms = slim(family).out_norms.values()
        assert len(norms) == 4 and all(isinstance(norm, kind) for norm in norms)
        assert not slim(family, out_norm=False).out_norms
    assert not slim('ConvMLP').out_norms
    assert [type(norm) for norm in slim('ConvMLP', out_norm=True).out_norms.values()] == [LayerNorm2d] * 4


def test_convmlp_sees_padding_only_near_it():
    net = slim('ConvMLP').double().eval()
    image = torch.randn(1, 3, 512, 64, dtype=torch.float64)
    alone, padded = net(image), net(nn.functional.pad(image, (0, 0, 0, 256)))
    for a, b in zip(alone, padded, strict=True):
        torch.testing.assert_close(a[:, :, 0], b[:, :, 0], rtol=1e-12, atol=1e-12)
        assert not torch.allclose(a[:, :, -1], b[:, :, a.shape[2] - 1], rtol=1e-9)


@pytest.mark.parametrize('name', ['asmlp_tiny', 'convmlp_s', 'cyclemlp_b1', 'hiremlp_tiny'])
def test_initial_weights_of_every_kind_of_layer(name):
    net = mb.build_backbone(name)
    in_mlps = {conv for m in net.modules() if isinstance(m, Mlp) for conv in (m.fc1, m.fc2)}
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            fan_out = module.weight[:, 0].numel()
            embeds = module.kernel_size != (1, 1)
            if name == 'convmlp_s' and module not in in_mlps:
                std, bias = (2 / fan_out) ** 0.5, 0
            elif (name == 'cyclemlp_b1' and embeds) or name == 'hiremlp_tiny':
                std, bias = (3 * fan_in) ** -0.5, fan_in**-0.5  # as torch: uniform within 1 / sqrt(fan in)
            else:
                std, bias = 0.02, 0
            assert module.weight.std().item() == pytest.approx(std, rel=0.1)
            assert abs(module.weight.mean().item()) < 0.1 * std
            if module.bias is not None:
                assert module.bias.abs().max() <= bias and (bias == 0 or module.bias.any())
        elif isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d)):
            assert (module.weight == 1).all() and not module.bias.any()


@pytest.mark.parametrize(
    ('family', 'kwargs', 'words'),
    [
        ('ASMLP', dict(shift_size=4), r'shift_size=4 is not valid: shift_size must be an odd integer'),
        ('ASMLP', dict(dilation=0), 'dilation=0 is not valid'),
        ('HireMLP', dict(region_size=(2, 2)), r'region_size=\(2, 2\) is not valid: region_size must be 4 integers'),
        ('HireMLP', dict(step_stride=(0, 1, 1, 1)), r'step_stride=\(0, 1, 1, 1\)'),
        ('HireMLP', dict(step_dilation=3), 'step_dilation=3'),
        ('HireMLP', dict(norm_cfg=dict(type='BM')), r"norm_cfg=\{'type': 'BM'\} is not valid.*BN, BN2d, SyncBN, GN"),
        ('ConvMLP', dict(norm_cfg=dict(type='GN', num_groups=3)), 'num_groups.* does not fit a map of 32 channels'),
        ('ConvMLP', dict(norm_cfg=dict(type='GN')), 'does not fit a map of 32 channels'),
        ('ConvMLP', dict(out_norm=None), 'out_norm=None is not valid'),
        ('ConvMLP', dict(arch=dict(dims=DIMS, depths=DEPTHS)), 'lacks stem_dim, conv_depth, mlp_ratios'),
        ('ConvMLP', dict(arch='b1'), "unknown arch of ConvMLP 'b1'.*s, m, l"),
    ],
)
def test_wrong_values_are_named(family, kwargs, words):
    first = next(iter(mb.backbones.FAMILIES[family].variants))
    with pytest.raises(ValueError, match=words):
        mb.build_backbone(family, **{'arch': first, **kwargs})


@pytest.mark.parametrize('family', ['ASMLP', 'HireMLP', 'ConvMLP'])
def test_unknown_arguments_are_refused(family):
    with pytest.raises(TypeError, match='drop_rate'):
        slim(family, drop_rate=0.1)
