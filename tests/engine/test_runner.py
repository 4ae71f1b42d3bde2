"""The runners of the tools: whole predictions, and data faults in one sentence from FlexibleRunner as well."""

import pickle
import resource

import pytest
import torch
from mmengine._strategy import SingleDeviceStrategy
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS

from mlp_backbones.engine import build_runner
from mlp_backbones.engine.data import DataError
from mlp_backbones.engine.hooks.checkpoint import WholeCheckpoints
from mlp_backbones.errors import UserError


@MODELS.register_module(name='NetOfTestRunner', force=True)
class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor'):
        return [dict(number=torch.zeros(1000))]


def config(folder, **kwargs):
    loader = dict(batch_size=1, dataset=[0, 1], sampler=dict(type='DefaultSampler', shuffle=False))
    loader['collate_fn'] = dict(type='pseudo_collate')
    test = dict(test_dataloader=loader, test_cfg=dict())
    return Config(dict(model=dict(type='NetOfTestRunner'), work_dir=str(folder), launcher='none', **{**test, **kwargs}))


def test_predictions_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'out.pkl'
    evaluator = dict(type='DumpResults', out_file_path=str(path))
    build_runner(config(tmp_path, test_evaluator=evaluator, experiment_name='one')).test()
    written = path.read_bytes()
    assert len(pickle.loads(written)) == 2
    runner = build_runner(config(tmp_path, test_evaluator=evaluator, experiment_name='two'))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        with pytest.raises(UserError) as refused:
            runner.test_evaluator.metrics[0].compute_metrics(pickle.loads(written))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(path) in str(refused.value) and 'File too large' in str(refused.value)
    assert path.read_bytes() == written
    assert not [*tmp_path.glob('*.partial')]


# The original mmengine logs the config, which it cannot do for classes.
@pytest.mark.parametrize(
    'kind', ['SingleDeviceStrategy', pytest.param(SingleDeviceStrategy, marks=pytest.mark.newer)], ids=['name', 'class']
)
def test_flexible_runner_checks_data_and_saves_whole(tmp_path, kind):
    pipeline = [dict(type='mmcv.LoadImageFromFile')]
    dataset = dict(type='mmpretrain.CustomDataset', data_prefix=str(tmp_path), ann_file='list.txt', pipeline=pipeline)
    options = dict(test_dataloader=None, test_cfg=None, env_cfg=dict(dist_cfg=dict(backend='gloo')))
    options |= dict(runner_type='FlexibleRunner', strategy=dict(type=kind), experiment_name=tmp_path.name)
    runner = build_runner(config(tmp_path, **options))
    assert isinstance(runner, WholeCheckpoints)
    loader = dict(batch_size=1, dataset=dataset, sampler=dict(type='DefaultSampler', shuffle=False))
    with pytest.raises(DataError) as refused:
        next(iter(runner.build_dataloader(loader)))
    assert 'list.txt is missing' in str(refused.value)
