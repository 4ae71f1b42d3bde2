import copy
from functools import partial
from inspect import signature
from logging import Handler

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS

import mlp_backbones as mb
from tests.backbones.slim import slim_arch

DIMS = (8, 12, 16, 20)


@pytest.mark.parametrize(
    ('kwargs', 'words'),
    [
        (dict(out_indices=(0, 4)), r'out_indices=\(0, 4\) is not valid.*from 0 to 3'),
        (dict(out_indices=(-1,)), r'out_indices=\(-1,\)'),
        (dict(out_indices=()), r'out_indices=\(\) .*at least one'),
        (dict(out_indices=(2, 1)), r'out_indices=\(2, 1\) .*rising order'),
        (dict(out_indices=(1, 1)), r'out_indices=\(1, 1\)'),
        (dict(out_indices=3), 'out_indices=3 .*tuple or list'),
        (dict(frozen_stages=7), 'frozen_stages=7 is not valid.*from -1'),
        (dict(frozen_stages=-2), 'frozen_stages=-2'),
        (dict(frozen_stages=1.0), 'frozen_stages=1.0'),
        (dict(drop_path_rate=-0.1), 'drop_path_rate=-0.1 .*at least 0 and below 1'),
        (dict(drop_path_rate=1), 'drop_path_rate=1 '),
        (dict(drop_path_rate='0.1'), "drop_path_rate='0.1'"),
        (dict(in_channels=0), 'in_channels=0 .*at least 1'),
        (dict(norm_eval=1), 'norm_eval=1 .*True or False'),
        (dict(with_cp='yes'), "with_cp='yes'"),
        (dict(init_cfg=dict(type='Pretrained')), 'given a checkpoint'),
        (dict(init_cfg=dict(type='Pretrained', checkpoint='a.pth', map_location='cuda')), 'map_location'),
        (dict(arch=5), 'arch=5 .*one of b1, b2, b3, b4, b5, or a dict'),
        (dict(arch=dict(dims=DIMS)), 'lacks depths'),
        (dict(arch=dict(dims=DIMS[:3], depths=(1, 1, 1, 1))), r"arch\['dims'\]=\(8, 12, 16\) .*4 positive"),
        (dict(arch=dict(dims=DIMS, depths=(1, 0, 1, 1))), r"arch\['depths'\]=\(1, 0, 1, 1\)"),
        (dict(arch=dict(dims=DIMS, depths=(1, 1, 1, 1), mlp_ratio=(4,) * 4)), "'mlp_ratio', did you mean 'mlp_ratios'"),
    ],
)
def test_wrong_values_are_named(kwargs, words):
    with pytest.raises(ValueError, match=words):
        mb.build_backbone('CycleMLP', **{'arch': 'b1', **kwargs})


FAMILIES = mb.backbones.FAMILIES
# A backbone of other libraries by its arguments, and a word that tells what takes the place of each.
OTHERS = [
    ('pretrained', True, 'init_cfg=dict'),
    ('in_chans', 4, 'in_channels='),
    ('num_classes', 10, 'build_classifier'),
    ('features_only', True, 'out_indices='),
    ('num_stages', 4, 'out_indices='),
    ('strides', (1, 2, 2, 2), 'out_indices='),
    ('dilations', (1, 1, 2, 4), 'output_stride=8'),
    ('img_size', 224, 'any size'),
    ('drop_path', 0.1, 'drop_path_rate='),
    ('drop_rate', 0.1, 'drop_path_rate='),
    ('act_cfg', dict(type='GELU'), 'leave it out'),
    ('norm_layer', None, 'leave it out'),
    ('style', 'pytorch', '_delete_=True'),
    ('use_abs_pos_embed', False, '_delete_=True'),
    ('convert_weights', True, '_delete_=True'),
    ('depth', 50, 'arch='),
    ('depths', (2, 2, 6, 2), 'arch='),
    ('embed_dim', 96, 'arch='),
    ('embed_dims', 96, 'arch='),
]


