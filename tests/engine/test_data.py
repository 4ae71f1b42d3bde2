"""Broken data: each fault is one sentence that names the file, in the data sets of mmdet, mmseg and mmpretrain."""

import json
import os
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset, Compose
from mmengine.registry import DATASETS, init_default_scope

from mlp_backbones.apis import prepare_train
from mlp_backbones.engine.data import DataError, build_dataset
from mlp_backbones.errors import UserError
from tests.conftest import ROOT, TINY

pytestmark = pytest.mark.slow

TRAIN = ROOT / 'tools/train.py'
ANNOTATIONS = 'annotations/instances_train.json'
IMAGE, LABELS = 'images/train/000002.png', 'labels/train/000002.png'


@pytest.fixture
def data(workspace, tmp_path):
    return shutil.copytree(workspace / 'data/digit_scenes', tmp_path / 'data')


@pytest.fixture
def scenes(digits_config, data):
    """The config of a data set on a copy of the scenes, for a detector or a segmentor."""

    def build(name, **changes):
        config = digits_config(f'cyclemlp_{name}_digits')
        init_default_scope(config.default_scope)
        return build_dataset(ConfigDict({**config.train_dataloader.dataset, 'data_root': str(data), **changes}))

    return build


def read_all(dataset):
    np.random.seed(0)  # of random steps
    return [dataset[i] for i in range(len(dataset))]


def test_whole_data_are_as_without_the_checks(scenes):
    for name in ('maskrcnn', 'upernet'):
        checked = scenes(name)
        assert isinstance(checked.pipeline, Compose)
        plain = type(checked)(
            ann_file=checked.ann_file,
            data_prefix=checked.data_prefix,
            metainfo=checked.metainfo,
            pipeline=checked.pipeline.transforms,
            **(dict(img_suffix='.png') if name == 'upernet' else {}),
        )
        assert len(checked) == len(plain) == TINY['digit_scenes.train']
        # Worker processes that are spawned get it pickled.
        for ours, theirs in zip(read_all(pickle.loads(pickle.dumps(checked))), read_all(plain), strict=True):
            assert ours['inputs'].equal(theirs['inputs'])
            assert str(ours['data_samples'].keys()) == str(theirs['data_samples'].keys())


def change_annotation(**changes):
    def change(path):
        content = json.loads(path.read_text())
        content['annotations'][3].update(changes)
        path.write_text(json.dumps(content))

    return change


def drop(part, key):
    def change(path):
        content = json.loads(path.read_text())
        del content[part][3][key]
        path.write_text(json.dumps(content))

    return change


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda path: path.write_text(''), ['is empty']),
        (lambda path: path.write_text('{"images": ['), ['not valid JSON', 'line 1, column 13']),
        (lambda path: path.write_text('[]'), ["<class 'list'>"]),
        (lambda path: path.write_bytes(b'\xff\xfe\x00'), ['UnicodeDecodeError']),
        (lambda path: path.write_text('{"images": [], "annotations": [], "categories": []}'), ['holds no image']),
        (change_annotation(bbox=['a', 'b', 'c', 'd']), ['annotation 4', '000000.png', "['a', 'b', 'c', 'd']"]),
        (change_annotation(bbox='1 2 3 4'), ['annotation 4', '1 2 3 4']),
        (change_annotation(bbox=[1, 2, float('nan'), 4]), ['annotation 4', '[1, 2, nan, 4]']),
        (change_annotation(bbox=[1, 2, 3, -4]), ['annotation 4', '[1, 2, 3, -4]']),
        (change_annotation(area='large'), ['000000.png', 'str']),
        (drop('annotations', 'bbox'), ['000000.png', "'bbox'"]),
        (drop('annotations', 'image_id'), ["'image_id'"]),
        (drop('images', 'file_name'), ["'file_name'"]),
    ],
)
def test_annotations_of_a_detector(change, words, scenes, data):
    change(data / ANNOTATIONS)
    with pytest.raises(DataError) as raised:
        scenes('maskrcnn')
    for word in [str(data / ANNOTATIONS), *words]:
        assert word in str(raised.value)
    assert '\n' not in str(raised.value)


def test_nothing_is_left_after_filtering(scenes, data):
    with pytest.raises(DataError, match=f'{data / ANNOTATIONS}.*filter_empty_gt.*none of 24 images'):
        scenes('maskrcnn', metainfo=dict(classes=('cat', 'dog')), filter_cfg=dict(filter_empty_gt=True))


