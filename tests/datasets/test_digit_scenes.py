import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from mlp_backbones.datasets import CLASSES, DigitScenes, write_digit_scenes
from mlp_backbones.datasets.digit_scenes import _glyphs
from mlp_backbones.errors import UserError
from tests.conftest import ROOT, run

pytestmark = pytest.mark.slow


def digest(folder):
    sums = {}
    for path in sorted(folder.rglob('*')):
        if path.is_file():
            sums[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return sums


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    return write_digit_scenes(tmp_path_factory.mktemp('data') / 'scenes', train=12, val=6)


def test_scenes_are_what_they_promise():
    for split in ('train', 'val'):
        scenes = DigitScenes(split, 60)
        counts = []
        for scene in scenes:
            assert scene.image.shape == (192, 192, 3) and scene.image.dtype == np.uint8
            assert 2 <= len(scene.labels) <= 6 and set(scene.labels) <= set(range(10))
            assert scene.masks.sum(0).max() == 1, 'masks overlap'
            for mask, (x, y, width, height) in zip(scene.masks, scene.boxes, strict=True):
                assert mask[y : y + height, x : x + width].sum() == mask.sum() > 50
                assert max(width, height) <= 80
            assert (scene.label_map > 0).sum() == scene.masks.sum()
            counts.append(len(scene.labels))
        assert set(counts) == {2, 3, 4, 5, 6}


def test_train_and_val_share_no_glyph_and_use_all():
    train, val = (_glyphs(split)[0].reshape(-1, 64) for split in ('train', 'val'))
    assert len(train) + len(val) == len(load_digits().target) == 1797
    assert not {g.tobytes() for g in train} & {g.tobytes() for g in val}


def test_a_scene_depends_on_seed_split_and_index_alone():
    a, b = DigitScenes('train', 3, seed=5)[2], DigitScenes('train', 99, seed=5)[2]
    assert a.image.tobytes() == b.image.tobytes() and a.labels == b.labels
    for other in (
        DigitScenes('train', 3, seed=6)[2],
        DigitScenes('val', 3, seed=5)[2],
        DigitScenes('train', 3, seed=5)[1],
    ):
        assert other.image.tobytes() != a.image.tobytes()


def test_files_are_the_same_byte_for_byte_in_another_process(written, tmp_path):
    code = f'from mlp_backbones.datasets import *; write_digit_scenes({str(tmp_path / "again")!r}, 12, 6)'
    assert run('-c', code).returncode == 0
    assert digest(tmp_path / 'again') == digest(written)
    # The first scene, whatever the machine: all arithmetic is in integers.
    pixels = hashlib.sha256(DigitScenes('train', 1)[0].image.tobytes()).hexdigest()
    assert pixels == FIRST_SCENE


FIRST_SCENE = 'd598cf91891296b0665089a7c74985b57c3f0e5ef609bfa2ef993297d3bc98fe'


def test_stock_detection_data_set_and_metric_read_it(written):
    from mmdet.evaluation import CocoMetric
    from mmdet.registry import DATASETS
    from mmdet.utils import register_all_modules
    from pycocotools.coco import COCO

    register_all_modules(init_default_scope=True)
    data = DATASETS.build(
        dict(
            type='CocoDataset',
            data_root=str(written),
            ann_file='annotations/instances_val.json',
            data_prefix=dict(img='images/val'),
            metainfo=dict(classes=CLASSES),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
                dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape')),
            ],
        )
    )
    scenes = DigitScenes('val', 6)
    metric = CocoMetric(str(written / 'annotations/instances_val.json'), metric=['bbox', 'segm'])
    metric.dataset_meta = data.metainfo
    assert len(data) == 6
    for item, scene in zip(data, scenes, strict=True):
        sample = item['data_samples']
        assert item['inputs'].numpy().transpose(1, 2, 0)[..., ::-1].tobytes() == scene.image.tobytes()
        assert sample.gt_instances.labels.tolist() == list(scene.labels)
        assert (sample.gt_instances.masks.masks.astype(bool) == scene.masks).all()
        # The truth, given as a prediction, is perfect.
        truth = sample.gt_instances
        metric.process(
            {},
            [
                dict(
                    img_id=sample.img_id,
                    ori_shape=sample.ori_shape,
                    pred_instances=dict(
                        bboxes=truth.bboxes.tensor,
                        scores=torch.ones(len(truth)),
                        labels=truth.labels,
                        masks=torch.from_numpy(truth.masks.masks.astype(bool)),
                    ),
                )
            ],
        )
    result = metric.evaluate(6)
    assert result['coco/bbox_mAP'] == result['coco/segm_mAP'] == 1
    assert len(COCO(written / 'annotations/instances_train.json').imgs) == 12


