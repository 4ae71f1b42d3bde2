"""SpiralMLP's offsets, its two stems and its dropout."""

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn
from torchvision.ops import deform_conv2d

import mlp_backbones as mb
from mlp_backbones.backbones.spiralmlp import SpiralLinear, spiral_offsets
from mlp_backbones.checkpoints import convert, load_published
from tests.backbones.slim import slim_arch
from tests.conftest import spiral


@pytest.mark.parametrize('channels', [1, 2, 7, 64, 96, 128, 192, 320, 384, 512, 768])
def test_offsets_are_those_of_the_formula(channels):
    offsets = torch.tensor(spiral_offsets(channels))
    assert offsets.shape == (channels, 2) and offsets.abs().max() <= 7
    if channels > 1:
        assert torch.equal(offsets.flatten().double(), spiral(channels).flatten())
    half = max(channels // 2, 1)
    assert torch.equal(offsets[half : 2 * half], offsets[: half * (channels > 1)])


@pytest.mark.parametrize('fractional', [False, True])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_offsets_of_a_file_are_those_of_a_deformable_convolution(fractional, layout):
    layer = SpiralLinear(24).double()
    offset = torch.randn(1, 48, 1, 1, dtype=torch.float64) * 4
    offset = (offset if fractional else offset.round()).float().double()
    offset.view(-1, 2)[0] = torch.tensor([-0.5, 5.25] if fractional else [1e30, -1e30])
    layer.load_state_dict(layer.state_dict() | dict(offset=offset))
    assert torch.equal(layer.state_dict()['offset'].double(), offset)
    x = torch.randn(2, 24, 6, 5, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    expected = deform_conv2d(x, offset.clamp(-99, 99).expand(2, -1, 6, 5), layer.weight, layer.bias)
    got = layer(x)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)
    direction = torch.randn_like(got)
    inputs = [x, layer.weight]
    for a, b in zip(*(torch.autograd.grad(y, inputs, direction) for y in (got, expected)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_offsets_that_are_no_numbers_read_zeros():
    layer = SpiralLinear(4)
    layer.load_state_dict(layer.state_dict() | dict(offset=torch.full((1, 8, 1, 1), torch.nan)))
    assert torch.equal(layer(torch.randn(1, 4, 3, 3)), layer.bias.view(1, 4, 1, 1).expand(1, 4, 3, 3))
    with pytest.raises(RuntimeError, match='offset has 6 numbers, the model needs 8'):
        layer.load_state_dict(layer.state_dict() | dict(offset=torch.zeros(1, 6, 1, 1)))


def test_offsets_that_differ_are_logged(caplog):
    MMLogger.get_instance('test_spiral', log_level='INFO').addHandler(caplog.handler)
    source = mb.build_backbone('SpiralMLP', arch=slim_arch('SpiralMLP'))
    official = convert(source.state_dict(), 'official')[0]['model']
    load_published(mb.build_backbone('SpiralMLP', arch=slim_arch('SpiralMLP')), official)
    assert not [r for r in caplog.records if 'offsets' in r.getMessage()]
    official['stages.0.0.attn.fc_cross.offset'] = official['stages.0.0.attn.fc_cross.offset'] + 0.25
    net = mb.build_backbone('SpiralMLP', arch=slim_arch('SpiralMLP'))
    report = load_published(net, official)
    assert not report.missing and not report.unexpected
    (line,) = [r.getMessage() for r in caplog.records if 'offsets' in r.getMessage()]
    assert line.startswith('8 of the 84 offsets')
    assert net.stages[0].blocks[0].mixer.fc_cross.offsets[0] == (0.25, 0.25)
    twin = mb.build_backbone('SpiralMLP', arch=slim_arch('SpiralMLP'))
    twin.load_state_dict(net.state_dict())
    x = torch.randn(1, 3, 40, 40)
    assert all(map(torch.equal, twin.eval()(x), net.eval()(x)))


def test_a_file_without_offsets_and_without_the_norm_of_the_stem():
    """A classifier's file in a dense network: its convolution has another name, and the norm keeps its values."""
    classifier = mb.build_classifier('SpiralMLP', arch=slim_arch('SpiralMLP'), num_classes=3)
    official = convert(classifier.state_dict(), 'official')[0]['model']
    assert 'patch_embed.proj.weight' in official and 'patch_embed.norm.weight' not in official
    official = {name: tensor for name, tensor in official.items() if not name.endswith('.offset')}
    net = mb.build_backbone('SpiralMLP', arch=slim_arch('SpiralMLP'))
    report = load_published(net, official)
    assert report.missing == ('stem.norm.weight', 'stem.norm.bias')
    assert torch.equal(net.stem.proj.weight, classifier.backbone.stem.proj.weight)
    assert report.unexpected == ('norm.weight', 'norm.bias', 'classifier_head.weight', 'classifier_head.bias')
    twin = mb.build_classifier('SpiralMLP', arch=slim_arch('SpiralMLP'), num_classes=3)
    report = load_published(twin, official)
    assert not report.missing and not report.unexpected
    x = torch.randn(1, 3, 40, 40)
    assert torch.equal(twin.eval()(x), classifier.eval()(x))


def test_dropout_and_the_norm_of_the_stem():
    net = mb.build_backbone('SpiralMLP', arch=slim_arch('SpiralMLP'), dropout=0.3)
    assert {m.p for m in net.modules() if isinstance(m, nn.Dropout)} == {0.3}
    assert sum(isinstance(m, nn.Dropout) for m in net.modules()) == 3 * 6
    assert net.stem.norm.eps == 1e-6 and not net.out_norms
    for kwargs, has_norm in ((dict(out_norm=True), False), (dict(out_norm=True, stem_norm=True), True)):
        net = mb.build_backbone('SpiralMLP', arch=slim_arch('SpiralMLP'), **kwargs)
        assert isinstance(net.stem.norm, nn.Identity) is not has_norm
