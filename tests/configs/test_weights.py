"""The table of published weights and the metafiles say the same, and what a metafile names loads into its model."""

import copy
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from mmpretrain import ModelHub, get_model
from torch import nn

import mlp_backbones as mb
from mlp_backbones.checkpoints import convert, find_state_dict
from mlp_backbones.checkpoints.incoming import convert_incoming
from mlp_backbones.checkpoints.weights import IMAGENET_MEAN
from tests.checkpoints.server import serve
from tests.conftest import ROOT, metafiles

RECIPES = [recipe for metafile in metafiles() for recipe in metafile['Models']]
LINKED = {recipe['Name']: recipe for recipe in RECIPES if 'Weights' in recipe}
PAGES = {recipe['Name']: recipe for recipe in RECIPES if 'Weights Page' in recipe['Metadata']}


def name_in_table(recipe: dict) -> str:
    return recipe['Metadata']['Backbone'] if recipe['Metadata']['Head'] == 'Classifier' else recipe['Name']


def test_names_and_variants_exist():
    weights = mb.list_weights()
    names, recipes = [w.name for w in weights], {recipe['Name'] for recipe in RECIPES}
    assert len({*names}) == len(names) and len({w.address for w in weights}) == len(weights)
    for w in weights:
        assert w.variant in mb.list_backbones()
        assert w.name in recipes or (w.name == w.variant and w.task == 'classification')
        assert w.address.startswith('https://') and w.source and w.metrics
        assert mb.list_weights(w.variant).count(w) == 1


@pytest.mark.parametrize('name', [*LINKED, *PAGES])
def test_metafiles_name_what_the_table_has(name):
    recipe = LINKED.get(name) or PAGES[name]
    weights = mb.checkpoints.find_weights(name_in_table(recipe))
    # A page cannot be loaded: it is no `Weights`.
    assert (name in LINKED) == (not weights.file) and not (name in LINKED and name in PAGES)
    assert weights.address == (recipe['Weights'] if name in LINKED else recipe['Metadata']['Weights Page'])
    assert weights.variant == recipe['Metadata']['Backbone']
    reported = [result for result in recipe['Results'] if result['Source'] == weights.source]
    assert reported and all(result['State'] == 'reported' for result in reported)
    assert weights.metrics == {metric: value for result in reported for metric, value in result['Metrics'].items()}


def normalisation(config: Config) -> tuple[list, list]:
    processor = config.get('data_preprocessor') or config.model.data_preprocessor
    return list(processor.mean), list(processor.std)


@pytest.mark.slow
def test_every_file_is_named_by_the_recipe_whose_images_it_takes():
    """Mixer's files need another normalisation than the recipes have."""
    named = {name_in_table(recipe) for recipe in (*LINKED.values(), *PAGES.values())}
    for weights in mb.list_weights():
        config = next(recipe['Config'] for recipe in RECIPES if name_in_table(recipe) == weights.name)
        fits = normalisation(Config.fromfile(ROOT / config)) == (list(weights.mean), list(weights.std))
        assert fits == (weights.name in named)
        assert fits or weights.mean != IMAGENET_MEAN


def published(model: nn.Module) -> dict:
    """The names and shapes of the file from which a model's tensors come."""
    backbone = find_state_dict(convert(model.backbone.state_dict(), 'official')[0], prefix='')
    rest = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith('backbone.')}
    if any(name.startswith('head.fc.') for name in rest):
        return find_state_dict(convert(model.state_dict(), 'official')[0], prefix='')
    return {f'backbone.{name}': tensor for name, tensor in backbone.items()} | rest


@pytest.mark.slow
@pytest.mark.parametrize('name', LINKED)
def test_all_tensors_of_the_named_file_arrive(name):
    config = Config.fromfile(ROOT / LINKED[name]['Config'])
    if 'data_preprocessor' in config:
        config.model.setdefault('data_preprocessor', config.data_preprocessor)
    config.model.backbone.pop('init_cfg', None)
    with torch.device('meta'), DefaultScope.overwrite_default_scope(config.default_scope):
        model = revert_sync_batchnorm(MODELS.build(config.model))
    wanted, state = model.state_dict(), published(model)
    assert {*state} != {*wanted}
    convert_incoming(model, state)
    assert {name: tensor.shape for name, tensor in state.items()} == {n: t.shape for n, t in wanted.items()}


def test_get_model_of_mmpretrain_by_name(tmp_path, monkeypatch):
    """``get_model(NAME, pretrained=True)`` gives the network of the file that the metafile names."""
    recipe = copy.deepcopy(LINKED['cyclemlp-b1_300e_in1k'])
    source = mb.build_classifier('cyclemlp_b1')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with serve(convert(source.state_dict(), 'official')[0]) as address:
        recipe |= dict(Name='cyclemlp_of_this_test', Weights=f'{address}/a.pth', Config=str(ROOT / recipe['Config']))
        index = dict(Collections=[dict(Name='CycleMLP')], Models=[recipe])
        (tmp_path / 'index.yml').write_text(yaml.safe_dump(index))
        ModelHub.register_model_index(str(tmp_path / 'index.yml'), config_prefix=Path('/'))
        model = get_model('cyclemlp_of_this_test', pretrained=True)
    found = {name.replace('head.fc.', 'head.'): tensor for name, tensor in model.state_dict().items()}
    wanted = source.state_dict()
    assert {*wanted} <= {*found} and all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
