"""Identifying and converting files in the published layouts of all variants."""

import hashlib

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mlp_backbones as mb
from mlp_backbones.backbones import FAMILIES
from mlp_backbones.checkpoints import (
    CheckpointError,
    convert,
    find_state_dict,
    identify,
    load_published,
    read_checkpoint,
)
from mlp_backbones.checkpoints.identify import classifier_names
from mlp_backbones.checkpoints.key_maps import official_names
from mlp_backbones.layers import GlobalAverage
from tests.checkpoints.official import VARIANTS, official_file, official_state, reference_file
from tests.conftest import ROOT, reference, reference_state, run

REFERENCES = sorted(path.stem for path in (ROOT / 'tests' / 'data').glob('*_*.json'))


def family_of(name):
    return next(family for family in FAMILIES if family.lower() == name.split('_')[0])


@pytest.mark.slow
@pytest.mark.parametrize(('family', 'arch'), VARIANTS)
def test_every_variant_is_identified(family, arch):
    identity = identify(official_state(family, arch))
    assert (identity.family, identity.arch, identity.own) == (family, arch, False)


# The larger variants have more of the same parts.
@pytest.mark.slow
@pytest.mark.parametrize(('family', 'arch'), dict(reversed(VARIANTS)).items())
def test_a_variant_of_every_family_is_loaded_and_taken_back(family, arch, tmp_path):
    state = official_state(family, arch)
    path = tmp_path / 'official.pth'
    torch.save(official_file(family, state), path)
    content = read_checkpoint(path)

    with torch.device('meta'):
        net = mb.build_classifier(family, arch=arch)
    report = load_published(net.to_empty(device='cpu'), path)
    assert not report.missing and not report.unexpected
    assert net.head.bias[0] == state[official_names(family, ['head.bias'])['head.bias']][0]

    new, _, dropped = convert(content)
    assert not dropped
    assert identify(find_state_dict(new)).arch == arch
    back = find_state_dict(convert(new, 'official')[0])
    assert set(back) == set(state)
    assert all(torch.equal(back[key], tensor) and back[key].dtype == tensor.dtype for key, tensor in state.items())


@pytest.mark.parametrize('arch', FAMILIES['SparseMLP'].variants)
def test_a_family_without_published_weights(arch):
    with torch.device('meta'):
        net = mb.build_classifier('SparseMLP', arch=arch)
    tensors = {name.removeprefix('backbone.'): tensor for name, tensor in net.state_dict().items()}
    state = {name: torch.zeros(1).expand(tensor.shape) for name, tensor in tensors.items()}
    new, identity, dropped = convert(state)
    assert (identity.family, identity.arch, identity.own, dropped) == ('SparseMLP', arch, True, ())
    assert new['state_dict'].keys() == {
        k.replace('head.', 'head.fc.') if 'head' in k else f'backbone.{k}' for k in state
    }
    for layout, prefix in (('mmpretrain', 'backbone.'), ('backbone', '')):
        new = convert(state, layout)[0]['state_dict']
        assert all(new[prefix + k].shape == v.shape for k, v in net.backbone.state_dict().items())
    with pytest.raises(CheckpointError, match='SparseMLP'):
        convert(state, 'official')


@pytest.mark.slow
@pytest.mark.parametrize('name', REFERENCES)
def test_round_trip_gives_the_reference_file_its_keys_and_shapes_back(name):
    state = reference_state(name)
    for layout in ('mmpretrain', 'backbone'):
        new, _, dropped = convert({'state_dict': {f'backbone.{k}': v for k, v in state.items()}}, layout)
        family = family_of(name)
        heads = set(official_names(family, classifier_names(family)).values()) & set(state)
        assert set(dropped) == (heads if layout == 'backbone' else set())
        back = find_state_dict(convert(new, 'official')[0])
        assert set(back) == set(state) - set(dropped)
        for key, tensor in back.items():
            assert list(tensor.shape) == reference(name)['state_dict'][key], key
            assert key.endswith('.offset') or torch.equal(tensor, state[key])


