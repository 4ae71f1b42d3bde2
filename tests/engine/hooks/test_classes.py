import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmseg.datasets import BaseSegDataset
from PIL import Image

from mlp_backbones.apis import load_config
from mlp_backbones.apis.config import import_libraries, model_config
from mlp_backbones.engine.hooks.classes import (
    check_categories,
    check_heads,
    check_label_maps,
    check_zero_labels,
    read_categories,
)
from mlp_backbones.errors import UserError
from tests.conftest import ROOT, TINY

pytestmark = pytest.mark.slow

CONFIGS = ROOT / 'configs'


@pytest.fixture
def coco(tmp_path):
    """Makes a config of mmdet's CocoDataset on an annotation file with the given categories."""

    def make(categories: list[str], classes: object = None, kind: str = 'CocoDataset', **more: object) -> Config:
        path = tmp_path / 'own.json'
        text = dict(images=[], annotations=[], categories=[dict(id=i, name=n) for i, n in enumerate(categories, 3)])
        path.write_text(json.dumps(text))
        dataset = dict(type=kind, data_root=str(tmp_path), ann_file='own.json')
        if classes is not None:
            dataset['metainfo'] = dict(classes=classes)
        loader = dict(dataset=dict(type='RepeatDataset', times=2, dataset=dataset))
        config = Config(dict(default_scope='mmdet', model=dict(type='RPN'), train_dataloader=loader, **more))
        import_libraries(config)
        return config

    return make


@pytest.mark.parametrize(
    ('categories', 'classes', 'words'),
    [
        (['blau', 'grün'], None, ["dataset.dataset.metainfo=dict(classes=('blau', 'grün'))", '80 classes', 'own.json']),
        (['blau', 'grün'], ['a', 'b'], ["classes=('blau', 'grün')", 'every box would be dropped']),
        # CocoDataset numbers by the file, so that label 0 would be called 'grün'.
        (['blau', 'grün'], ['grün', 'blau'], ["classes=('blau', 'grün')", 'wrong names']),
        (['person', 'car'], None, ["classes=('person', 'car')"]),  # car would be called bicycle
        (['blau', 'gruen', 'rot'], ['blau', 'grün', 'rot'], ["did you mean 'gruen' by 'grün'?"]),
    ],
)
def test_categories_that_are_not_the_classes(coco, categories, classes, words):
    with pytest.raises(UserError) as refused:
        check_categories(coco(categories, classes), ['train_dataloader'])
    assert all(word in str(refused.value) for word in words), refused.value
    check_categories(coco(categories, classes, check_classes=False), ['train_dataloader'])


@pytest.mark.parametrize(
    ('categories', 'classes', 'kind'),
    [
        (['person'], None, 'CocoDataset'),
        (['person', 'bicycle', 'car'], None, 'CocoDataset'),
        (['a', 'b', 'c'], ['a', 'c'], 'CocoDataset'),  # chosen from more
        (['a', 'b', 'c'], ('a', 'b', 'c'), 'CocoDataset'),
        (['a', 'b'], None, 'LVISV1Dataset'),  # it takes all categories
        (['a', 'b'], None, 'Objects365V1Dataset'),  # it sorts them
        ([], None, 'CocoDataset'),
    ],
)
def test_categories_that_are_fine(coco, categories, classes, kind):
    check_categories(coco(categories, classes, kind), ['train_dataloader', 'val_dataloader'])


def test_classes_of_a_file(coco, tmp_path):
    (tmp_path / 'names.txt').write_text('blau\ngrün\n')
    check_categories(coco(['blau', 'grün'], str(tmp_path / 'names.txt')), ['train_dataloader'])


def test_only_the_list_of_categories_is_read(tmp_path):
    path = tmp_path / 'a.json'
    names = [dict(id=i, name=f'name {i} "categories": [') for i in range(30000)]  # more than a megabyte
    path.write_text(json.dumps(dict(images=[dict(categories=[1, 2])], categories=names)))
    assert read_categories(path) == [item['name'] for item in names]
    for text in ('', '{}', '{"categories": [', '{"categories": []}', '"categories": ' + '[' * 100000):
        path.write_text(text)
        assert read_categories(path) == []


