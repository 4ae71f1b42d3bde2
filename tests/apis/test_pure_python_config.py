"""A pure Python config (read_base, classes as types, default_scope=None) through training and test."""

import cv2
import numpy as np
import pytest

from mlp_backbones.apis import TestOptions, TrainOptions, load_config, prepare_test, prepare_train
from mlp_backbones.checkpoints import load_trained
from mlp_backbones.engine import build_runner
from tests.conftest import ROOT

RUNTIME = """
from mmengine.hooks import CheckpointHook, LoggerHook

default_scope = None
default_hooks = dict(logger=dict(type=LoggerHook, interval=1), checkpoint=dict(type=CheckpointHook, interval=1))
"""
CONFIG = """
from mmengine.config import read_base

with read_base():
    from .runtime import *

from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import DefaultSampler
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, TestLoop, ValLoop
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs
from mmseg.evaluation import IoUMetric
from mmseg.models import CrossEntropyLoss, EncoderDecoder, FCNHead, SegDataPreProcessor
from torch.optim import AdamW

from mlp_backbones import CycleMLP

model = dict(
    type=EncoderDecoder,
    data_preprocessor=dict(type=SegDataPreProcessor, size=(32, 32)),
    backbone=dict(type=CycleMLP, arch=dict(dims=[8] * 4, depths=[1] * 4, mlp_ratios=[2] * 4)),
    decode_head=dict(
        type=FCNHead,
        in_channels=8,
        in_index=0,
        channels=8,
        num_convs=1,
        num_classes=2,
        norm_cfg=dict(type='BN'),
        loss_decode=dict(type=CrossEntropyLoss),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        type=BaseSegDataset,
        data_root='data',
        metainfo=dict(classes=('ground', 'box')),
        img_suffix='.png',
        seg_map_suffix='.png',
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        pipeline=[dict(type=LoadImageFromFile), dict(type=LoadAnnotations), dict(type=PackSegInputs)],
    ),
)
val_dataloader = test_dataloader = train_dataloader
val_evaluator = test_evaluator = dict(type=IoUMetric, iou_metrics=['mIoU'])
train_cfg = dict(type=EpochBasedTrainLoop, max_epochs=1)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-3))
"""


def test_training_and_test(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    label = np.zeros((32, 32), np.uint8)
    label[8:24, 8:24] = 1
    for folder, image in (('images', np.stack([label * 200] * 3, -1)), ('labels', label)):
        (tmp_path / 'data' / folder).mkdir(parents=True)
        for number in range(2):
            cv2.imwrite(f'data/{folder}/{number}.png', image)
    (tmp_path / 'runtime.py').write_text(RUNTIME)
    (tmp_path / 'lazy.py').write_text(CONFIG)

    config = load_config('lazy.py', ROOT / 'configs')
    prepare_train(config, TrainOptions('work'))
    trained = build_runner(config)
    trained.train()
    assert trained.iter == 1
    validated = trained.message_hub.get_scalar('val/mIoU').current()

    # The source, and the config that the runner saved.
    for name in ('lazy.py', 'work/lazy.py'):
        config = load_config(name, ROOT / 'configs', {'experiment_name': name.replace('/', '_')})
        prepare_test(config, TestOptions('tested'))
        runner = build_runner(config)
        load_trained(runner.model, 'work/epoch_1.pth')
        assert runner.test()['mIoU'] == pytest.approx(validated)
