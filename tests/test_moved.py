"""Modules and names of version 0.1 go on working, with a warning."""

import importlib

import pytest

import mlp_backbones.engine

OLD = {
    'engine.config': ('load_config', 'prepare_train', 'prepare_test', 'UserError'),
    'engine.infer': ('Predictor', 'read_picture', 'find_pictures', 'infer'),
    'engine.complexity': ('count', 'complexity'),
    'engine.progress': ('TerminalRunner', 'build_runner', 'ProgressHook'),
    'engine.resume': ('InterruptHook', 'ResumableEpochLoop', 'random_state'),
    'factory': ('build_backbone', 'list_backbones'),
    'hooks': ('AuxiliaryLossHook',),
    'optim': ('LayerDecayOptimWrapperConstructor',),
}


@pytest.mark.parametrize('module', OLD)
def test_old_modules(module):
    module = importlib.import_module(f'mlp_backbones.{module}')
    assert all(callable(getattr(module, name)) for name in OLD[module.__name__.removeprefix('mlp_backbones.')])
    with pytest.raises(AttributeError, match='nothing'):
        _ = module.nothing


def test_old_names_of_the_engine():
    with pytest.warns(DeprecationWarning, match='apis'):
        assert mlp_backbones.engine.prepare_train is importlib.import_module('mlp_backbones.apis').prepare_train
    with pytest.raises(AttributeError, match='nothing'):
        _ = mlp_backbones.engine.nothing
