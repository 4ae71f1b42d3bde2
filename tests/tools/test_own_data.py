"""Each kind of recipe on small data in their own format, as docs/own_data.md has it: train, evaluate, reload."""

import json
import re
from pathlib import Path

import pytest
import torch

import mlp_backbones as mb
from mlp_backbones.apis.config import build_model, load_config
from mlp_backbones.checkpoints import read_checkpoint
from tests.conftest import ROOT
from tests.own_data import write_class_folders, write_coco, write_label_maps, write_voc, write_yolo

pytestmark = pytest.mark.slow

PAGE = (ROOT / 'docs' / 'own_data.md').read_text()
# What makes a training short: small images, few regions.
SIZES = {'train_dataloader.dataset.pipeline.2.scale': (96, 96), 'val_dataloader.dataset.pipeline.1.scale': (96, 96)}
REGIONS = {'model.test_cfg.rpn.max_per_img': 8, 'model.train_cfg.rpn_proposal.max_per_img': 16}
CROPS = {'train_dataloader.dataset.pipeline.3.crop_size': (64, 64), 'model.data_preprocessor.size': (64, 64)}
TRANSFORMS = 'train_dataloader.dataset.pipeline.3.transforms'
MULTI = {f'{TRANSFORMS}.{i}.{j}.scales': [(96, 96)] for i, j in ((0, 0), (1, 0), (1, 2))}
MULTI |= {f'{TRANSFORMS}.1.1.crop_size': (48, 64), 'val_dataloader.dataset.pipeline.1.scale': (96, 96)}
ANY = {'train_dataloader.batch_size': 4, 'default_hooks.checkpoint.save_optimizer': False}
for _loader in ('train_dataloader', 'val_dataloader'):
    ANY |= {f'{_loader}.num_workers': 0, f'{_loader}.persistent_workers': False}
SMALL = {
    'mask-rcnn': SIZES | REGIONS,
    # An untrained one is sure of nothing.
    'retinanet': SIZES | {'model.test_cfg.score_thr': 0.0},
    'cascade-mask-rcnn': REGIONS | MULTI,
    'semfpn': SIZES | CROPS,
    'upernet': SIZES | CROPS,
    'cyclemlp-b1': {'train_dataloader.dataset.pipeline.1.scale': 64, 'val_dataloader.dataset.pipeline.2.crop_size': 64},
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """A folder with the data of the page, and weights of a backbone in place of published ones."""
    folder = tmp_path_factory.mktemp('own')
    write_coco(folder / 'scenes' / 'boxes', 4)
    write_label_maps(folder / 'scenes' / 'maps', 4)
    write_label_maps(folder / 'scenes' / 'split', 4, split=True)
    write_class_folders(folder / 'scenes' / 'classes', 4)
    write_voc(folder / 'scenes' / 'voc', 4)
    write_yolo(folder / 'scenes' / 'yolo', 4)
    torch.save(mb.build_backbone('cyclemlp_b1').state_dict(), folder / 'b1.pth')
    return folder


COMMANDS = set(re.findall(r'^python tools/train.py (\S+) --data (\S+)', PAGE, re.M))
OTHER_KINDS = {
    ('retinanet_cyclemlp-b1_fpn_1x_coco', 'scenes/voc'),
    ('cascade-mask-rcnn_cyclemlp-b1_fpn_giou-4conv1fc_ms-3x_coco', 'scenes/yolo'),
    ('upernet_cyclemlp-b1_160k_ade20k-512x512', 'scenes/split'),
}


@pytest.mark.parametrize(('recipe', 'data'), sorted(COMMANDS | OTHER_KINDS))
def test_every_kind_of_recipe_trains_evaluates_and_reloads(folder, run_here, recipe, data):
    changes = {**SMALL[recipe.partition('_')[0]], **ANY}
    options = [f'{key}={str(value).replace(" ", "")}' for key, value in changes.items()]
    short = ['--weights', 'b1.pth', '--epochs', '1', '--cfg-options', *options]
    done = run_here(ROOT / 'tools' / 'train.py', recipe, '--data', data, *short, cwd=folder)
    assert done.returncode == 0, done.stdout
    work_dir = folder / 'work_dirs' / f'{recipe}_{Path(data).name}'
    result = json.loads((work_dir / 'result.json').read_text())
    assert result['completed'] and result['metrics']
    assert 'fine-tuning, from b1.pth' in done.stdout and 'layer decay 0.9' in done.stdout
    if (recipe, data) in OTHER_KINDS:
        return
    assert f'written to {folder}/{data}/split' in done.stdout
    # What the runner saved is the trained model, with the names of its classes.
    config = load_config(str(work_dir / f'{work_dir.name}.py'), ROOT / 'configs')
    checkpoint = read_checkpoint(next(work_dir.glob('best_*.pth')))
    build_model(config).load_state_dict(checkpoint['state_dict'], strict=True)
    assert checkpoint['meta']['dataset_meta']['classes'] == config.train_dataloader.dataset.metainfo.classes
