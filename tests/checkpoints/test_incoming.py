"""Published networks load whichever function loads them; other networks are reported once, adapters and heads never."""

import copy
import io
import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import nn
from torchvision.models import resnet18

import mlp_backbones as mb
from mlp_backbones.backbones import FAMILIES, Classifier
from mlp_backbones.checkpoints import convert, find_state_dict, load_trained
from mlp_backbones.checkpoints.incoming import convert_incoming
from mlp_backbones.checkpoints.key_maps import is_published
from tests.backbones.slim import slim
from tests.checkpoints.official import VARIANTS, official_file, official_state


class Detector(nn.Module):
    """A backbone below ``backbone.`` and a head, as in all mm libraries."""

    def __init__(self, backbone: nn.Module, classes: int = 3):
        super().__init__()
        self.backbone = backbone
        self.neck = nn.Conv2d(20, 4, 1)
        self.bbox_head = nn.Linear(4, classes)


@pytest.fixture
def logged(caplog):
    """Records of the log of mm libraries: function that returns the messages of warnings since its last call."""
    logger = MMLogger.get_instance('incoming', logger_name='incoming', log_level='INFO')
    logger.addHandler(caplog.handler)

    def warnings() -> list[str]:
        messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        caplog.clear()
        return messages

    yield warnings
    logger.removeHandler(caplog.handler)


def by_torch(model, content):
    model.load_state_dict(content, strict=False)


def by_mmengine(model, content):
    mmengine_checkpoint._load_checkpoint_to_model(model, content)


def by_mmengine_tensors(model, content):
    mmengine_checkpoint.load_state_dict(model, find_state_dict(content, prefix=''))


