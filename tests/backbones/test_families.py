"""What one family has and the others have not: its variants, arguments, norms and initialisation."""

import copy
from itertools import product

import pytest
import torch
from torch import nn

import mlp_backbones as mb
from mlp_backbones.backbones.msmlp import MixShift
from mlp_backbones.backbones.swinmlp import WindowMixer
from mlp_backbones.backbones.visionpermutator import PermuteMixer
from mlp_backbones.layers import DropPath, LayerNorm2d, Mlp
from mlp_backbones.ops import axial_shift
from tests.backbones.slim import DEPTHS, DIMS, loss_of, slim, slim_arch

SWIN = dict(dims=DIMS, depths=DEPTHS, heads=(2, 2, 2, 2), window_size=2)
MILLIONS = {
    'asmlp_tiny': 28.3,
    'asmlp_small': 49.6,
    'asmlp_base': 87.7,
    'cmt_ti': 9.5,
    'cmt_xs': 15.2,
    'cmt_s': 26.3,
    'cmt_b': 45.7,
    'convmlp_s': 9.0,
    'convmlp_m': 17.4,
    'convmlp_l': 42.7,
    'cyclemlp_b1': 15.2,
    'cyclemlp_b2': 26.8,
    'cyclemlp_b3': 38.4,
    'cyclemlp_b4': 51.8,
    'cyclemlp_b5': 75.7,
    'gmlp_ti16': 5.9,
    'gmlp_s16': 19.4,
    'gmlp_b16': 73.1,
    'hiremlp_tiny': 18.0,
    'hiremlp_small': 33.1,
    'hiremlp_base': 58.2,
    'hiremlp_large': 95.7,
    'mlpmixer_s32': 19.1,
    'mlpmixer_s16': 18.5,
    'mlpmixer_b16': 59.9,
    'mlpmixer_l16': 208.2,
    'raftmlp_s': 9.9,
    'raftmlp_m': 21.4,
    'raftmlp_l': 36.2,
    'ramlp_tiny': 25.1,
    'ramlp_small': 38.7,
    'ramlp_base': 68.5,
    'resmlp_s12': 15.4,
    'resmlp_s24': 30.0,
    'resmlp_s36': 44.7,
    'resmlp_b24': 129.1,
    'activemlp_xtiny': 15.3,
    'activemlp_tiny': 27.2,
    'activemlp_small': 38.6,
    'activemlp_base': 52.2,
    'activemlp_large': 76.2,
    'msmlp_tiny': 28.7,
    'msmlp_small': 50.3,
    'msmlp_base': 88.7,
    'shiftvit_t': 28.6,
    'shiftvit_s': 50.3,
    'shiftvit_b': 89.0,
    'shiftvit_t_light': 19.6,
    'shiftvit_s_light': 33.8,
    'shiftvit_b_light': 59.7,
    'spiralmlp_b1': 13.9,
    'spiralmlp_b2': 24.5,
    'spiralmlp_b3': 34.4,
    'spiralmlp_b4': 46.0,
    'spiralmlp_b5': 68.9,
    'swinmlp_tiny_c6': 22.7,
    'swinmlp_tiny_c12': 21.2,
    'swinmlp_tiny_c24': 20.4,
    'swinmlp_base': 60.7,
    'visionpermutator_s14': 29.9,
    'visionpermutator_s7': 25.1,
    'visionpermutator_m7': 55.3,
    'visionpermutator_l7': 87.8,
    'wavemlp_t': 17.2,
    'wavemlp_t_dw': 15.3,
    'wavemlp_s': 30.7,
    'wavemlp_m': 44.1,
    'wavemlp_b': 63.6,
}


@pytest.mark.parametrize('name', [n for n in mb.list_backbones() if not n.startswith('sparsemlp')])
def test_published_parameter_counts(name):
    with torch.device('meta'):
        net = mb.build_classifier(name)
    assert abs(sum(p.numel() for p in net.parameters()) / 1e6 - MILLIONS[name]) < 0.06  # the papers round, and cut


def test_drop_path_of_the_whole_network_and_of_each_stage_of_convmlp():
    def rates(family, **kwargs):
        return [m.drop_prob for m in slim(family, **kwargs).modules() if isinstance(m, DropPath)]

    for family in ('ASMLP', 'CycleMLP', 'HireMLP', 'SwinMLP', 'VisionPermutator', 'WaveMLP'):
        assert rates(family, drop_path_rate=0.5) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
        assert set(rates(family)) == {0}
    net = mb.build_backbone('ConvMLP', arch='s')
    found = [[m.drop_prob for m in stage.modules() if isinstance(m, DropPath)] for stage in net.stages]
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