def test_constants_of_the_cycle_layer_are_its_offsets():
    with torch.device('meta'):
        net = mb.build_backbone('CycleMLP', arch='b1')
    state = {name: torch.zeros(1).expand(tensor.shape) for name, tensor in net.state_dict().items()}
    official = convert(state, 'official')[0]['model']
    rows, columns = official['network.0.0.attn.sfc_h.offset'].view(-1, 2).T
    assert not rows.any() and columns[:6].tolist() == [0, 1, -1, 0, 1, -1]
    rows, columns = official['network.0.0.attn.sfc_w.offset'].view(-1, 2).T
    assert not columns.any() and rows[:6].tolist() == [0, 1, -1, 0, 1, -1]


@pytest.mark.slow
@pytest.mark.parametrize('name', [name for name in REFERENCES if name.endswith('cls')])
def test_mmpretrain_files_load_into_a_classifier_of_mmpretrain(name):
    from mmpretrain.registry import MODELS

    family = family_of(name)
    backbone = dict(arch=reference(name)['variant'], out_norm=FAMILIES[family].classifier_norm)
    with torch.device('meta'):
        net = mb.build_backbone(family, **backbone)
    backbone.update(type=f'mlp_backbones.{family}', out_indices=(len(net.strides) - 1,))
    neck = net.make_neck()
    own = dict(type=f'mlp_backbones.{type(neck).__name__}', channels=net.out_channels[-1])
    cls = dict(
        type='mmpretrain.ImageClassifier',
        backbone=backbone,
        neck=dict(type='mmpretrain.GlobalAveragePooling') if type(neck) is GlobalAverage else own,
        head=dict(type='mmpretrain.LinearClsHead', num_classes=1000, in_channels=neck.out_channels),
    )
    init_default_scope('mmpretrain')  # a test before may have left another
    model = MODELS.build(Config(cls))
    model.load_state_dict(convert(reference_file(name))[0]['state_dict'], strict=True)
    # An official file goes in directly as well, the head included.
    report = load_published(model, reference_file(name))
    assert not report.missing and not report.unexpected
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


def test_moving_averages_are_taken_when_asked_for():
    state = {key: torch.zeros_like(tensor) for key, tensor in reference_state('hiremlp_tiny_cls').items()}
    content = official_file('HireMLP', state)
    net = mb.build_classifier('HireMLP', arch='tiny')
    load_published(net, content)
    assert not net.head.weight.any()
    load_published(net, content, ema=True)
    assert (net.head.weight == 1).all()
    assert (convert(content, ema=True)[0]['state_dict']['head.fc.bias'] == 1).all()
    with pytest.raises(CheckpointError, match='model_ema'):
        load_published(net, {'model': state}, ema=True)


def test_the_moving_average_of_mmengines_hook_is_where_it_puts_it():
    # Its EMAHook swaps the two when it saves; another program's file has them under the names that they have.
    average, weights = torch.ones(1), torch.zeros(1)
    swapped = {'state_dict': {'w': average}, 'ema_state_dict': {'module.w': weights}, 'meta': {'mmengine_version': '1'}}
    assert find_state_dict(swapped, ema=True)['w'] == find_state_dict(swapped)['w'] == 1
    other = {'state_dict': {'w': weights}, 'ema_state_dict': {'module._orig_mod.w': average, 'steps': torch.ones(())}}
    assert find_state_dict(other, ema=True)['w'] == 1 and find_state_dict(other)['w'] == 0
    with pytest.raises(CheckpointError, match='ema=True'):
        find_state_dict({'state_dict_ema': {'w': average}})


@pytest.mark.parametrize(
    ('held', 'model', 'words'),
    [
        (
            ('CycleMLP', 'b2'),
            ('CycleMLP', 'b1'),
            r"this file holds CycleMLP-B2, the model is CycleMLP-B1 \(arch='b1'\)",
        ),
        (('HireMLP', 'tiny'), ('CycleMLP', 'b1'), 'this file holds HireMLP-Tiny, the model is CycleMLP-B1'),
        (('ASMLP', 'small'), ('ASMLP', 'tiny'), 'this file holds ASMLP-Small, the model is ASMLP-Tiny'),
        (('ConvMLP', 's'), ('ConvMLP', 'm'), 'this file holds ConvMLP-S, the model is ConvMLP-M'),
    ],
)
def test_a_file_of_another_network_is_named(held, model, words):
    net = mb.build_backbone(model[0], arch=model[1])
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(CheckpointError, match=words):
        load_published(net, official_state(*held))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    with pytest.raises(CheckpointError, match='no network of this package'):
        load_published(net, {'conv1.weight': torch.zeros(3)})