DOORS = [by_torch, by_mmengine, by_mmengine_tensors]
LAYOUTS = [
    (f, layout)
    for f in FAMILIES
    for layout in ('official', 'backbone', 'mmpretrain')
    if is_published(f) or layout != 'official'
]
# Doors know no families: all layouts go through all doors for one of them, and for the others in turns.
THROUGH = [
    (*pair, door)
    for i, pair in enumerate(LAYOUTS)
    for door in (DOORS if pair[0] == 'CycleMLP' else [DOORS[(i + i // 3) % 3]])
]


def with_prefix(content: dict, prefix: str) -> dict:
    state = find_state_dict(content, prefix='')
    return dict(state_dict={prefix + name: tensor for name, tensor in state.items()})


def equal_body(model: nn.Module, source: nn.Module) -> bool:
    wanted = source.state_dict()
    body = [name for name in wanted if name.startswith(('stem.', 'stages.'))]
    found = getattr(model, 'backbone', model).state_dict()
    return all(torch.equal(found[name], wanted[name]) for name in body)


@pytest.mark.slow
@pytest.mark.parametrize(('family', 'layout', 'door'), THROUGH)
def test_every_layout_through_every_door(family, layout, door, logged):
    source = slim(family)
    content = convert(source.state_dict(), layout)[0]
    for prefix in ('', 'backbone.', 'module.', 'model.backbone.'):
        given = content if not prefix else with_prefix(content, prefix)
        for model in (slim(family), Detector(slim(family)), nn.ModuleDict(dict(net=Detector(slim(family))))):
            if layout == 'mmpretrain' and prefix:
                continue
            door(model, copy.deepcopy(given))
            model = model['net'] if isinstance(model, nn.ModuleDict) else model
            assert equal_body(model, source), (prefix, type(model))
            norms = getattr(model, 'backbone', model).out_norms.state_dict()
            assert all(torch.equal(tensor, source.out_norms.state_dict()[name]) for name, tensor in norms.items())
    assert not [text for text in logged() if 'stem and stages' in text or 'does not fit' in text]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('family', 'arch'), [v for v in VARIANTS if v[1] in ('b1', 'tiny', 's', 'tiny_c12', 't', 's7', 's16')]
)
def test_a_published_file_fills_a_whole_classifier(family, arch):
    with torch.device('meta'):
        model = mb.build_classifier(family, arch=arch)
    model = model.to_empty(device='cpu').half()
    for tensor in model.state_dict().values():
        tensor.fill_(9)
    content = official_file(family, official_state(family, arch))
    # Whole files hold what is no tensor; strict, as every tensor has its place.
    model.load_state_dict(content, strict=True)
    for i, tensor in enumerate(model.state_dict().values()):
        expected = torch.tensor(i / 64).half() if tensor.is_floating_point() else torch.tensor(i)
        assert torch.equal(tensor, expected.expand(tensor.shape))


def test_what_fits_stays_as_it_is_and_nothing_is_converted_twice(logged):
    source = Detector(slim('HireMLP'))
    for state in (source.state_dict(), convert(source.backbone.state_dict(), 'official')[0]):
        state = dict(state)
        convert_incoming(Detector(slim('HireMLP')), state)
        once = dict(state)
        convert_incoming(Detector(slim('HireMLP')), state)
        assert list(once) == list(state) and all(once[name] is state[name] for name in state)
    fitting = source.state_dict()
    given = dict(fitting)
    convert_incoming(source, given)
    assert [*given] == [*fitting] and all(given[name] is fitting[name] for name in given)
    assert not logged()


def test_detector_files_keep_necks_and_heads():
    source, target = Detector(slim('ConvMLP')), Detector(slim('ConvMLP'))
    state = find_state_dict(convert(source.backbone.state_dict(), 'official')[0], prefix='')
    state = {f'backbone.{name}': tensor for name, tensor in state.items()}
    state |= {name: tensor for name, tensor in source.state_dict().items() if not name.startswith('backbone.')}
    for prefix in ('', 'model.', 'module.', 'module.model.'):
        for tensor in target.state_dict().values():
            tensor.fill_(5)
        target.load_state_dict({prefix + name: tensor for name, tensor in state.items()}, strict=True)
        assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in target.state_dict().items())


def test_load_trained_takes_published_files_of_the_whole_model(tmp_path):
    source, target = Detector(slim('ConvMLP')), Detector(slim('ConvMLP'))
    state = find_state_dict(convert(source.backbone.state_dict(), 'official')[0], prefix='')
    state = {f'backbone.{name}': tensor for name, tensor in state.items()}
    state |= {name: tensor for name, tensor in source.state_dict().items() if not name.startswith('backbone.')}
    torch.save(dict(state_dict=state, meta=dict(CLASSES=('a',))), tmp_path / 'a.pth')
    load_trained(target, tmp_path / 'a.pth')
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in target.state_dict().items())


def test_the_head_goes_where_its_shape_fits():
    source = Classifier(slim('HireMLP', out_indices=(3,)), 3)
    content = convert(source.state_dict(), 'official')[0]
    for classes in (3, 4):
        # Of one name and two shapes, torch makes an error.
        for head in [nn.ModuleDict(dict(fc=nn.Linear(20, classes)))] + [nn.Linear(20, 3)] * (classes == 3):
            model = Classifier(slim('HireMLP', out_indices=(3,)), classes)
            model.head = head
            model.load_state_dict(content, strict=False)
            layer = head if isinstance(head, nn.Linear) else head['fc']
            assert equal_body(model, source.backbone)
            assert torch.equal(layer.weight, source.head.weight) if classes == 3 else layer.weight.shape[0] == 4
            norms = model.backbone.out_norms['3'], source.backbone.out_norms['3']
            assert torch.equal(*(norm.weight for norm in norms))


def test_several_backbones_get_their_own():
    class Teaching(nn.Module):
        def __init__(self):
            super().__init__()
            self.student, self.teacher = Detector(slim('CycleMLP')), Detector(slim('CycleMLP'))

    first, second, model = slim('CycleMLP'), slim('CycleMLP'), Teaching()
    official = [find_state_dict(convert(net.state_dict(), 'official')[0], prefix='') for net in (first, second)]
    pairs = zip(('student.', 'teacher.'), official, strict=True)
    model.load_state_dict({p + name: t for p, state in pairs for name, t in state.items()}, strict=False)
    assert equal_body(model.student, first) and equal_body(model.teacher, second)
    # A dict of only one of them leaves the other one alone.
    before = copy.deepcopy(model.student.backbone)
    state = {f'teacher.backbone.{name}': tensor for name, tensor in first.state_dict().items()}
    model.load_state_dict(state, strict=False)
    assert equal_body(model.teacher, first) and equal_body(model.student, before)
    model.load_state_dict(dict(model=official[1]), strict=False)
    assert equal_body(model.teacher, second) and equal_body(model.student, second)


def b2_as_published() -> dict:
    return find_state_dict(official_file('CycleMLP', official_state('CycleMLP', 'b2')), prefix='')


def resnet() -> dict:
    with torch.device('meta'):
        names = resnet18().state_dict()
    return {name: torch.zeros(()).expand(tensor.shape) for name, tensor in names.items()}


@pytest.mark.slow
@pytest.mark.parametrize('prefix', ['', 'backbone.', 'model.backbone.'])
@pytest.mark.parametrize(('state', 'name'), [(b2_as_published, 'CycleMLP-B2'), (resnet, 'conv1.weight')])
@pytest.mark.parametrize('door', [by_torch, by_mmengine])
def test_another_network_is_one_warning_with_both_names(state, name, prefix, door, logged):
    for model in (slim('HireMLP'), Detector(slim('HireMLP')), nn.Sequential(Detector(slim('HireMLP')))):
        before = copy.deepcopy(model.state_dict())
        door(model, {prefix + key: tensor for key, tensor in state().items()})
        warned = [text for text in logged() if 'HireMLP' in text]
        assert len(warned) == 1 and name in warned[0] and '\n' not in warned[0]
        assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_two_networks_beside_each_other_are_a_warning_with_their_prefixes(logged):
    state = find_state_dict(convert(slim('CycleMLP').state_dict(), 'official')[0], prefix='')
    model = Detector(slim('CycleMLP'))
    model.load_state_dict({f'{p}{k}': t for p in ('student.', 'teacher.') for k, t in state.items()}, strict=False)
    (warned,) = logged()
    assert "'student.'" in warned and "'teacher.'" in warned


def test_a_part_of_a_network_is_one_warning(logged):
    model = Detector(slim('CycleMLP'))
    state = {key: tensor for key, tensor in model.state_dict().items() if 'stages.3' not in key}
    model.load_state_dict(state, strict=False)
    (warned,) = logged()
    total = [name for name, _ in model.backbone.named_parameters() if name.startswith(('stem.', 'stages.'))]
    assert f'{len([n for n in total if "stages.3" not in n])} of the {len(total)}' in warned


def test_adapters_heads_and_averages_pass(logged):
    model = Detector(slim('CycleMLP'))
    weight = torch.ones(20, 20)
    quiet = [
        {},
        {'bbox_head.weight': torch.ones(3, 4), 'bbox_head.bias': torch.ones(3)},
        {f'decode_head.convs.{i}.weight': torch.ones(8, 8, 3, 3) for i in range(30)},
        {f'backbone.stages.{i}.blocks.0.mixer.lora_{ab}.weight': weight for i in range(4) for ab in 'AB'},
        {f'adapters.{i}.weight': weight for i in range(40)},
        {'backbone.stages.0.blocks.0.norm1.bias': torch.ones(8)},
        {'backbone.out_norms.0.weight': torch.ones(8)},
        dict(model_ema=convert(slim('CycleMLP').state_dict(), 'official')[0]['model']),
    ]
    for state in quiet:
        for door in (by_torch, by_mmengine):
            door(model, dict(state))
            assert not [text for text in logged() if 'stem and stages' in text or 'CycleMLP' in text]
    # An adapter that is part of the backbone leaves the rest of it.
    model.backbone.stages[0].blocks[0].add_module('lora', nn.Linear(8, 2))
    model.load_state_dict({'backbone.stages.0.blocks.0.lora.weight': torch.ones(2, 8)}, strict=False)
    assert not logged()


def test_strict_loads_name_what_does_not_fit(logged):
    state = convert(Classifier(slim('HireMLP', out_indices=(3,)), 3).state_dict(), 'official')[0]
    with pytest.raises(RuntimeError) as error:
        slim('HireMLP', out_indices=(3,)).load_state_dict(state, strict=True)
    assert 'head.weight' in str(error.value) and 'patch_embed' not in str(error.value)
    with pytest.raises(RuntimeError) as error:
        slim('CycleMLP').load_state_dict(state, strict=True)
    assert 'stem.proj.weight' in str(error.value)
    (warned,) = logged()
    assert 'HireMLP' in warned and 'CycleMLP' in warned


def test_after_fuse_no_file_is_taken(logged):
    state = convert(slim('HireMLP').state_dict(), 'official')[0]
    slim('HireMLP').fuse().load_state_dict(state, strict=False)
    (warned,) = logged()
    assert 'fuse()' in warned


def copied(model):
    return copy.deepcopy(model)


def pickled(model):
    out = io.BytesIO()
    torch.save(model, out)
    return torch.load(io.BytesIO(out.getvalue()), weights_only=False)


def moved(model):
    outer = nn.Module()
    outer.backbone = model.backbone
    return outer


@pytest.mark.parametrize('way', [copied, pickled, moved, torch.compile, nn.Sequential, nn.DataParallel])
def test_copies_and_wrappers_convert_as_well(way):
    source = slim('CycleMLP')
    model = way(Detector(slim('CycleMLP')))
    model.load_state_dict(convert(source.state_dict(), 'official')[0], strict=False)
    found = [m for m in model.modules() if isinstance(m, mb.CycleMLP)]
    assert len(found) == 1 and equal_body(found[0], source)


def test_a_compiled_backbone_in_a_detector():
    source, model = slim('CycleMLP'), Detector(slim('CycleMLP'))
    model.backbone = torch.compile(model.backbone)
    model.load_state_dict(convert(source.state_dict(), 'official')[0], strict=False)
    assert equal_body(model.backbone._orig_mod, source)
    state = torch.fx.symbolic_trace(slim('HireMLP')).state_dict()
    assert 'stem.proj.weight' in state
