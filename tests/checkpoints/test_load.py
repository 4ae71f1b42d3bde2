import re
import warnings

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import nn

import mlp_backbones as mb
from mlp_backbones.backbones import FAMILIES, Classifier
from mlp_backbones.checkpoints import CheckpointError, convert, find_state_dict, load_published, load_trained
from mlp_backbones.checkpoints.key_maps import is_published
from tests.backbones.slim import slim
from tests.conftest import reference_state

SLIM = dict(dims=(8, 16, 24, 32), depths=(1, 1, 2, 1))


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_classification_file_into_a_dense_backbone(tmp_path):
    torch.save({'model': reference_state('cyclemlp_b1_cls')}, tmp_path / 'CycleMLP_B1.pth')
    net = mb.build_backbone('CycleMLP', arch='b1').double()
    report = load_published(net, tmp_path / 'CycleMLP_B1.pth')
    assert len(report.loaded) == 198 and len(report.reshaped) == 60
    # The published dense networks start their output norms afresh as well.
    assert {name.split('.')[0] for name in report.missing} == {'out_norms'}
    assert report.unexpected == ('norm.weight', 'norm.bias', 'head.weight', 'head.bias')
    line = str(report)
    assert 'loaded 198 of 206 tensors (60 reshaped)' in line and 'head (2)' in line and '\n' not in line


def test_classification_file_into_a_last_stage_backbone():
    state = reference_state('cyclemlp_b1_cls')
    net = mb.build_backbone('CycleMLP', arch='b1', out_indices=(3,)).double()
    report = load_published(net, state)
    assert not report.missing and report.unexpected == ('head.weight', 'head.bias')
    assert torch.equal(net.out_norms['3'].weight, state['norm.weight'])


def test_detector_file(tmp_path):
    state = {f'backbone.{key}': value for key, value in reference_state('cyclemlp_b1_dense').items()}
    state['neck.lateral_convs.0.conv.weight'] = torch.ones(1)
    torch.save({'meta': {}, 'state_dict': state}, tmp_path / 'det.pth')
    report = load_published(mb.build_backbone('CycleMLP', arch='b1').double(), tmp_path / 'det.pth')
    assert not report.missing and report.unexpected == ('neck.lateral_convs.0.conv.weight',)


def test_own_files_and_fewer_stages():
    source = mb.build_backbone('CycleMLP', arch=SLIM)
    target = mb.build_backbone('CycleMLP', arch=SLIM, out_indices=(0, 1))
    report = load_published(target, {'state_dict': {f'backbone.{k}': v for k, v in source.state_dict().items()}})
    assert not report.missing and all(
        name.startswith(('stages.2', 'stages.3', 'out_norms')) for name in report.unexpected
    )
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in target.state_dict().items())


def test_head_of_another_size_is_reported():
    net = mb.build_classifier('CycleMLP', arch='b1', num_classes=10).double()
    report = load_published(net, reference_state('cyclemlp_b1_cls'))
    assert report.missing == report.unexpected == ('head.weight', 'head.bias')


@pytest.mark.parametrize(
    ('kwargs', 'facts'),
    [
        (dict(arch='b2'), ['CycleMLP-B2', 'CycleMLP-B1', "arch='b2'", '198 of the 350', 'network.2.2.norm1.weight']),
        (
            dict(arch=dict(dims=(64, 128, 320, 512), depths=(2, 1, 4, 2))),
            ['179 of the 179', 'network.2.1.norm1.weight'],
        ),
        (
            dict(arch='b1', in_channels=4),
            ['patch_embed.proj.weight', '3 input channels', 'in_channels=4', 'adapt_channels=True'],
        ),
        (dict(arch='b5'), ['patch_embed.proj.weight', '[64, 3, 7, 7]', '[96, 3, 7, 7]']),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(kwargs, facts):
    net = mb.build_backbone('CycleMLP', **kwargs)
    before = snapshot(net)
    with pytest.raises(CheckpointError) as error:
        load_published(net, reference_state('cyclemlp_b1_dense'))
    assert all(fact in str(error.value) for fact in facts)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_one_missing_tensor_of_a_stage_is_an_error():
    state = reference_state('cyclemlp_b1_dense')
    del state['network.4.2.attn.sfc_w.bias']
    with pytest.raises(CheckpointError, match=r'197 of the 198 .*network\.4\.2\.attn\.sfc_w\.bias'):
        load_published(mb.build_backbone('CycleMLP', arch='b1'), state)


def test_pretrained_init_goes_through_the_same_loader(tmp_path, capsys):
    MMLogger.get_instance('test_pretrained', log_level='INFO')
    state = reference_state('cyclemlp_b1_cls')
    torch.save({'model': state}, tmp_path / 'b1.pth')
    net = mb.build_backbone(
        'CycleMLP', arch='b1', init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'b1.pth'))
    )
    net.init_weights()
    weight = net.stages[0].blocks[1].mixer.mlp_c.weight
    assert torch.equal(weight.squeeze(), state['network.0.1.attn.mlp_c.weight'].float())
    assert 'loaded 198 of 206 tensors' in capsys.readouterr().out

    bad = mb.build_backbone(
        'CycleMLP', arch='b2', init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'b1.pth'))
    )
    with pytest.raises(CheckpointError, match='CycleMLP-B2'):
        bad.init_weights()