def test_an_arch_of_ones_own_converts_too():
    arch = dict(dims=(8, 12, 16, 20), depths=(1, 2, 2, 1))
    state = mb.build_backbone('HireMLP', arch=arch).state_dict()
    official, identity, _ = convert(state, 'official')
    assert (
        str(identity) == 'HireMLP of its own widths or depths' and 'network.2.1.attn.mlp_h1.weight' in official['model']
    )
    back = convert(official, 'backbone')[0]['state_dict']
    assert set(back) == set(state) and all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.slow
def test_the_tool(tmp_path, run_here):
    source, new, back = (tmp_path / name for name in ('official.pth', 'new.pth', 'back.pth'))
    torch.save(reference_file('hiremlp_tiny_cls'), source)
    shown = run_here('tools/convert_checkpoint.py', source, '--inspect')
    assert shown.returncode == 0, shown.stdout
    for words in ('HireMLP-Tiny', 'as published', 'classes      1000', 'model_ema', 'args (Namespace)', 'epoch (299)'):
        assert words in shown.stdout
    converted = run('tools/convert_checkpoint.py', source, new)
    assert converted.returncode == 0 and 'HireMLP-Tiny in mmpretrain names' in converted.stdout
    assert run_here('tools/convert_checkpoint.py', new, back, '--to', 'official').returncode == 0
    state = reference_state('hiremlp_tiny_cls')
    again = torch.load(back, weights_only=True)['model']
    assert set(again) == set(state) and all(torch.equal(again[key], state[key]) for key in state)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['back.pth', 'new.pth', 'official.pth']

    (tmp_path / 'broken.pth').write_bytes(source.read_bytes()[:1000])
    failed = run_here('tools/convert_checkpoint.py', tmp_path / 'broken.pth', tmp_path / 'never.pth')
    assert failed.returncode == 1 and failed.stdout.startswith('error: cannot read checkpoint')
    assert failed.stdout.count('\n') == 1 and not (tmp_path / 'never.pth').exists()
    assert 'DST is missing' in run_here('tools/convert_checkpoint.py', source).stdout


def test_a_checkpoint_of_a_training_is_published(tmp_path, run_here):
    net = mb.build_backbone('ConvMLP', arch='s')
    meta = dict(dataset_meta=dict(classes=('a', 'b')), epoch=4)
    content = dict(meta=meta, state_dict=net.state_dict(), optimizer=dict(state={0: torch.ones(9)}), message_hub={})
    torch.save(content, tmp_path / 'epoch_4.pth')
    done = run_here('tools/convert_checkpoint.py', tmp_path / 'epoch_4.pth', tmp_path / 'mine.pth', '--publish')
    assert done.returncode == 0 and 'left out: optimizer, message_hub' in done.stdout, done.stdout
    file = next(tmp_path.glob('mine*.pth'))
    assert file.name == f'mine-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth'
    again = mb.checkpoints.read_checkpoint(file)
    assert set(again) == {'meta', 'state_dict'} and again['meta'] == meta
    assert all(torch.equal(again['state_dict'][key], tensor) for key, tensor in net.state_dict().items())
    torch.save(dict(model={}), tmp_path / 'official.pth')
    done = run_here('tools/convert_checkpoint.py', tmp_path / 'official.pth', tmp_path / 'mine.pth', '--publish')
    assert done.returncode == 1 and 'has no state_dict but model' in done.stdout
    done = run_here('tools/convert_checkpoint.py', file, tmp_path / 'mine.pth', '--publish', '--ema')
    assert done.returncode and '--publish changes no names' in done.stdout
