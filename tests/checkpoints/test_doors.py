"""Published files load through the functions and command lines of mmengine, mmdet, mmseg and mmpretrain."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import mmdet
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, init_detector
from mmdet.datasets import CocoDataset
from mmengine import load
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner, load_checkpoint
from mmpretrain import ImageClassificationInferencer, get_model
from mmseg.apis import MMSegInferencer, init_model
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mlp_backbones.backbones import FAMILIES
from mlp_backbones.checkpoints import convert, find_state_dict
from tests.backbones.slim import DIMS, slim, slim_arch
from tests.conftest import ROOT

FAMILY = 'ConvMLP'  # whose authors published whole detectors and segmentors
CONFIGS = dict(
    detector='convmlp/retinanet_convmlp-s_fpn_1x_coco.py',
    segmentor='convmlp/semfpn_convmlp-s_40k_ade20k-512x512.py',
    classifier='convmlp/convmlp-s_300e_in1k.py',
)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmengine'):
        yield


def small(kind: str, path: Path | None = None) -> Config:
    """A recipe of a slim backbone."""
    config = Config.fromfile(ROOT / 'configs' / CONFIGS[kind])
    config.model.backbone.arch = slim_arch(FAMILY)
    # init_detector and others drop it: the file that they are given has all weights.
    config.model.backbone.pop('init_cfg', None)
    if kind == 'classifier':
        config.model.head.in_channels = DIMS[-1]
    else:
        config.model.neck.in_channels = [DIMS[i] for i in config.model.backbone.get('out_indices', range(4))]
    if path:
        config.dump(path)
    return config


def published(kind: str, model: nn.Module) -> dict:
    """The file of a model as ConvMLP's authors publish it: in names of their backbone and of the older mm libraries."""
    if kind == 'classifier':
        return convert(model.state_dict(), 'official')[0]
    backbone = find_state_dict(convert(model.backbone.state_dict(), 'official')[0], prefix='')
    rest = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith('backbone.')}
    return dict(
        meta=dict(CLASSES=('a', 'b'), PALETTE=[[0, 0, 0], [1, 1, 1]]),
        state_dict={f'backbone.{name}': tensor for name, tensor in backbone.items()} | rest,
    )


def build(kind: str) -> nn.Module:
    config = small(kind)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        return MODELS.build(config.model)


def differing(model: nn.Module, source: nn.Module) -> list[str]:
    wanted = source.state_dict()
    return [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, wanted[name])]


@pytest.fixture
def files(tmp_path):
    """Function that makes a config, a published file, and the model that it holds."""

    def make(kind: str) -> tuple[str, str, nn.Module]:
        model = build(kind)
        torch.save(published(kind, model), tmp_path / 'published.pth')
        small(kind, tmp_path / 'config.py')
        return str(tmp_path / 'config.py'), str(tmp_path / 'published.pth'), model

    return make


def test_init_detector(files):
    config, file, source = files('detector')
    assert not differing(init_detector(config, file, device='cpu'), source)


def test_det_inferencer(files):
    config, file, source = files('detector')
    assert not differing(DetInferencer(config, file, device='cpu').model, source)


def test_init_model_of_mmseg(files):
    config, file, source = files('segmentor')
    assert not differing(init_model(config, file, device='cpu'), source)


def test_mmseg_inferencer(files):
    config, file, source = files('segmentor')
    assert not differing(MMSegInferencer(config, file, device='cpu').model, source)


def test_get_model_of_mmpretrain(files):
    config, file, source = files('classifier')
    assert not differing(get_model(config, pretrained=file), source)


def test_image_classification_inferencer(files):
    config, file, source = files('classifier')
    assert not differing(ImageClassificationInferencer(config, pretrained=file, device='cpu').model, source)


class Plain(BaseModel):
    def __init__(self, family: str = FAMILY):
        super().__init__()
        self.backbone = slim(family)

    def forward(self, inputs: Tensor, mode: str = 'tensor'):
        return dict(loss=self.backbone(inputs)[-1].square().mean())


@pytest.mark.parametrize('family', ['ConvMLP', 'CycleMLP'])
def test_load_from_of_a_plain_runner(tmp_path, family):
    source = slim(family)
    torch.save(convert(source.state_dict(), 'official')[0], tmp_path / 'published.pth')
    model = Plain(family)
    runner = Runner(
        model,
        str(tmp_path / 'work'),
        DataLoader([dict(inputs=torch.randn(3, 64, 64))] * 2, 2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        load_from=str(tmp_path / 'published.pth'),
        default_hooks=dict(checkpoint=None),
    )
    runner.train()
    found = dict(model.backbone.named_parameters())
    assert all(torch.equal(found[name], tensor) for name, tensor in source.named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize('family', FAMILIES)
def test_a_classifier_into_a_detector(tmp_path, family):
    """The mix-up of load_from and init_cfg that costs a training."""
    source, model = slim(family, out_indices=(3,)), Plain(family)
    torch.save(convert(source.state_dict(), 'mmpretrain')[0], tmp_path / 'a.pth')
    load_checkpoint(model, str(tmp_path / 'a.pth'))
    found = dict(model.backbone.named_parameters())
    body = {name: tensor for name, tensor in source.named_parameters() if name.startswith(('stem.', 'stages.'))}
    assert all(torch.equal(found[name], tensor) for name, tensor in body.items())


@pytest.mark.slow
def test_test_py_of_mmdet(files, tmp_path, monkeypatch):
    """mmdet's own command line finds with the published file what it finds with mmengine's of the same model."""
    config, published_file, source = files('detector')
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'own.pth')
    cv2.imwrite(str(tmp_path / '1.png'), np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8))
    box = dict(id=1, image_id=1, category_id=1, bbox=[4, 4, 20, 20], area=400, iscrowd=0)
    coco = dict(
        images=[dict(id=1, file_name='1.png', width=80, height=64)],
        annotations=[dict(box, segmentation=[[4, 4, 24, 4, 24, 24]])],
        categories=[dict(id=i, name=name) for i, name in enumerate(CocoDataset.METAINFO['classes'], 1)],
    )
    (tmp_path / 'coco.json').write_text(json.dumps(coco))
    options = [
        f'test_dataloader.dataset.data_root={tmp_path}/',
        'test_dataloader.dataset.ann_file=coco.json',
        'test_dataloader.dataset.data_prefix.img=',
        'test_dataloader.num_workers=0',
        'test_dataloader.persistent_workers=False',
        f'test_evaluator.ann_file={tmp_path}/coco.json',
        'model.test_cfg.score_thr=0.0',
    ]
    found = []
    for file in (published_file, tmp_path / 'own.pth'):
        out = tmp_path / 'out.pkl'
        arguments = [config, file, '--work-dir', tmp_path / 'work', '--out', out, '--cfg-options', *options]
        monkeypatch.setattr(sys, 'argv', ['test.py', *map(str, arguments)])
        runpy.run_path(str(Path(mmdet.__file__).parent / '.mim' / 'tools' / 'test.py'), run_name='__main__')
        (result,) = load(out)
        found.append(result['pred_instances'])
    assert len(found[0]['scores']) > 10
    assert all(torch.equal(found[0][part], found[1][part]) for part in ('scores', 'bboxes', 'labels'))
