import pytest
import torch

import mlp_backbones as mb


def test_list():
    names = mb.list_backbones()
    assert len(names) == sum(len(kind.variants) for kind in mb.backbones.FAMILIES.values())
    assert names == sorted(names, key=lambda name: name.split('_')[0])
    assert [name for name in names if name.startswith('cyclemlp')] == [f'cyclemlp_b{i}' for i in range(1, 6)]


def test_list_by_pattern():
    assert mb.list_backbones('cycle*') == [f'cyclemlp_b{i}' for i in range(1, 6)]
    tiny = [name for name in mb.list_backbones() if name.endswith('_tiny')]
    assert {'asmlp_tiny', 'hiremlp_tiny'} <= {*tiny} and mb.list_backbones('*_tiny') == tiny
    assert mb.list_backbones('resnet*') == [] and mb.list_backbones('*') == mb.list_backbones()


@pytest.mark.slow
def test_every_name_of_the_list_builds():
    with torch.device('meta'):
        for name in mb.list_backbones():
            net = mb.build_backbone(name)
            assert len(net.out_channels) == len(net.out_strides) == 4
            of_one_scale = 'depth' in net.arch  # a count of blocks, not one for each stage
            if not of_one_scale and not name.startswith(('sparsemlp', 'visionpermutator')):
                assert net.out_strides == (4, 8, 16, 32)


def test_backbone_and_classifier():
    net = mb.build_backbone('CycleMLP', arch='b1', out_indices=(1, 3))
    assert isinstance(net, torch.nn.Module)
    assert net.out_channels == (128, 512) and net.out_strides == (8, 32)
    clf = mb.build_classifier('cyclemlp_b1', num_classes=7)
    assert clf(torch.randn(2, 3, 33, 20)).shape == (2, 7)


@pytest.mark.parametrize(
    ('name', 'kwargs', 'words'),
    [
        (
            'CycelMLP',
            dict(arch='b1'),
            r"unknown backbone 'CycelMLP', did you mean 'CycleMLP'\? There are: .*ASMLP, .*WaveMLP, .*asmlp_t",
        ),
        ('cyclemlp_b9', {}, r"unknown backbone 'cyclemlp_b9', did you mean 'cyclemlp_b\d'\?"),
        ('zzz', {}, r"unknown backbone 'zzz'\. There are: .*ASMLP, .*ConvMLP, CycleMLP"),
        (
            'CycleMLP',
            dict(arch='B1'),
            r"unknown arch of CycleMLP 'B1', did you mean 'b1'\? There are: b1, b2, b3, b4, b5",
        ),
        ('CycleMLP', {}, 'CycleMLP needs arch: one of b1'),
        ('cyclemlp_b1', dict(arch='b2'), "arch='b2' is given twice"),
    ],
)
def test_unknown_names_answer_with_the_nearest(name, kwargs, words):
    with pytest.raises(ValueError, match=words):
        mb.build_backbone(name, **kwargs)


def test_classifier_arguments():
    for number in (0, 2.5, '10'):
        with pytest.raises(ValueError, match=f'num_classes={number!r} is not valid'):
            mb.build_classifier('CycleMLP', arch='b1', num_classes=number)
    with pytest.raises(ValueError, match='a classifier uses the last stage with its norm'):
        mb.build_classifier('CycleMLP', arch='b1', out_indices=(2,))
