"""The examples of docs/use_in_configs.md: configs of others, with a backbone of ours, build and take a step."""

import re
from pathlib import Path

import mmseg
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope, Registry
from torch import nn
from torch.nn import functional as F

from tests.configs.test_models import data
from tests.conftest import ROOT, run

pytestmark = pytest.mark.slow

PAGE = (ROOT / 'docs' / 'use_in_configs.md').read_text()
EXAMPLES = dict(re.findall(r'^## (\w+).*?```python\n(.*?)```', PAGE, re.M | re.S))

# A library of its own: what it does not have itself, it finds in mmengine's root registry.
POSE = Registry('model', parent=MODELS, scope='pose')


@POSE.register_module()
class Estimator(BaseModel):
    def __init__(self, backbone, head):
        super().__init__()
        self.backbone = POSE.build(backbone)
        self.head = nn.Conv2d(head['in_channels'], head['keypoints'], 1)

    def forward(self, inputs, mode='loss'):
        heatmaps = self.head(self.backbone(inputs)[-1])
        return dict(loss=F.mse_loss(heatmaps, torch.ones_like(heatmaps)))


THEIR_CONFIG = """
default_scope = 'pose'
model = dict(type='Estimator', backbone=dict(type='mmdet.ResNet', depth=50), head=dict(in_channels=2048, keypoints=17))
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3))
"""


@pytest.fixture
def load(tmp_path):
    """Loads an example, beside the files that it names."""
    (tmp_path / 'configs').symlink_to(Path(mmseg.__file__).parent / '.mim' / 'configs')
    (tmp_path / 'their_config.py').write_text(THEIR_CONFIG)

    def load(name):
        (tmp_path / 'example.py').write_text(EXAMPLES[name])
        return Config.fromfile(tmp_path / 'example.py')

    return load


def test_page_has_an_example_of_each_kind():
    assert list(EXAMPLES) == ['mmdet', 'mmseg', 'mmpretrain', 'mmpose']


@pytest.mark.parametrize('name', EXAMPLES)
def test_example(name, load):
    config = load(name)
    model = config.model
    if name == 'mmseg':
        model.data_preprocessor.size = (64, 80)
    if 'data_preprocessor' in config:
        model.setdefault('data_preprocessor', config.data_preprocessor)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = revert_sync_batchnorm((POSE if name == 'mmpose' else MODELS).build(model)).train()
        model.init_weights()
        wrapper = build_optim_wrapper(model, config.optim_wrapper)
        if name == 'mmpose':
            batch = dict(inputs=torch.randn(2, 3, 64, 80))
        else:
            kind = {'mmdet': 'retinanet', 'mmseg': 'semantic_fpn', 'mmpretrain': 'classifier'}[name]
            batch = model.data_preprocessor(data(kind), training=True)
        loss, _ = model.parse_losses(model(**batch, mode='loss'))
    assert type(model.backbone).__module__.startswith('mlp_backbones.') and torch.isfinite(loss)
    loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    wrapper.step()
    assert not any(torch.equal(before[n], p) for n, p in model.named_parameters() if p.grad.any())


def test_root_registry_in_a_process_that_imports_nothing_of_ours(tmp_path, load):
    """As mmpose would: read the config, build its backbone through mmengine's root registry."""
    load('mmpose')
    code = f"""
from mmengine.config import Config
from mmengine.registry import MODELS
config = Config.fromfile({str(tmp_path / 'example.py')!r})
print(type(MODELS.build(config.model.backbone)).__module__)
"""
    done = run('-c', code)
    assert done.returncode == 0 and done.stdout.split()[-1] == 'mlp_backbones.backbones.cyclemlp', done.stdout