def built(config: Config) -> torch.nn.Module:
    import_libraries(config)
    init_default_scope(config.default_scope)
    with torch.device('meta'):
        return MODELS.build(model_config(config))


@pytest.mark.parametrize(
    ('name', 'changes', 'classes', 'lines'),
    [
        (
            'cyclemlp_maskrcnn_coco',
            {},
            3,
            ['model.roi_head.bbox_head.num_classes=3', 'model.roi_head.mask_head.num_classes=3'],
        ),
        ('cyclemlp_cascade_maskrcnn_coco', {}, 3, [f'model.roi_head.bbox_head.{i}.num_classes=3' for i in range(3)]),
        ('cyclemlp_retinanet_coco', {}, 81, ['model.bbox_head.num_classes=81']),
        (
            'cyclemlp_upernet_ade20k',
            {},
            2,
            ['model.decode_head.num_classes=2', 'model.auxiliary_head.num_classes=2'],
        ),
        ('cyclemlp_in1k', {}, 3, ['model.head.num_classes=3']),
        ('cyclemlp_maskrcnn_coco', {'model.roi_head.mask_head.num_classes': 7}, 80, ['mask_head.num_classes=80']),
    ],
)
def test_heads_of_another_number_of_classes(name, changes, classes, lines):
    config = load_config(name, CONFIGS, changes)
    model, names = built(config), [f'name {i}' for i in range(classes)]
    with pytest.raises(UserError) as refused:
        check_heads(config, model, dict(classes=names), 'train_dataloader')
    assert all(line in str(refused.value) for line in lines), refused.value
    assert 'rpn_head' not in str(refused.value)
    config.check_classes = False
    check_heads(config, model, dict(classes=names), 'train_dataloader')


@pytest.mark.parametrize(
    ('name', 'classes'),
    [
        ('cyclemlp_maskrcnn_coco', 80),
        ('cyclemlp_cascade_maskrcnn_coco', 80),
        ('cyclemlp_retinanet_coco', 80),
        ('cyclemlp_semfpn_ade20k', 150),
        ('cyclemlp_upernet_ade20k', 150),
        ('cyclemlp_in1k', 1000),
        ('cyclemlp_maskrcnn_digits', 10),
        ('cyclemlp_upernet_digits', 11),
        ('cyclemlp_in1k', None),
    ],
)
def test_heads_of_our_recipes_are_fine(name, classes):
    config = load_config(name, CONFIGS)
    names = classes and [f'name {i}' for i in range(classes)]
    check_heads(config, built(config), dict(classes=names), 'train_dataloader')


STOCK = ['panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco', 'mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic']


@pytest.mark.parametrize('name', STOCK)
def test_things_and_stuff_are_counted_apart(name):
    config = Config(Config.fromfile(Path(import_mmdet(), '.mim/configs', f'{name}.py'))._cfg_dict)
    model, things, stuff = built(config), ['t'] * 80, ['s'] * 53
    check_heads(config, model, dict(classes=things + stuff, thing_classes=things, stuff_classes=stuff), 'x')
    with pytest.raises(UserError, match='num_things_classes=2 '):
        check_heads(config, model, dict(classes=['t'] * 2 + stuff, thing_classes=['t'] * 2, stuff_classes=stuff), 'x')


def import_mmdet() -> str:
    import mmdet

    return mmdet.__path__[0]


