"""Layer-wise learning rates, in configs of all three libraries."""

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope

from mlp_backbones.backbones import FAMILIES
from tests.backbones.slim import DIMS, slim, slim_arch
from tests.configs.test_models import MODELS as CONFIGS


def optim_cfg(**options):
    return dict(
        type='OptimWrapper',
        constructor='mlp_backbones.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=0.5, **options),
        optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1),
    )


def rates(model, cfg):
    groups = build_optim_wrapper(model, ConfigDict(cfg)).optimizer.param_groups
    return {id(p): (g['lr'], g['weight_decay']) for g in groups for p in g['params']}, len(groups)


@pytest.mark.parametrize('family', FAMILIES)
def test_every_family(family):
    model = torch.nn.ModuleDict(dict(backbone=slim(family), head=torch.nn.Linear(DIMS[-1], 2)))
    found, num_groups = rates(model, optim_cfg(norm_decay_mult=0.0, flat_decay_mult=0.0))
    layers = model.backbone.get_layer_depth('stem.none', prefix='x')[1]
    for name, parameter in model.named_parameters():
        depth = model.backbone.get_layer_depth(name, 'backbone.')[0]
        assert found[id(parameter)][0] == pytest.approx(0.5 ** (layers - 1 - depth)), name
    assert found[id(model.head.weight)] == (1, 0.1)
    assert {decay for _, decay in found.values()} == {0.0, 0.1}
    assert num_groups <= 2 * layers


def test_rates_of_a_whole_backbone():
    """Beside exceptions for norms, which mmengine's custom keys turn off."""
    model = torch.nn.ModuleDict(dict(backbone=slim('ASMLP'), head=torch.nn.Linear(DIMS[-1], 2)))
    for decay in (1, 0.5):
        cfg = optim_cfg(backbone_lr_mult=0.1, norm_decay_mult=0.0)
        cfg['paramwise_cfg']['layer_decay_rate'] = decay
        found, _ = rates(model, cfg)
        layers = model.backbone.get_layer_depth('stem.none', prefix='x')[1]
        norm = model.backbone.stem.norm.weight
        assert found[id(norm)] == (pytest.approx(0.1 * decay ** (layers - 1)), 0)
        assert found[id(model.backbone.out_norms['3'].weight)] == (pytest.approx(0.1), 0)
        assert found[id(model.head.weight)] == (1, 0.1)


@pytest.mark.parametrize('name', ['mask_rcnn', 'upernet', 'classifier'])
def test_models_of_all_libraries(name):
    cfg = CONFIGS[name](dict(type='mlp_backbones.HireMLP', arch=slim_arch('HireMLP')), DIMS)
    scope = cfg['type'].split('.')[0]
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(Config(cfg))
        found, _ = rates(model, optim_cfg())
    lrs = {lr for lr, _ in found.values()}
    layers = model.backbone.get_layer_depth('none', prefix='backbone.')[1]
    assert lrs == {0.5**k for k in range(layers)}
    if name == 'classifier':  # mmpretrain's own constructor asks the model, which asks the backbone
        assert model.get_layer_depth('backbone.stem.proj.weight') == (0, layers)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(paramwise_cfg=dict()), 'needs layer_decay_rate'),
        (dict(paramwise_cfg=dict(layer_decay_rate=1.5)), 'above 0 and at most 1'),
        (dict(paramwise_cfg=dict(layer_decay_rate=0.5, backbone_lr_mult=0)), 'backbone_lr_mult=0 is not valid'),
        (dict(optimizer=dict(type='AdamW')), 'optimizer has no lr'),
    ],
)
def test_wrong_options_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        build_optim_wrapper(slim('ASMLP'), ConfigDict({**optim_cfg(), **change}))
    with pytest.raises(ValueError, match='Linear holds no backbone of mlp_backbones'):
        build_optim_wrapper(torch.nn.Linear(2, 2), ConfigDict(optim_cfg()))