def test_pretrained_init_with_other_inits_and_a_prefix(tmp_path):
    source = mb.build_backbone('CycleMLP', arch=SLIM)
    torch.save({'state_dict': {f'student.{k}': v for k, v in source.state_dict().items()}}, tmp_path / 'a.pth')
    init_cfg = [
        dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'), prefix='student.'),
        dict(type='Constant', layer='Conv2d', val=7.0),
    ]
    net = mb.build_backbone('CycleMLP', arch=SLIM, init_cfg=init_cfg)
    net.init_weights()
    assert torch.equal(net.stem.proj.weight, source.stem.proj.weight)


def test_a_model_that_is_not_ours():
    with pytest.raises(CheckpointError, match='Linear'):
        load_published(torch.nn.Linear(2, 2), {'a': torch.ones(1)})
    net = mb.build_backbone('HireMLP', arch='tiny')
    with pytest.raises(CheckpointError, match=r'HireMLP.*fuse\(\)'):
        load_published(net.fuse(), mb.build_backbone('HireMLP', arch='tiny').state_dict())


def test_a_subclass_goes_by_its_familys_names():
    class Mine(mb.CycleMLP):
        pass

    assert not load_published(Mine('b1'), reference_state('cyclemlp_b1_dense')).missing


def test_load_trained_is_strict(tmp_path):
    source = mb.build_classifier('CycleMLP', arch=SLIM, num_classes=3)
    torch.save({'state_dict': source.state_dict()}, tmp_path / 'a.pth')
    target = mb.build_classifier('CycleMLP', arch=SLIM, num_classes=3)
    load_trained(target, tmp_path / 'a.pth')
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in target.state_dict().items())
    with pytest.raises(CheckpointError, match=r'in 2 places, e\.g\. it holds head\.weight as \[3, 32\], .* \[4, 32\]'):
        load_trained(mb.build_classifier('CycleMLP', arch=SLIM, num_classes=4), tmp_path / 'a.pth')


def test_weights_that_are_not_finite_are_warned_of_by_name():
    state = mb.build_backbone('CycleMLP', arch=SLIM).state_dict()
    state['stages.0.blocks.0.mlp.fc1.weight'][0, 0] = torch.nan
    net = mb.build_backbone('CycleMLP', arch=SLIM)
    with pytest.warns(UserWarning, match=r'stages\.0\.blocks\.0\.mlp\.fc1\.weight$'):
        report = load_published(net, state)
    assert report.nonfinite == ('stages.0.blocks.0.mlp.fc1.weight',) and 'not finite: stages (1)' in str(report)


