"""Dilated networks: finer outputs from the same weights."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import mlp_backbones as mb
from mlp_backbones.backbones import FAMILIES
from mlp_backbones.backbones.base import Stage
from mlp_backbones.checkpoints import load_published
from mlp_backbones.checkpoints.key_maps import official_names, official_tensors
from mlp_backbones.layers import GroupNorm1, SplitAttention
from tests.backbones.slim import loss_of, slim, slim_arch

DILATED = [name for name, family in FAMILIES.items() if family.dilates]
FIXED = [name for name, family in FAMILIES.items() if not family.dilates]


def drawn(family, **kwargs):
    """A slim network in float64 whose zeros (of biases) are drawn, in eval mode."""
    torch.manual_seed(0)
    net = slim(family, **kwargs).double().eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    return net


def twin(net, family, **kwargs):
    other = slim(family, **kwargs).double().eval()
    other.load_state_dict(net.state_dict())
    return other


@pytest.mark.slow
@pytest.mark.parametrize('family', DILATED)
@settings(max_examples=8, deadline=None)
@given(batch=st.integers(1, 2), height=st.integers(1, 97), width=st.integers(1, 97), stride=st.sampled_from([8, 16]))
def test_outputs_of_any_size(family, batch, height, width, stride):
    plain, net = slim(family).eval(), slim(family, output_stride=stride).eval()
    assert net.out_strides == tuple(min(s, stride) for s in plain.out_strides)
    assert net.out_channels == plain.out_channels
    x = torch.randn(batch, 3, height, width)
    expected = [out.shape[2:] for out in plain(x)]
    for i, output in enumerate(net(x)):
        assert output.shape == (batch, net.out_channels[i], *expected[plain.out_strides.index(net.out_strides[i])])
        assert torch.isfinite(output).all()


@pytest.mark.parametrize('family', DILATED)
def test_stride_32_is_the_published_network(family):
    net = drawn(family)
    x = torch.randn(2, 3, 77, 101, dtype=torch.float64)
    for got, wanted in zip(twin(net, family, output_stride=32)(x), net(x), strict=True):
        assert torch.equal(got, wanted)


@pytest.mark.parametrize('family', DILATED)
def test_a_variant_has_the_same_tensors(family):
    kind = FAMILIES[family]
    with torch.device('meta'):
        plain, net = (kind(next(iter(kind.variants)), output_stride=stride).state_dict() for stride in (None, 8))
    assert {name: t.shape for name, t in net.items()} == {name: t.shape for name, t in plain.items()}
    assert [*net] == [*plain]


@pytest.mark.parametrize('family', DILATED)
def test_published_files_load(family):
    net = drawn(family)
    names, official = official_names(family, net.state_dict()), {}
    for name, tensor in net.state_dict().items():
        official |= official_tensors(family, names[name], tensor)
    dilated = slim(family, output_stride=8).double()
    report = load_published(dilated, dict(model=official))
    assert not report.missing and not report.unexpected
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), dilated.state_dict().values(), strict=True))


@pytest.mark.parametrize('family', DILATED)
@pytest.mark.parametrize('stride', [8, 16])
@pytest.mark.parametrize('size', [(77, 101), (128, 64), (9, 33)])
def test_on_the_coarse_grid_it_is_the_published_network(family, stride, size):
    """With what looks at all positions taken out: the finer grid has other averages."""
    nets = [drawn(family), drawn(family, output_stride=stride)]
    for net in nets:
        for module in net.modules():
            if isinstance(module, SplitAttention):
                nn.init.zeros_(module.fc1.weight)
            for name, child in module.named_children():
                if isinstance(child, GroupNorm1):
                    setattr(module, name, nn.Identity())
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    for i, (coarse, fine) in enumerate(zip(nets[0](x), nets[1](x), strict=True)):
        step = nets[0].out_strides[i] // nets[1].out_strides[i]
        torch.testing.assert_close(fine[:, :, ::step, ::step], coarse, rtol=1e-9, atol=1e-9 * float(coarse.abs().max()))


@pytest.mark.parametrize('family', DILATED)
def test_blocks_see_the_same_neighbours_of_a_map_stretched_by_repetition(family):
    """All averages are those of the plain map."""
    plain, net = (
        [m for m in kind.stages[3].modules() if isinstance(m, Stage)][-1]
        for kind in (drawn(family), drawn(family, output_stride=8))
    )
    plain.downsample = net.downsample = nn.Identity()
    norm = next(p for name, p in plain.named_parameters() if re.search(r'norm\d?\.weight', name))
    x = torch.randn(2, len(norm), 5, 7, dtype=torch.float64)

    def stretch(x):
        return x.repeat_interleave(4, 2).repeat_interleave(4, 3)

    torch.testing.assert_close(net(stretch(x)), stretch(plain(x)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('family', DILATED)
def test_gradients_reach_every_parameter(family):
    net = drawn(family, output_stride=8, drop_path_rate=0.1).train()
    loss_of(net(torch.randn(2, 3, 67, 70, dtype=torch.float64))).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []
    plain = drawn(family, drop_path_rate=0.1).train()
    loss_of(plain(torch.randn(2, 3, 67, 70, dtype=torch.float64))).backward()
    # But for those before a norm that takes them away.
    for (name, p), q in zip(net.named_parameters(), plain.parameters(), strict=True):
        assert p.grad.any() == q.grad.any(), name


@pytest.mark.parametrize('family', DILATED)
@pytest.mark.parametrize('backend', ['plain', 'folded'])
def test_fused_in_every_backend(family, backend):
    net = drawn(family, output_stride=8)
    x = torch.randn(2, 3, 77, 101, dtype=torch.float64)
    with torch.no_grad():
        expected = net(x)
        with mb.ops.use_backend(backend):
            outputs = twin(net, family, output_stride=8).fuse()(x)
    for got, wanted in zip(outputs, expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9 * float(wanted.abs().max()))


@pytest.mark.parametrize('family', DILATED)
@pytest.mark.parametrize('stride', [7, 4, 64, 0, -8, 8.0, '8', True, (8,)])
def test_wrong_strides_are_named(family, stride):
    with pytest.raises(ValueError, match=r'^output_stride=') as refused:
        slim(family, output_stride=stride)
    assert repr(stride) in str(refused.value) and '8, 16, 32' in str(refused.value)


@pytest.mark.parametrize('family', FIXED)
@pytest.mark.parametrize('stride', [8, 16, 32])
def test_families_of_fixed_strides_refuse_by_name(family, stride):
    with pytest.raises(ValueError, match=f'^output_stride={stride} is not valid for {family}') as refused:
        slim(family, output_stride=stride)
    assert all(name in str(refused.value) for name in DILATED) and '\n' not in str(refused.value)
    assert slim(family, output_stride=None).out_strides == slim(family).out_strides


@pytest.mark.newer
@pytest.mark.slow
@pytest.mark.parametrize('family', ['CycleMLP', 'ASMLP', 'HireMLP', 'SwinMLP'])  # offsets, shifts, regions, windows
def test_exports_with_free_height_and_width(family):
    from torch.export import Dim

    arch = slim_arch(family)
    arch['depths'] = (FAMILIES[family].min_depth,) * 2 + (2, 1)[: len(arch['depths']) - 2]
    net = FAMILIES[family](arch, output_stride=8, out_indices=(2,)).double().eval()
    example = torch.randn(2, 3, 70, 93, dtype=torch.float64)
    free = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    program = torch.export.export(net, (example,), dynamic_shapes=(free,)).module()
    for size in [(3, 3, 77, 101), (4, 3, 130, 67)]:
        x = torch.randn(size, dtype=torch.float64)
        torch.testing.assert_close(program(x), net(x), rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(('config', 'channels'), [('pspnet_r50-d8', None), ('deeplabv3plus_r50-d8', 64)])
def test_segmentors_of_resnet_d8_take_it(config, channels):
    """mmseg's own model configs, with another backbone and its widths."""
    import mmseg
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    folder = Path(mmseg.__file__).parent / '.mim' / 'configs' / '_base_' / 'models'
    model = Config.fromfile(folder / f'{config}.py').model
    model.pretrained = None
    model.backbone = dict(type='mlp_backbones.CycleMLP', arch='b1', output_stride=8)
    widths = mb.build_backbone('cyclemlp_b1', output_stride=8).out_channels
    model.decode_head |= dict(in_channels=widths[3], norm_cfg=dict(type='BN'))
    model.auxiliary_head |= dict(in_channels=widths[2], norm_cfg=dict(type='BN'))
    if channels:
        model.decode_head.c1_in_channels = widths[0]
    with DefaultScope.overwrite_default_scope('mmseg'):
        segmentor = MODELS.build(model)
    x = torch.randn(2, 3, 97, 121)
    assert [out.shape[2:] for out in segmentor.backbone(x)][1:] == [(12, 15)] * 3
    logits = segmentor.encode_decode(x, [dict(img_shape=(97, 121))] * 2)
    assert logits.shape == (2, 19, 97, 121)
    (logits.square().mean() + segmentor.auxiliary_head(segmentor.backbone(x)).square().mean()).backward()
    unused = {name.split('.')[1] for name, p in segmentor.backbone.named_parameters() if p.grad is None}
    assert unused == ({'1'} if channels else {'0', '1'})  # norms of outputs that the heads do not read