@pytest.mark.parametrize('family', FAMILIES)
def test_arguments_of_other_libraries(family):
    arch = next(iter(FAMILIES[family].variants))
    for name, value, instead in OTHERS:
        for build in (FAMILIES[family], lambda **kwargs: MODELS.build(dict(type=f'mlp_backbones.{family}', **kwargs))):
            with pytest.raises(ValueError, match=f'^{family} ') as refused:
                build(arch=arch, **{name: value})
            sentence = str(refused.value)
            assert repr(name) in sentence and instead in sentence and '\n' not in sentence, sentence


@pytest.mark.parametrize('family', FAMILIES)
def test_a_base_config_whose_backbone_was_not_deleted(family, tmp_path):
    resnet = dict(type='ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), frozen_stages=1, style='pytorch')
    (tmp_path / 'base.py').write_text(f'model = dict(backbone={resnet})')
    (tmp_path / 'child.py').write_text(
        f"_base_ = ['base.py']\nmodel = dict(backbone=dict(type='mlp_backbones.{family}', out_indices=None))"
    )
    with pytest.raises(ValueError, match=f"^{family} has no argument 'depth', 'num_stages', 'style'.*_delete_=True"):
        MODELS.build(Config.fromfile(tmp_path / 'child.py').model.backbone)


def test_arguments_of_another_family_and_slips():
    with pytest.raises(ValueError, match=r'CycleMLP has no argument .region_size.*_delete_=True'):
        mb.CycleMLP('b1', region_size=(4, 3, 3, 2))
    with pytest.raises(ValueError, match=r'HireMLP has no argument .region_sizes.: .*did you mean region_size'):
        mb.build_backbone('hiremlp_tiny', region_sizes=(4, 3, 3, 2))
    with pytest.raises(ValueError, match=r'SwinMLP .*window_size: write arch=dict\(window_size='):
        mb.build_backbone('SwinMLP', arch=next(iter(mb.SwinMLP.variants)), window_size=7)
    with pytest.raises(ValueError, match=r'ASMLP has no argument .norm_cfg.'):
        mb.build_backbone('asmlp_tiny', norm_cfg=dict(type='BN'))
    for build in (mb.CycleMLP, partial(mb.build_backbone, 'CycleMLP')):
        with pytest.raises(ValueError, match='CycleMLP needs arch: one of b1'):
            build()
        with pytest.raises(ValueError, match=r'CycleMLP has no argument .depth.'):
            build(depth=50)


def test_positions():
    with pytest.raises(ValueError, match=r'HireMLP takes arch by position, got 3 values: give 3, \(0, 1\) by name'):
        mb.HireMLP('tiny', 3, (0, 1))
    with pytest.raises(ValueError, match='CycleMLP got arch twice'):
        mb.CycleMLP('b1', arch='b2')


def test_a_subclass_has_arguments_of_its_own():
    class Own(mb.HireMLP):
        def __init__(self, **kwargs):
            self.mine = kwargs.pop('mine')
            super().__init__(dict(dims=DIMS, depths=(1, 1, 1, 1)), **kwargs)

    assert Own(mine=3, frozen_stages=1).frozen_stages == 1
    with pytest.raises(ValueError, match=r'Own has no argument .yours.'):
        Own(mine=3, yours=4)
    assert list(signature(mb.HireMLP).parameters)[:2] == ['arch', 'region_size']
    assert copy.deepcopy(Own(mine=3)).mine == 3


def test_an_arch_of_ones_own():
    net = mb.build_backbone('CycleMLP', arch=dict(dims=list(DIMS), depths=[1, 1, 1, 1]))
    assert net.out_channels == DIMS
    assert net.stages[0].blocks[0].mlp.fc1.out_channels == 4 * DIMS[0]


def test_saved_configs_with_a_renamed_key_keep_working():
    arch = slim_arch('VisionPermutator')
    old = {'steps' if key == 'strides' else key: value for key, value in arch.items()}
    lines = []
    handler = Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        nets = [mb.VisionPermutator(old), mb.VisionPermutator(old)]
    finally:
        logger.removeHandler(handler)
    assert all(net.strides == mb.VisionPermutator(arch).strides for net in nets)
    assert len(lines) == 1 and "'steps'" in lines[0] and 'strides=' in lines[0]
    assert 'steps' in old