def test_stock_segmentation_data_set_reads_it(written):
    from mmseg.registry import DATASETS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    data = DATASETS.build(
        dict(
            type='BaseSegDataset',
            data_root=str(written),
            data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
            img_suffix='.png',
            seg_map_suffix='.png',
            metainfo=dict(classes=('background', *CLASSES)),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')],
        )
    )
    assert len(data) == 12
    for item, scene in zip(data, DigitScenes('train', 12), strict=True):
        assert (item['data_samples'].gt_sem_seg.data[0].numpy() == scene.label_map).all()


def test_written_once(written):
    before = (written / 'annotations/instances_val.json').stat().st_mtime_ns
    assert write_digit_scenes(written, train=12, val=6) == written
    assert (written / 'annotations/instances_val.json').stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match=r"holds .*'train': 12.* expected .*'train': 13.*move it away"):
        write_digit_scenes(written, train=13, val=6)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / 'scenes').mkdir()
    (tmp_path / 'scenes' / 'thesis.txt').write_text('years of work')
    with pytest.raises(FileExistsError, match='something else'):
        write_digit_scenes(tmp_path / 'scenes', 2, 2)
    assert (tmp_path / 'scenes' / 'thesis.txt').read_text() == 'years of work'


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_write_leaves_nothing_half_done(tmp_path, number):
    root = tmp_path / 'scenes'
    # A shell that runs the tests in the background has SIGINT ignored, which children inherit.
    code = 'import signal; signal.signal(signal.SIGINT, signal.default_int_handler); '
    code += f'from mlp_backbones.datasets import *; write_digit_scenes({str(root)!r}, 5000, 5)'
    process = subprocess.Popen([sys.executable, '-c', code], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob('000020.png')) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(60) != 0
    assert not root.exists()
    write_digit_scenes(root, 3, 2)
    assert json.loads((root / 'digit_scenes.json').read_text())['train'] == 3
    assert len([*root.glob('images/train/*')]) == 3
    assert [path.name for path in tmp_path.iterdir()] == ['scenes']


def test_two_writers_of_the_same_scenes_end_well(tmp_path):
    root = tmp_path / 'scenes'
    code = f'from mlp_backbones.datasets import *; write_digit_scenes({str(root)!r}, 40, 5)'
    processes = [subprocess.Popen([sys.executable, '-c', code], cwd=ROOT) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ['scenes']
    assert len([*root.glob('images/train/*')]) == 40


def test_what_is_no_folder_stays(tmp_path):
    os.mkfifo(tmp_path / 'fifo')
    (tmp_path / 'file').write_text('mine')
    (tmp_path / 'dangling').symlink_to(tmp_path / 'nowhere')
    before = sorted(path.lstat().st_mode for path in tmp_path.iterdir())
    for name in ('fifo', 'file', 'dangling'):
        with pytest.raises(UserError, match=name):
            write_digit_scenes(tmp_path / name, 1, 1)
    assert sorted(path.lstat().st_mode for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize('arguments', [('test', 3, 0), ('train', 0, 0), ('val', 3, -1)])
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=f'got split={arguments[0]!r}, length={arguments[1]}, seed={arguments[2]}'):
        DigitScenes(*arguments)
