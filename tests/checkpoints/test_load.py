import pytest
import torch
from mmengine.logging import MMLogger

import mlp_backbones as mb
from mlp_backbones.checkpoints import CheckpointError, load_published, load_trained
from tests.conftest import golden_state

SLIM = dict(dims=(8, 16, 24, 32), depths=(1, 1, 2, 1))


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_classification_file_into_a_dense_backbone(tmp_path):
    torch.save({'model': golden_state('cyclemlp_b1_cls')}, tmp_path / 'CycleMLP_B1.pth')
    net = mb.build_backbone('CycleMLP', arch='b1').double()
    report = load_published(net, tmp_path / 'CycleMLP_B1.pth')
    assert len(report.loaded) == 198 and len(report.reshaped) == 60
    # The published dense networks start their output norms afresh as well.
    assert {name.split('.')[0] for name in report.missing} == {'out_norms'}
    assert report.unexpected == ('norm.weight', 'norm.bias', 'head.weight', 'head.bias')
    line = str(report)
    assert 'loaded 198 of 206 tensors (60 reshaped)' in line and 'head (2)' in line and '\n' not in line


def test_classification_file_into_a_last_stage_backbone():
    state = golden_state('cyclemlp_b1_cls')
    net = mb.build_backbone('CycleMLP', arch='b1', out_indices=(3,)).double()
    report = load_published(net, state)
    assert not report.missing and report.unexpected == ('head.weight', 'head.bias')
    assert torch.equal(net.out_norms['3'].weight, state['norm.weight'])


def test_detector_file(tmp_path):
    state = {f'backbone.{key}': value for key, value in golden_state('cyclemlp_b1_dense').items()}
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
    report = load_published(net, golden_state('cyclemlp_b1_cls'))
    assert report.missing == report.unexpected == ('head.weight', 'head.bias')


@pytest.mark.parametrize(
    ('kwargs', 'words'),
    [
        (
            dict(arch='b2'),
            r"does not fit CycleMLP-B2: this file holds CycleMLP-B1, the model is CycleMLP-B2 \(arch='b2'\); "
            r'198 of the 350 trunk tensors fit, e\.g\. it lacks network\.2\.2\.',
        ),
        (
            dict(arch=dict(dims=(64, 128, 320, 512), depths=(2, 1, 4, 2))),
            r'179 of the 179 trunk tensors fit, e\.g\. the model has no place for network\.2\.1\.norm1\.weight',
        ),
        (
            dict(arch='b1', in_channels=4),
            r'patch_embed\.proj\.weight is \[64, 3, 7, 7\], the model needs \[64, 4, 7, 7\]',
        ),
        (dict(arch='b5'), r'patch_embed\.proj\.weight is \[64, 3, 7, 7\], the model needs \[96, 3, 7, 7\]'),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(kwargs, words):
    net = mb.build_backbone('CycleMLP', **kwargs)
    before = snapshot(net)
    with pytest.raises(CheckpointError, match=words):
        load_published(net, golden_state('cyclemlp_b1_dense'))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_one_missing_trunk_tensor_is_an_error():
    state = golden_state('cyclemlp_b1_dense')
    del state['network.4.2.attn.sfc_w.bias']
    with pytest.raises(CheckpointError, match=r'197 of the 198 .* it lacks network\.4\.2\.attn\.sfc_w\.bias'):
        load_published(mb.build_backbone('CycleMLP', arch='b1'), state)


def test_pretrained_init_goes_through_the_same_loader(tmp_path, capsys):
    MMLogger.get_instance('test_pretrained', log_level='INFO')
    state = golden_state('cyclemlp_b1_cls')
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
    with pytest.raises(CheckpointError, match='does not fit CycleMLP-B2'):
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
    with pytest.raises(CheckpointError, match='Linear is not a backbone of this package'):
        load_published(torch.nn.Linear(2, 2), {'a': torch.ones(1)})
    net = mb.build_backbone('HireMLP', arch='tiny')
    with pytest.raises(CheckpointError, match=r'this HireMLP was fused .* load a state dict before fuse\(\)'):
        load_published(net.fuse(), mb.build_backbone('HireMLP', arch='tiny').state_dict())


def test_a_subclass_goes_by_its_familys_names():
    class Mine(mb.CycleMLP):
        pass

    assert not load_published(Mine('b1'), golden_state('cyclemlp_b1_dense')).missing


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
    with pytest.warns(UserWarning, match=r'NaN or infinite values in stages\.0\.blocks\.0\.mlp\.fc1\.weight$'):
        report = load_published(net, state)
    assert report.nonfinite == ('stages.0.blocks.0.mlp.fc1.weight',) and 'not finite: stages (1)' in str(report)


def test_weights_of_a_wrong_type_are_refused_and_halves_are_not():
    state = mb.build_backbone('CycleMLP', arch=SLIM).state_dict()
    net = mb.build_backbone('CycleMLP', arch=SLIM)
    load_published(net, {name: tensor.half() for name, tensor in state.items()})
    assert net.stem.proj.weight.dtype == torch.float32
    before = snapshot(net)
    state['stem.proj.weight'] = state['stem.proj.weight'].int()
    with pytest.raises(CheckpointError, match=r'stem\.proj\.weight is of torch\.int32, the model needs torch\.float32'):
        load_published(net, state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
