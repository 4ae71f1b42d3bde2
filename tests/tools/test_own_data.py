"""Each kind of recipe on small data in their own format, as docs/own_data.md has it: train, evaluate, reload."""

import json
import re
from pathlib import Path

import pytest
import torch

import mlp_backbones as mb
from tests.conftest import ROOT
from tests.own_data import write_class_folders, write_coco, write_label_maps, write_voc, write_yolo

pytestmark = pytest.mark.slow

PAGE = (ROOT / 'docs' / 'own_data.md').read_text()
# What makes a training short: small images, few regions.
SIZES = {'train_dataloader.dataset.pipeline.2.scale': (96, 96), 'val_dataloader.dataset.pipeline.1.scale': (96, 96)}
REGIONS = {'model.test_cfg.rpn.max_per_img': 8, 'model.train_cfg.rpn_proposal.max_per_img': 16}
CROPS = {'train_dataloader.dataset.pipeline.3.crop_size': (64, 64), 'model.data_preprocessor.size': (64, 64)}
MULTI = {'train_dataloader.dataset.pipeline.3.transforms': [[dict(type='Resize', scale=(96, 96))]]}
SMALL = {
    'mask-rcnn': SIZES | REGIONS,
    'retinanet': SIZES,
    'cascade-mask-rcnn': REGIONS | MULTI | {'val_dataloader.dataset.pipeline.1.scale': (96, 96)},
    'semfpn': SIZES | CROPS,
    'upernet': SIZES | CROPS,
    'cyclemlp-b1': {'train_dataloader.dataset.pipeline.1.scale': 64, 'val_dataloader.dataset.pipeline.2.crop_size': 64},
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """A folder with the data of the page, and weights of a backbone in place of published ones."""
    folder = tmp_path_factory.mktemp('own')
    write_coco(folder / 'scenes' / 'boxes', 6)
    write_label_maps(folder / 'scenes' / 'maps', 6)
    write_label_maps(folder / 'scenes' / 'split', 4, split=True)
    write_class_folders(folder / 'scenes' / 'classes', 6)
    write_voc(folder / 'scenes' / 'voc', 4)
    write_yolo(folder / 'scenes' / 'yolo', 4)
    torch.save(mb.build_backbone('cyclemlp_b1').state_dict(), folder / 'b1.pth')
    return folder


def train(run_here, folder: Path, command: str, *options: str) -> tuple[str, Path, dict]:
    """Run a command of the page for one short epoch; return what it printed, the work directory and its result."""
    recipe, data = re.fullmatch(r'tools/train.py (\S+) --data (\S+)', command).groups()
    small = SMALL[recipe.partition('_')[0]]
    changes = [f'{key}={str(value).replace(" ", "")}' for key, value in small.items()]
    arguments = [ROOT / 'tools' / 'train.py', *command.split()[1:], '--epochs', '1', *options, '--cfg-options', *changes]
    done = run_here(*arguments, cwd=folder)
    assert done.returncode == 0, done.stdout
    work_dir = folder / 'work_dirs' / f'{recipe}_{Path(data).name}'
    return done.stdout, work_dir, json.loads((work_dir / 'result.json').read_text())


@pytest.mark.parametrize('command', sorted(set(re.findall(r'^python (tools/train.py \S+ --data \S+)', PAGE, re.M))))
def test_the_page(folder, run_here, command):
    printed, work_dir, result = train(run_here, folder, command, '--weights', 'b1.pth')
    assert result['completed'] and 'fine-tuning, from b1.pth' in printed and 'layer decay 0.9' in printed
    assert f'written to {folder}/scenes' in printed
    best = next(work_dir.glob('best_*.pth'))
    tested = run_here(ROOT / 'tools' / 'test.py', work_dir / f'{work_dir.name}.py', best, cwd=folder)
    assert tested.returncode == 0, tested.stdout