def make_fifo(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize('name', ['maskrcnn', 'upernet'])
@pytest.mark.parametrize(
    ('change', 'word'),
    [
        (lambda path: path.unlink(), 'is missing'),
        (lambda path: path.write_bytes(b''), 'is empty'),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), 'is broken'),
        (make_fifo, 'FIFO'),
    ],
)
def test_images(name, change, word, scenes, data):
    if name == 'upernet':  # without a list, its images are those that are there
        (data / 'list.txt').write_text(f'{Path(IMAGE).stem}\n')
    change(data / IMAGE)
    with pytest.raises(DataError, match=f'{data / IMAGE} {word}|{data / IMAGE} is .*{word}'):
        read_all(scenes(name, **(dict(ann_file='list.txt') if (data / 'list.txt').exists() else {})))


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda path: path.unlink(), ['is missing']),
        (lambda path: path.write_bytes(path.read_bytes()[:50]), ['is broken']),
        (lambda path: cv2.imwrite(str(path), np.zeros((10, 20), np.uint8)), ['20x10 pixels', IMAGE, '192x192']),
        (lambda path: cv2.imwrite(str(path), np.full((192, 192), 37, np.uint8)), ['the label 37', '11 classes']),
    ],
)
def test_label_maps(change, words, scenes, data):
    change(data / LABELS)
    with pytest.raises(DataError) as raised:
        read_all(scenes('upernet'))
    for word in [LABELS, *words]:
        assert word in str(raised.value)


def test_labels_that_are_ignored_or_moved_are_none_beyond(scenes, data):
    assert cv2.imwrite(str(data / LABELS), np.full((192, 192), 255, np.uint8))
    read_all(scenes('upernet'))
    assert cv2.imwrite(str(data / LABELS), np.full((192, 192), 11, np.uint8))
    read_all(scenes('upernet', reduce_zero_label=True))
    # Test pipelines resize the image before they load the labels.
    steps = ['LoadImageFromFile', 'Resize', 'LoadAnnotations', 'PackSegInputs']
    pipeline = [dict(type=step, **(dict(scale=(64, 64)) if step == 'Resize' else {})) for step in steps]
    read_all(scenes('upernet', reduce_zero_label=True, pipeline=pipeline))


def test_images_of_another_suffix(scenes):
    with pytest.raises(DataError, match=r'images/train holds no image with the suffix \.jpg'):
        scenes('upernet', img_suffix='.jpg')


@pytest.fixture
def folders(tmp_path):
    """Builds mmpretrain's CustomDataset on two folders of JPEGs, one for each class."""
    init_default_scope('mmpretrain')
    for name in 'ab':
        (tmp_path / 'images' / name).mkdir(parents=True)
        for i in range(2):
            assert cv2.imwrite(str(tmp_path / 'images' / name / f'{i}.jpg'), np.full((32, 32, 3), 99 * i, np.uint8))
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    common = dict(type='CustomDataset', data_prefix=str(tmp_path / 'images'), pipeline=pipeline)
    return tmp_path / 'images', lambda **changes: build_dataset(ConfigDict({**common, **changes}))


def test_a_class_without_images(folders):
    path, build = folders
    assert len(read_all(build())) == 4
    (path / 'c').mkdir()
    with pytest.raises(DataError, match=f'{path}/c is the folder of a class and holds no image'):
        build()


@pytest.mark.parametrize(
    ('lines', 'words'),
    [
        ('', ['holds no image']),
        ('a/0.jpg 0\na/1.jpg 7', ['a/1.jpg', 'the label 7', '2 classes']),
        ('a/0.jpg -1', ['a/0.jpg', 'the label -1']),
        ('a/0.jpg', ['ValueError']),
        ('a/0.jpg x', ["'x'"]),
    ],
)
def test_annotations_of_a_classifier(lines, words, folders):
    path, build = folders
    (path / 'list.txt').write_text(lines)
    with pytest.raises(DataError) as raised:
        build(ann_file=str(path / 'list.txt'), metainfo=dict(classes=['a', 'b']))
    for word in [str(path / 'list.txt'), *words]:
        assert word in str(raised.value)