@pytest.mark.parametrize('family', ['HireMLP', 'ConvMLP', 'WaveMLP'])
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
    kinds = dict(ASMLP=nn.GroupNorm, CycleMLP=LayerNorm2d, HireMLP=nn.BatchNorm2d, MLPMixer=LayerNorm2d)
    kinds |= dict(SparseMLP=LayerNorm2d, SwinMLP=LayerNorm2d, VisionPermutator=LayerNorm2d, WaveMLP=nn.BatchNorm2d)
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


AS_TORCH = ('hiremlp_tiny', 'wavemlp_t_dw')
EMBEDDINGS_AS_TORCH = ('cyclemlp_b1', 'msmlp_tiny', 'swinmlp_tiny_c6', 'visionpermutator_s7')


@pytest.mark.slow
@pytest.mark.parametrize('name', ['asmlp_tiny', 'convmlp_s', 'mlpmixer_s32', *AS_TORCH, *EMBEDDINGS_AS_TORCH])
def test_initial_weights_of_every_kind_of_layer(name):
    net = mb.build_backbone(name)
    in_mlps = {conv for m in net.modules() if isinstance(m, Mlp) for conv in (m.fc1, m.fc2)}
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            fan_out = module.weight[:, 0].numel()
            embeds = module.kernel_size != (1, 1) or module.groups > 1
            if name == 'convmlp_s' and module not in in_mlps:
                std, bias = (2 / fan_out) ** 0.5, 0
            elif name == 'mlpmixer_s32':
                std, bias = fan_in**-0.5, 0
            elif (name in EMBEDDINGS_AS_TORCH and embeds) or name in AS_TORCH:
                std, bias = (3 * fan_in) ** -0.5, fan_in**-0.5  # as torch: uniform within 1 / sqrt(fan in)
            else:
                std, bias = 0.02, 0
            # Once in 2^24 numbers torch's trunc_normal_ draws its bound, -2.
            few = 3 / module.weight.numel() ** 0.5  # a depth-wise 1x1 kernel has no more weights than channels
            assert module.weight[module.weight > -2].std().item() == pytest.approx(std, rel=max(0.1, few))
            assert abs(module.weight.mean().item()) < max(0.1, 5 / module.weight.numel() ** 0.5) * std
            if module.bias is not None:
                assert module.bias.abs().max() <= bias and (bias == 0 or module.bias.any())
        elif isinstance(module, nn.Conv1d):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1) and not module.bias.any()
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
        ('WaveMLP', dict(arch=dict(dims=DIMS, depths=DEPTHS, mode='dw')), r"arch\['mode'\]='dw' .*'fc' or 'depthwise'"),
        (
            'WaveMLP',
            dict(arch=dict(dims=DIMS, depths=DEPTHS, ds_use_norm=1)),
            r"arch\['ds_use_norm'\]=1 .*True or False",
        ),
        ('SwinMLP', dict(arch=dict(SWIN, heads=(2, 5, 2, 2))), 'one whose heads divide dims; stage 1 has not'),
        ('SwinMLP', dict(arch=dict(SWIN, window_size=0)), r"arch\['window_size'\]=0"),
        ('MLPMixer', dict(spatial_rule='crop'), "spatial_rule='crop' is not valid: .* 'tile' or 'resize'"),
        ('MLPMixer', dict(arch=dict(dim=8, depth=4, patch_size=9)), 'one whose patch_size divides native_size'),
        ('MLPMixer', dict(out_indices=(0, 8)), r'out_indices=\(0, 8\) is not valid.*from 0 to 7'),
        ('VisionPermutator', dict(spatial_rule=None), 'spatial_rule=None is not valid'),
        ('SparseMLP', dict(auxiliary_weight=-1), 'auxiliary_weight=-1 is not valid'),
        ('MSMLP', dict(mix_size=((1, 2),) * 4), r'mix_size=.* 4 tuples of odd integers'),
        (
            'ActiveMLP',
            dict(arch=dict(dims=DIMS, depths=(2, 2, 1, 2))),
            'at least 2 blocks in each stage; stage 2 has 1',
        ),
        (
            'ActiveMLP',
            dict(arch=dict(dims=(7, 8, 8, 8), depths=(2, 2, 2, 2))),
            'whose share_sizes divide dims; stage 0',
        ),
        ('SpiralMLP', dict(dropout=1), 'dropout=1 is not valid'),
        ('SpiralMLP', dict(stem_norm='LN'), "stem_norm='LN' is not valid"),
        ('ShiftViT', dict(arch=dict(dims=DIMS, depths=DEPTHS, n_div=3)), r"arch\['n_div'\]=3 .* at least 4"),
    ],
)
def test_wrong_values_are_named(family, kwargs, words):
    first = next(iter(mb.backbones.FAMILIES[family].variants))
    with pytest.raises(ValueError, match=words):
        mb.build_backbone(family, **{'arch': first, **kwargs})