@pytest.fixture
def label_maps(tmp_path):
    """Makes a data set of mmseg of label maps with the given values."""

    def make(maps: list, classes: int, **options: object) -> BaseSegDataset:
        for folder in ('img', 'ann'):
            (tmp_path / folder).mkdir(exist_ok=True)
        for i, values in enumerate(maps):
            Image.new('RGB', (4, 4)).save(tmp_path / 'img' / f'{i}.jpg')
            Image.fromarray(np.resize(np.array(values, np.uint8), (4, 4, *np.shape(values)[1:]))).save(
                tmp_path / 'ann' / f'{i}.png'
            )
        return BaseSegDataset(
            data_root=str(tmp_path),
            data_prefix=dict(img_path='img', seg_map_path='ann'),
            metainfo=dict(classes=[f'name {i}' for i in range(classes)]),
            pipeline=[],
            **options,
        )

    return make


@pytest.mark.parametrize(
    ('maps', 'classes', 'reduce', 'words'),
    [
        ([[1, 2, 3], [2]], 3, False, ['reduce_zero_label=True', 'the label 3', '0.png']),
        ([[0, 1], [0, 4]], 3, False, ['the label 4', '1.png', 'the labels 0 to 2']),
        ([[0, 1, 4]], 3, True, ['the label 4', 'the labels 1 to 3']),
        ([[[0, 0, 255], [255, 0, 0]]], 2, False, ['3 channels']),
    ],
)
def test_label_maps_that_the_classes_do_not_cover(label_maps, maps, classes, reduce, words):
    dataset = label_maps(maps, classes, reduce_zero_label=reduce)
    with pytest.raises(UserError) as refused:
        check_label_maps(Config(), torch.nn.Identity(), dataset, 'train_dataloader')
    assert all(word in str(refused.value) for word in words), refused.value


@pytest.mark.parametrize(
    ('maps', 'classes', 'reduce', 'word'),
    [
        ([[0, 1, 2, 255]], 3, False, None),
        ([[0, 1, 2, 3]], 3, True, None),
        ([[0, 1]], 3, True, None),
        ([[0, 1], [1]], 2, True, 'reduce_zero_label=False'),
        ([[0, 255], [0]], 2, False, '255 is ignored'),
    ],
)
def test_label_maps_that_can_be_trained_on(label_maps, maps, classes, reduce, word, caplog):
    warned = []
    dataset = label_maps(maps, classes, reduce_zero_label=reduce)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mlp_backbones.engine.hooks.classes._warn', warned.append)
        check_label_maps(Config(), torch.nn.Identity(), dataset, 'train_dataloader')
    assert [word in text for text in warned] == ([True] if word else [])


def test_training_and_validation_count_labels_alike(label_maps):
    reduced, plain = (label_maps([[0, 1]], 2, reduce_zero_label=flag) for flag in (True, False))
    check_zero_labels(Config(), plain, plain)
    with pytest.raises(UserError, match='reduce_zero_label=True'):
        check_zero_labels(Config(), reduced, plain)


def test_before_the_first_iteration(workspace, tmp_path, run_here):
    options = [f'{key}={value}' for key, value in TINY.items()]
    command = ('tools/train.py', 'cyclemlp_maskrcnn_digits', '--work-dir', tmp_path, '--cfg-options', *options)
    done = run_here(ROOT / command[0], *command[1:], 'model.roi_head.bbox_head.num_classes=80', cwd=workspace)
    last = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith('error: train_dataloader.dataset has 10 classes'), done.stdout
    assert 'write model.roi_head.bbox_head.num_classes=10, ' in last and 'Traceback' not in done.stdout


def test_all_boxes_dropped_by_another_reader(tmp_path):
    from mlp_backbones.engine.hooks.classes import check_boxes

    class Boxes(torch.utils.data.Dataset):
        metainfo = ConfigDict(classes=('cat',))

        def __init__(self, counts: list[int]):
            self.counts = counts

        def __len__(self) -> int:
            return len(self.counts)

        def get_data_info(self, index: int) -> dict:
            return dict(instances=[{}] * self.counts[index])

    check_boxes(Config(), [Boxes([0, 0]), Boxes([0, 1])])
    with pytest.raises(UserError, match='no image of train_dataloader'):
        check_boxes(Config(), [Boxes([0, 0]), Boxes([0])])