def test_a_jpeg_that_is_cut_short(folders):
    path, build = folders
    whole = (path / 'a/0.jpg').read_bytes()
    exif = b'\xff\xe1\x00\x06\xff\xd9\xff\xd9'  # a thumbnail has an end of its own
    for content in (whole + bytes(30), whole[:2] + exif + whole[2:]):
        (path / 'a/0.jpg').write_bytes(content)
        read_all(build())
        (path / 'a/0.jpg').write_bytes(content.replace(b'\xff\xd9', b'', 1) if content[-1] == 0 else content[:-2])
        with pytest.raises(DataError, match=r'a/0\.jpg is a JPEG that is cut short'):
            read_all(build())


class FailingStep:
    def __call__(self, data):
        raise RuntimeError('three\nlines\nof it')


def test_a_step_that_fails_for_another_reason_names_itself(folders):
    path, build = folders
    with pytest.raises(DataError, match=rf'{path}/a/0\.jpg cannot .*FailingStep.*RuntimeError: three; test_data\.py'):
        read_all(build(pipeline=[dict(type='LoadImageFromFile'), FailingStep()]))


def test_data_sets_inside_others(folders):
    path, _ = folders
    (path / 'a/1.jpg').unlink()
    (path / 'a/1.jpg').mkdir()
    inner = dict(type='CustomDataset', data_prefix=str(path), pipeline=[dict(type='LoadImageFromFile')])
    (path / 'list.txt').write_text('a/1.jpg 0')
    inner |= dict(ann_file=str(path / 'list.txt'))
    for outer in (
        dict(type='RepeatDataset', times=2, dataset=inner),
        dict(type='ConcatDataset', datasets=[inner, inner]),
    ):
        with pytest.raises(DataError, match=r'a/1\.jpg is a folder'):
            read_all(build_dataset(ConfigDict(outer)))


@DATASETS.register_module()
class DownloadsItself(BaseDataset):
    def __init__(self, data_root, download=True, **kwargs):
        self.download = download
        super().__init__(ann_file='', data_root=data_root, **kwargs)

    def load_data_list(self):
        raise OSError('no such host')


@DATASETS.register_module()
class DownloadsAsItsParent(DownloadsItself):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)


@pytest.mark.parametrize('kind', ['DownloadsItself', 'DownloadsAsItsParent', 'mmpretrain.CIFAR10', 'MNIST'])
def test_data_that_download_themselves_may_be_missing(kind, tmp_path, digits_config):
    config = digits_config('cyclemlp_maskrcnn_digits')
    config.default_scope = 'mmpretrain'
    config.pop('digit_scenes')
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        config.pop(key)
    config.train_dataloader.dataset = ConfigDict(type=kind, data_root=str(tmp_path / 'none'), pipeline=[])
    prepare_train(config, str(tmp_path), 'none', False, None)
    config.train_dataloader.dataset.download = False
    with pytest.raises(UserError, match='none is missing'):
        prepare_train(config, str(tmp_path), 'none', False, None)


def test_a_download_that_fails(tmp_path):
    init_default_scope('mmpretrain')
    with pytest.raises(DataError, match=rf'cannot be downloaded to {tmp_path}.*no such host'):
        build_dataset(ConfigDict(type='DownloadsItself', data_root=str(tmp_path)))


def test_the_tools_end_in_one_sentence_from_a_worker_too(workspace, tmp_path, data, run_here):
    (data / IMAGE).write_bytes((data / IMAGE).read_bytes()[:300])
    options = {
        **TINY,
        'train_dataloader.num_workers': 1,
        'digit_scenes.root': tmp_path / 'unused',
        'train_cfg.max_epochs': 1,
    }
    options |= {f'{part}_dataloader.dataset.data_root': data for part in ('train', 'val')}
    options |= {'val_evaluator.ann_file': data / 'annotations/instances_val.json'}
    arguments = [
        '--work-dir',
        tmp_path / 'work',
        '--cfg-options',
        *(f'{key}={value}' for key, value in options.items()),
    ]
    done = run_here(TRAIN, 'cyclemlp_maskrcnn_digits', *arguments, cwd=workspace)
    assert done.returncode == 1, done.stdout
    assert done.stdout.splitlines()[-1].startswith(f'error: {data / IMAGE} is broken')

    (data / 'annotations/instances_val.json').write_text('')
    done = run_here(TRAIN, 'cyclemlp_maskrcnn_digits', *arguments, cwd=workspace)
    assert done.stdout.splitlines()[-1].startswith(f'error: {data}/annotations/instances_val.json is empty')