def test_weights_of_a_wrong_type_are_refused_and_halves_are_not():
    state = mb.build_backbone('CycleMLP', arch=SLIM).state_dict()
    net = mb.build_backbone('CycleMLP', arch=SLIM)
    load_published(net, {name: tensor.half() for name, tensor in state.items()})
    assert net.stem.proj.weight.dtype == torch.float32
    before = snapshot(net)
    state['stem.proj.weight'] = state['stem.proj.weight'].int()
    with pytest.raises(CheckpointError, match=r'stem\.proj\.weight.*torch\.int32.*torch\.float32'):
        load_published(net, state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


WRAPPERS = (
    *('', 'module.', '_orig_mod.', 'module._orig_mod.', '_orig_mod.module.', 'module.module.', 'model.', 'net.'),
    *('backbone.', 'model.backbone.', 'module.backbone.', 'backbone.0.', 'img_backbone.', 'encoder.'),
    *('teacher.backbone.', 'student.backbone.', 'detector.backbone.', 'module.model._orig_mod.backbone.'),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('family', 'layout'),
    [(f, layout) for f in FAMILIES for layout in ('backbone', 'official') if layout == 'backbone' or is_published(f)],
)
def test_what_wraps_a_network_is_found(family, layout):
    source, target = slim(family), slim(family)
    wanted, found = source.state_dict(), target.state_dict()
    trunk = [name for name, _ in source.named_parameters() if name.startswith(('stem.', 'stages.'))]
    state = find_state_dict(convert(wanted, layout)[0], prefix='')
    for prefix in WRAPPERS:
        content = {'state_dict': {prefix + name: tensor for name, tensor in state.items()}}
        content['state_dict']['neck.weight'] = torch.ones(1)
        for given in (None, prefix, prefix.removesuffix('.')):
            with torch.no_grad():
                for name in trunk:
                    found[name].fill_(7)
            load_published(target, content, prefix=given)
            assert all(torch.equal(found[name], wanted[name]) for name in trunk), (prefix, given)


@pytest.mark.parametrize('prefix', ['', 'model.', 'module._orig_mod.'])
@pytest.mark.parametrize('layout', ['mmpretrain', 'official'])
def test_a_wrapped_classifier_keeps_its_head(prefix, layout):
    source = Classifier(slim('HireMLP', out_indices=(3,)), 3)
    state = find_state_dict(convert(source.state_dict(), layout)[0], prefix='')
    target = Classifier(slim('HireMLP', out_indices=(3,)), 3)
    report = load_published(target, {'state_dict': {prefix + name: tensor for name, tensor in state.items()}})
    assert not report.missing and not report.unexpected
    assert torch.equal(target.head.weight, source.head.weight)


def test_parts_that_were_compiled_are_found():
    source = slim('CycleMLP')
    state = {name.replace('blocks.0.', 'blocks.0._orig_mod.'): value for name, value in source.state_dict().items()}
    target = slim('CycleMLP')
    assert not load_published(target, state).missing
    assert torch.equal(target.stages[1].blocks[0].mlp.fc1.weight, source.stages[1].blocks[0].mlp.fc1.weight)


@pytest.mark.parametrize('nested', [True, False])
def test_of_two_networks_the_prefixes_are_named(nested):
    networks = dict(student=slim('CycleMLP').state_dict(), teacher=slim('CycleMLP').state_dict())
    flat = {f'{who}.backbone.{name}': tensor for who, state in networks.items() for name, tensor in state.items()}
    content = networks if nested else dict(state_dict=flat)
    inner = '' if nested else 'backbone.'
    target = slim('CycleMLP')
    with pytest.raises(CheckpointError) as refusal:
        load_published(target, content)
    for who, state in networks.items():
        assert f"prefix='{who}.{inner}'" in str(refusal.value)
        load_published(target, content, prefix=f'{who}.{inner}')
        assert torch.equal(target.stem.proj.weight, state['stem.proj.weight'])
        load_published(target, content, prefix=who)
        assert torch.equal(target.stem.proj.weight, state['stem.proj.weight'])


def test_two_names_that_become_one_are_refused():
    state = slim('CycleMLP').state_dict()
    for other in ('module.stem.proj.bias', '_orig_mod.stem.proj.bias', 'stem._orig_mod.proj.bias'):
        with pytest.raises(CheckpointError, match=rf'stem\.proj\.bias and {re.escape(other)}'):
            load_published(slim('CycleMLP'), {**state, other: torch.zeros(8)})


def test_text_of_a_file_is_escaped_and_cut():
    names = {f'x\x1b[31m{i}{"y" * 10_000}': torch.ones(1) for i in range(1000)}
    for content in (names, {**slim('CycleMLP').state_dict(), **names}):
        try:
            text = str(load_published(slim('CycleMLP'), content))
        except CheckpointError as error:
            text = str(error)
        assert '\x1b' not in text and len(text) < 3000


@pytest.mark.parametrize('family', FAMILIES)
def test_weights_of_rgb_for_other_channels(family):
    rgb = slim(family).double().eval()
    gray = torch.randn(1, 1, 32, 32, dtype=torch.float64)
    for channels in (1, 2, 4):
        net = slim(family, in_channels=channels).double().eval()
        before = snapshot(net)
        with pytest.raises(CheckpointError, match='adapt_channels=True'):
            load_published(net, rgb.state_dict())
        assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
        report = load_published(net, rgb.state_dict(), adapt_channels=True)
        assert len(report.adapted) == 1 and report.adapted[0] in str(report)
        # An image whose channels are equal gives the same as the gray one in RGB, but for repeats of R and G.
        if channels == 1:
            for a, b in zip(net(gray), rgb(gray.expand(-1, 3, -1, -1)), strict=True):
                torch.testing.assert_close(a, b)
        given = rgb.state_dict()[report.adapted[0]]
        expected = given.sum(1, keepdim=True) if channels == 1 else given[:, [0, 1, 2, 0][:channels]] * 3 / channels
        if family == 'RaftMLP':  # patches of 4 x 4 and 8 x 8 pixels, each channel by channel
            small, large = given.split((3 * 16, 3 * 64), 1)
            parts = [part.unflatten(1, (3, -1))[:, [0, 1, 2, 0][:channels]].flatten(1, 2) for part in (small, large)]
            expected = torch.cat(parts, 1) * 3 / channels
        if family != 'RaftMLP' or channels > 1:
            torch.testing.assert_close(net.state_dict()[report.adapted[0]], expected)


def test_init_cfg_adapts_channels_and_the_log_names_the_file(tmp_path, caplog):
    source = slim('WaveMLP')
    torch.save({'state_dict': source.state_dict()}, tmp_path / 'rgb.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'rgb.pth'), adapt_channels=True)
    net = slim('WaveMLP', in_channels=4, init_cfg=init_cfg)

    class Detector(BaseModule):
        def __init__(self, backbone):
            super().__init__()
            self.backbone = backbone

    logger = MMLogger.get_instance('init_log', logger_name='init_log', log_level='INFO')
    logger.addHandler(caplog.handler)
    for model in (net, Detector(slim('WaveMLP', in_channels=4, init_cfg=init_cfg))):
        caplog.clear()
        model.init_weights()
        lines = [record.getMessage() for record in caplog.records]
        told = {line.split(' - ')[0].strip(): line for line in lines if ' - torch.Size' in line}
        assert set(told) == {name for name, _ in model.named_parameters()}
        assert all('rgb.pth' in line for line in told.values())
        assert not any(hasattr(module, '_params_init_info') for module in model.modules())
    assert torch.equal(net.stages[0].blocks[0].norm1.weight, source.stages[0].blocks[0].norm1.weight)


def test_a_network_that_awaits_its_weights_warns_once(tmp_path):
    source, image = slim('HireMLP'), torch.randn(1, 3, 64, 64)
    torch.save(source.state_dict(), tmp_path / 'a.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    net = slim('HireMLP', init_cfg=init_cfg)
    with pytest.warns(UserWarning, match=r'a\.pth.*init_weights\(\)'):
        net(image)
    loaded, filled = slim('HireMLP', init_cfg=init_cfg), slim('HireMLP', init_cfg=init_cfg)
    loaded.init_weights()
    filled.load_state_dict(source.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for quiet in (net, loaded, filled, source):
            quiet(image)


@pytest.mark.slow
@pytest.mark.newer
def test_a_network_that_awaits_its_weights_exports():
    init_cfg = dict(type='Pretrained', checkpoint='a.pth')
    torch.export.export(slim('HireMLP', init_cfg=init_cfg).eval(), (torch.randn(1, 3, 64, 64),))


def test_load_trained_looks_at_types_and_changes_nothing_when_it_fails(tmp_path):
    path = tmp_path / 'a.pth'
    model = slim('HireMLP')
    before = snapshot(model)

    def unchanged():
        return all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

    ones = {name: torch.ones_like(tensor) for name, tensor in model.state_dict().items()}
    for wrong in (torch.ones(8).int(), torch.ones(8).bool(), torch.ones(8, dtype=torch.complex64)):
        torch.save({'state_dict': {**ones, 'stem.proj.bias': wrong}}, path)
        with pytest.raises(CheckpointError, match=rf'stem\.proj\.bias as of {wrong.dtype}'):
            load_trained(model, path)
        assert unchanged()

    class Stubborn(nn.Module):
        def _load_from_state_dict(self, *args):
            raise ValueError('no')

    model.add_module('zz', Stubborn())
    torch.save({'state_dict': ones}, path)
    with pytest.raises(CheckpointError, match='ValueError'):
        load_trained(model, path)
    assert unchanged()
    del model.zz

    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in ones.items()}
    torch.save({'state_dict': {f'module._orig_mod.{name}': tensor for name, tensor in half.items()}}, path)
    load_trained(model, path)
    assert (model.stem.proj.weight == 1).all() and model.stem.proj.weight.dtype == torch.float32

    torch.save({'state_dict': {**ones, 'stem.proj.bias': torch.full((8,), 1e300, dtype=torch.float64)}}, path)
    with pytest.warns(UserWarning, match=r'stem\.proj\.bias'):
        load_trained(model, path)
    with pytest.warns(UserWarning, match=r'stem\.proj\.bias'):
        assert load_published(slim('HireMLP'), path).nonfinite == ('stem.proj.bias',)
