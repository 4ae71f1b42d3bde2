from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from torch import nn

import mlp_backbones as mb
from mlp_backbones.checkpoints import CheckpointError, convert
from mlp_backbones.engine import build_runner
from mlp_backbones.errors import UserError
from tests.backbones.slim import slim

SGD = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
SGD_OFF = dict(optimizer=dict(type='SGD', lr=0.0))


@DATASETS.register_module()
class FlatImages:
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.full((3, 64, 64), float(index)))


@MODELS.register_module()
class SlimDetector(BaseModel):
    """A backbone of this package and a head, which is all that loading sees of a detector."""

    def __init__(self, classes=3, init_cfg=None):
        super().__init__(init_cfg=init_cfg)
        self.backbone = slim('HireMLP')
        self.head = nn.Linear(20, classes)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.head(self.backbone(torch.stack(inputs))[-1].mean((2, 3))).square().mean())


def train(folder: Path, epochs=1, flexible=False, model=None, optim=SGD, **kwargs):
    """The runner after a training of real batches, as tools/train.py does it."""
    config = Config(
        dict(
            model=model or dict(type='SlimDetector'),
            work_dir=str(folder),
            launcher='none',
            env_cfg=dict(dist_cfg=dict(backend='gloo')),
            experiment_name=f'{folder.name}_{len(list(folder.rglob("*")))}',
            train_dataloader=dict(
                batch_size=2,
                num_workers=0,
                dataset=dict(type='FlatImages'),
                sampler=dict(type='DefaultSampler', shuffle=False),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=dict(optim, type='OptimWrapper') if flexible else optim,
            custom_hooks=[],
            randomness=dict(seed=0),
            **(dict(runner_type='FlexibleRunner') if flexible else {}),
            **kwargs,
        )
    )
    runner = build_runner(config)
    runner.train()
    return runner


@pytest.fixture(scope='module', params=[False, True], ids=['Runner', 'FlexibleRunner'])
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    train(folder, flexible=request.param)
    return folder / 'epoch_1.pth', request.param


def log_of(folder: Path) -> str:
    return '\n'.join(path.read_text() for path in folder.rglob('*.log'))


def test_a_head_of_other_classes_is_left_out_and_logged(trained, tmp_path):
    path, flexible = trained
    model = dict(type='SlimDetector', classes=5)
    runner = train(tmp_path, flexible=flexible, model=model, load_from=str(path))
    assert 'head.weight' in log_of(tmp_path) and '[3, 20]' in log_of(tmp_path) and '[5, 20]' in log_of(tmp_path)
    assert 'load_from' in log_of(tmp_path) and runner.model.head.weight.shape == (5, 20)


def test_load_from_takes_off_what_wrapped_the_model(trained, tmp_path):
    path, flexible = trained
    content = torch.load(path, weights_only=False)
    content['state_dict'] = {f'_orig_mod.module.{k}': v for k, v in content['state_dict'].items()}
    torch.save(content, tmp_path / 'wrapped.pth')
    train(tmp_path, flexible=flexible, load_from=str(tmp_path / 'wrapped.pth'))
    total = len(content['state_dict'])
    assert f'loaded {total} of {total} tensors' in log_of(tmp_path)


@pytest.mark.parametrize('layout', ['official', 'mmpretrain', 'backbone'])
def test_load_from_takes_published_weights_of_the_backbone(trained, tmp_path, layout):
    flexible = trained[1]
    source = slim('HireMLP').eval()
    torch.save(convert(source.state_dict(), layout)[0], tmp_path / 'published.pth')
    runner = train(tmp_path, flexible=flexible, load_from=str(tmp_path / 'published.pth'), optim=SGD_OFF)
    assert 'missing: head (2)' in log_of(tmp_path)
    found = dict(runner.model.backbone.named_parameters())
    assert all(torch.equal(found[name], tensor) for name, tensor in source.named_parameters())


@pytest.mark.parametrize('kind', ['part', 'other'])
def test_load_from_needs_the_whole_body(trained, tmp_path, kind):
    flexible = trained[1]
    state = slim('HireMLP' if kind == 'part' else 'CycleMLP').state_dict()
    content = {'state_dict': {f'backbone.{name}': tensor for name, tensor in list(state.items())[:-20]}}
    content['state_dict'].pop('backbone.stages.2.blocks.1.mlp.fc1.weight')
    torch.save(content, tmp_path / 'published.pth')
    with pytest.raises(CheckpointError, match=r'published\.pth.*backbone\.HireMLP'):
        train(tmp_path, flexible=flexible, load_from=str(tmp_path / 'published.pth'))
    assert not list(tmp_path.glob('epoch_*'))


def test_resume_needs_the_very_model_and_the_state_of_a_training(trained, tmp_path):
    path, flexible = trained
    model = dict(type='SlimDetector', classes=5)
    with pytest.raises(CheckpointError, match=r'in 2 places, e\.g\. it holds head\.weight as \[3, 20\]'):
        train(tmp_path, 2, flexible, model, load_from=str(path), resume=True)
    content = torch.load(path, weights_only=False)
    del content['optimizer'], content['meta']['iter']
    torch.save(content, tmp_path / 'weights.pth')
    with pytest.raises(CheckpointError, match=r'lacks meta\.iter, optimizer'):
        train(tmp_path, 2, flexible, load_from=str(tmp_path / 'weights.pth'), resume=True)


def test_a_strategy_with_a_loader_of_its_own_is_refused(tmp_path):
    with pytest.raises(UserError, match='DeepSpeedStrategy'):
        train(tmp_path, flexible=True, strategy=dict(type='DeepSpeedStrategy'), load_from='a.pth')


def test_resume_goes_on(trained, tmp_path):
    path, flexible = trained
    runner = train(tmp_path, 2, flexible, load_from=str(path), resume=True)
    assert runner.epoch == 2 and mb.checkpoints.read_checkpoint(tmp_path / 'epoch_2.pth')['meta']['epoch'] == 2
    assert not (tmp_path / 'epoch_1.pth').exists()