@pytest.mark.parametrize('family', [f for f in mb.backbones.FAMILIES if f != 'CycleMLP'])
def test_unknown_arguments_are_refused(family):
    with pytest.raises(ValueError, match=f'{family} has no argument .drop_rate.'):
        slim(family, drop_rate=0.1)


@pytest.mark.parametrize(
    'arch', [dict(), dict(mode='depthwise'), dict(norm='GN1'), dict(norm='GN1', ds_use_norm=False)]
)
def test_every_kind_of_wavemlp_fuses_without_changing_a_number(arch):
    net = mb.build_backbone('WaveMLP', arch=dict(dims=DIMS, depths=DEPTHS, **arch)).double()
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            tensor.normal_().abs_().add_(0.1) if 'running_var' in name else tensor.normal_(std=0.3)
    x = torch.randn(2, 3, 41, 58, dtype=torch.float64)
    expected = net.eval()(x)
    for got, wanted in zip(net.fuse()(x), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-11 * wanted.abs().max().item())
    left = {type(m) for name, m in net.named_modules() if isinstance(m, nn.BatchNorm2d) and 'out_norms' not in name}
    assert bool(left) is (arch.get('mode') == 'depthwise')  # the 3x3 convolution pads what norm1 gives


@pytest.mark.slow
@pytest.mark.newer
def test_checkpointing_compiles():
    net = mb.HireMLP(dict(dims=DIMS, depths=(1, 1, 1, 1)), with_cp=True, out_indices=(0,)).double()
    twin = copy.deepcopy(net)
    torch.compiler.reset()
    x = torch.randn(2, 3, 40, 48, dtype=torch.float64)
    for one in (torch.compile(net, fullgraph=True, backend='aot_eager'), twin):
        one(x)[0].square().sum().backward()
    for (name, p), q in zip(net.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-8, atol=1e-8, msg=name)
    for (name, a), b in zip(net.named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


@pytest.mark.parametrize('size', [(1, 1), (3, 3), (4, 3), (7, 10), (9, 1)])
@pytest.mark.parametrize(('window', 'shifted'), [(3, False), (3, True), (4, True)])
def test_windows_of_swinmlp_one_by_one(window, shifted, size):
    mixer = WindowMixer(heads=2, window_size=window, shifted=shifted).double()
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    weight = mixer.spatial_mlp.weight.view(2, window**2, window**2)
    bias = mixer.spatial_mlp.bias.view(2, window**2)
    # A side of one window is not shifted.
    first = [window // 2 - window if shifted and side > window else 0 for side in size]
    expected = torch.zeros_like(x)
    for image, channel in product(range(2), range(6)):
        head = channel // 3
        for top, left in product(range(first[0], size[0], window), range(first[1], size[1], window)):
            places = [(top + i, left + j) for i in range(window) for j in range(window)]
            inside = [(n, *p) for n, p in enumerate(places) if 0 <= p[0] < size[0] and 0 <= p[1] < size[1]]
            for n, row, column in inside:
                values = sum(weight[head, n, m] * x[image, channel, r, c] for m, r, c in inside)
                expected[image, channel, row, column] = values + bias[head, n]
    torch.testing.assert_close(mixer(x), expected, rtol=1e-12, atol=1e-12)


def test_blocks_of_swinmlp_are_shifted_in_turn():
    net = mb.build_backbone('SwinMLP', arch=dict(SWIN, depths=(1, 2, 3, 1)))
    shifted = [[block.mixer.shifted for block in stage.blocks] for stage in net.stages]
    assert shifted == [[False], [False, True], [False, True, False], [False]]


@pytest.mark.parametrize('dim', [2, 3])
def test_branches_of_the_vision_permutator_one_by_one(dim):
    """For each line and segment n, the vector of H * S numbers (position first) goes through one C x C map."""
    segments, size = 3, 2
    channels = segments * size
    mixer = PermuteMixer(channels, segments, 'tile').double()
    x = torch.randn(2, channels, 3, 3, dtype=torch.float64)
    weight = mixer.mlp_h.weight[:, :, 0, 0]
    expected = torch.zeros_like(x)
    for image, line, n in product(range(2), range(3), range(segments)):
        part = x[image, n * size : (n + 1) * size]
        vector = (part[:, :, line] if dim == 2 else part[:, line]).T.flatten()
        mixed = (weight @ vector).view(3, size).T
        target = expected[image, n * size : (n + 1) * size]
        (target[:, :, line] if dim == 2 else target[:, line]).copy_(mixed)
    torch.testing.assert_close(mixer.swap(mixer.mlp_h(mixer.swap(x, dim)), dim), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('family', ['MLPMixer', 'SparseMLP', 'VisionPermutator'])
def test_two_native_tiles_side_by_side_are_those_of_the_two_alone(family):
    arch = slim_arch(family) | (dict(segments=(4, 4, 2, 2)) if family == 'VisionPermutator' else {})
    net = mb.build_backbone(family, arch=arch).double().eval()
    left, right = torch.randn(2, 1, 3, 16, 16, dtype=torch.float64)
    both = net(torch.cat([left, right], 3))
    for together, *alone in zip(both, net(left), net(right), strict=True):
        torch.testing.assert_close(together, torch.cat(alone, 3), rtol=1e-13, atol=1e-13)


def test_outputs_of_a_network_of_one_scale():
    assert mb.build_backbone('mlpmixer_s16').out_indices == (1, 3, 5, 7)
    net = mb.build_backbone('mlpmixer_b16', out_indices=(5,))
    assert (net.out_channels, net.out_strides, len(net.stages)) == ((768,), (16,), 6)
    assert mb.build_backbone('sparsemlp_l').out_indices == (2, 6, 9, 13)
    assert mb.build_backbone('visionpermutator_m7').out_strides == (7, 7, 14, 14)
    tiny = mb.build_backbone('MLPMixer', arch=dict(dim=8, depth=2, patch_size=16))
    assert tiny.out_indices == (0, 1) and tiny.grid == 14


def test_spatial_rules_differ_where_the_size_is_not_native():
    x = torch.randn(1, 3, 16, 24)
    nets = [slim('MLPMixer', spatial_rule=rule).eval() for rule in ('tile', 'resize')]
    nets[1].load_state_dict(nets[0].state_dict())
    assert torch.equal(nets[0](x[..., :16])[3], nets[1](x[..., :16])[3])
    assert not torch.allclose(nets[0](x)[3], nets[1](x)[3])


def test_the_classifier_of_msmlp_averages_before_its_norm():
    arch = slim_arch('MSMLP')
    net = mb.build_classifier('MSMLP', arch=arch, num_classes=3).double().eval()
    x = torch.randn(2, 3, 37, 50, dtype=torch.float64)
    dense = mb.build_backbone('MSMLP', arch=arch, out_indices=(3,), out_norm=False).double().eval()
    dense.load_state_dict(net.backbone.state_dict(), strict=False)
    average = dense(x)[0].mean((2, 3))
    norm = net.neck.norm
    expected = net.head(nn.functional.layer_norm(average, average.shape[1:], norm.weight, norm.bias, 1e-6))
    torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)


def test_groups_of_msmlp_with_fewer_channels_than_groups():
    mixer = MixShift(3, (1, 3, 5, 7, 9))
    assert mixer.dwconv_lr.widths == [1, 1, 1] and [conv.kernel_size for conv in mixer.dwconv_td] == [
        (1, 1),
        (3, 3),
        (5, 5),
    ]
    x = torch.randn(1, 3, 6, 7)
    rolled = [x[:, g : g + 1].roll(g - 2, dim) for dim in (3, 2) for g in range(3)]
    convolutions = [*mixer.dwconv_lr, *mixer.dwconv_td]
    parts = [conv(part) for conv, part in zip(convolutions, rolled, strict=True)]
    torch.testing.assert_close(mixer(x), torch.cat(parts[:3], 1) + torch.cat(parts[3:], 1))


def test_blocks_of_activemlp_that_make_offsets():
    net = mb.build_backbone('ActiveMLP', arch='tiny')
    makes = [[block.offset_layer is not None for block in stage.blocks] for stage in net.stages]
    assert [[j for j, made in enumerate(stage) if made] for stage in makes] == [[0], [0], [0, 2, 4, 6, 8], [0]]
    with torch.device('meta'):
        net = mb.build_backbone('ActiveMLP', arch='base')
    makes = [[j for j, block in enumerate(stage.blocks) if block.offset_layer is not None] for stage in net.stages]
    assert makes == [[0], [0, 6], [0, 6, 12, 18, 24], [0]]
    assert net.stages[3].blocks[0].offset_layer[1].out_channels == 2 * 512 // 8


def test_blocks_of_activemlp_between_share_the_last_offsets():
    arch = slim_arch('ActiveMLP') | dict(depths=(4, 2, 2, 2), interval=3)
    net = mb.build_backbone('ActiveMLP', arch=arch, out_indices=(0,)).eval()
    seen, made = [], []
    for block in net.stages[0].blocks:
        block.mixer.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
        if block.offset_layer is not None:
            block.offset_layer.register_forward_hook(lambda module, args, output: made.append(output))
    net(torch.randn(1, 3, 32, 32))
    assert len(made) == 1 and all(offsets is made[0] for offsets in seen) and len(seen) == 4
