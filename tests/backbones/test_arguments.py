import pytest

import mlp_backbones as mb

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


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match='drop_rate'):
        mb.build_backbone('CycleMLP', arch='b1', drop_rate=0.1)


def test_an_arch_of_ones_own():
    net = mb.build_backbone('CycleMLP', arch=dict(dims=list(DIMS), depths=[1, 1, 1, 1]))
    assert net.out_channels == DIMS
    assert net.stages[0].blocks[0].mlp.fc1.out_channels == 4 * DIMS[0]
