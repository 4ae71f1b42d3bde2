"""tools/test.py --submission, --tta and --tensorboard: real runs, and files that independent readers accept."""

import copy
import json
import random
import resource
import shutil
import sys
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from pycocotools.coco import COCO

from mlp_backbones.apis import TrainOptions, load_config, prepare_test, prepare_train
from mlp_backbones.apis.config import TRACKERS
from mlp_backbones.apis.prepare import TTA_RATIOS
from mlp_backbones.apis.submission import check_detections, check_label_maps, finish_submission, prepare_submission
from mlp_backbones.checkpoints import load_trained
from mlp_backbones.datasets import write_digit_scenes
from mlp_backbones.engine import TerminalRunner
from mlp_backbones.errors import UserError
from tests.conftest import ROOT, run
from tests.tools.test_tools import CLASSIFIER_CONFIG, OPTIONS, TEST

pytestmark = pytest.mark.slow


def checkpoint(config, path):
    init_default_scope(config.default_scope)
    torch.save(dict(state_dict=MODELS.build(config.model).state_dict()), path)
    return path


def test_detections_for_test_dev(digits_config, tmp_path):
    weights = checkpoint(digits_config('cyclemlp_maskrcnn_digits'), tmp_path / 'x.pth')
    # A test set as the server has it: no annotations, ids with gaps, classes in an order of their own.
    scenes = write_digit_scenes(tmp_path / 'data', train=1, val=3)
    content = json.loads((scenes / 'annotations/instances_val.json').read_text())
    del content['annotations']
    for image in content['images']:
        image['id'] = 100 + 7 * image['id']
    for category in content['categories']:
        category['id'] = 90 - category['id']
    (scenes / 'annotations/image_info_test-dev2017.json').write_text(json.dumps(content))
    (scenes / 'images/val').rename(scenes / 'test2017')
    done = run(
        *(TEST, 'cyclemlp_maskrcnn_digits', weights, '--work-dir', 'work', '--submission', 'out', *OPTIONS),
        *('test_dataloader.dataset.data_root=data', 'test_dataloader.dataset.data_prefix.img=val2017'),
        'test_dataloader.dataset.ann_file=annotations/instances_val2017.json',
        cwd=tmp_path,
        # The data of training are of no concern, and not looked for.
    )
    assert done.returncode == 0, done.stdout
    name = 'detections_test-dev2017_cyclemlp-maskrcnn-digits_results'
    truth = COCO(str(scenes / 'annotations/image_info_test-dev2017.json'))
    for task in ('bbox', 'segm'):
        assert f'out/{task}/{name}.zip: ' in done.stdout and 'in 3 of 3 images, format checked' in done.stdout
        with ZipFile(tmp_path / 'out' / task / f'{name}.zip') as archive:
            assert archive.namelist() == [f'{name}.json']
            detections = json.loads(archive.read(f'{name}.json'))
        assert ('segmentation' in detections[0]) == (task == 'segm')
        assert {item['image_id'] for item in detections} == {100, 107, 114}
        assert {item['category_id'] for item in detections} <= set(range(81, 91))
        assert len(truth.loadRes(detections).getAnnIds()) == len(detections)


def test_label_maps_for_ade20k(digits_config, tmp_path, run_here):
    weights = checkpoint(digits_config('cyclemlp_upernet_digits'), tmp_path / 'x.pth')
    scenes = write_digit_scenes(tmp_path / 'data', train=1, val=2)
    shutil.rmtree(scenes / 'labels')
    (scenes / 'images/val').rename(scenes / 'images/testing')
    tall = cv2.imread(str(scenes / 'images/testing/000000.png'))[:, :100]
    assert cv2.imwrite(str(scenes / 'images/testing/000000.png'), tall)
    done = run_here(
        *(TEST, 'cyclemlp_upernet_digits', weights, '--work-dir', 'work', '--submission', 'out', '--tta', *OPTIONS),
        *('test_dataloader.dataset.data_root=data', 'test_dataloader.dataset.reduce_zero_label=True'),
        *('test_dataloader.dataset.data_prefix.img_path=images/validation', 'test_dataloader.batch_size=1'),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    assert 'out/predictions.zip: 2 label maps, format checked' in done.stdout
    with ZipFile(tmp_path / 'out/predictions.zip') as archive:
        assert sorted(archive.namelist()) == ['000000.png', '000001.png']
    labels = cv2.imread(str(tmp_path / 'out/predictions/000000.png'), cv2.IMREAD_UNCHANGED)
    # The server counts from 1; 0 is for what belongs to no class.
    assert labels.shape == (192, 100) and labels.min() >= 1 and labels.max() <= 11


def test_the_servers_images_take_the_place_of_the_validations(tmp_path):
    config = load_config('cyclemlp_maskrcnn_coco', ROOT / 'configs')
    again = copy.deepcopy(config)
    prepare_submission(config, tmp_path / 'out')
    dataset = config.test_dataloader.dataset
    assert dataset.ann_file == 'annotations/image_info_test-dev2017.json' and dataset.data_prefix.img == 'test2017/'
    assert config.test_evaluator.ann_file == 'data/coco/annotations/image_info_test-dev2017.json'
    with pytest.raises(UserError, match=r'image_info_test-dev2017\.json is missing: lay COCO 2017 out as .*test2017'):
        prepare_test(again, None, 'none', None, None, submission=tmp_path / 'x')
    config = load_config('cyclemlp_upernet_ade20k', ROOT / 'configs')
    prepare_submission(config, tmp_path / 'out')
    assert dict(config.test_dataloader.dataset.data_prefix) == dict(img_path='images/testing')
    assert 'LoadAnnotations' not in str(config.test_dataloader.dataset.pipeline) + str(config.tta_pipeline)


def test_no_server_takes_it(digits_config, tmp_path):
    (tmp_path / 'old.png').touch()
    with pytest.raises(UserError, match='it is not empty; give a new folder'):
        prepare_submission(digits_config('cyclemlp_maskrcnn_digits'), tmp_path)
    (tmp_path / 'own.py').write_text(CLASSIFIER_CONFIG)
    with pytest.raises(UserError, match=r'own\.py is tested with Accuracy; there are servers for CocoMetric'):
        prepare_submission(Config.fromfile(tmp_path / 'own.py'), tmp_path / 'out')


GOOD = dict(image_id=1, category_id=3, bbox=[1.0, 2.0, 3.5, 0.0], score=0.5)
MASK = dict(size=[4, 6], counts='9220003')


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (dict(image_id=2), 'image_id 2, which the annotation file has not'),
        (dict(category_id=0), 'category_id 0, which the annotation file has not'),
        (dict(bbox=[1, 2, -3, 4]), r'bbox \[1, 2, -3, 4\], expected finite'),
        (dict(bbox=[1, 2, float('nan'), 4]), 'bbox .*nan'),
        (dict(bbox=[1, 2, 3]), 'bbox'),
        (dict(score=1.5), 'score 1.5, expected 0 to 1'),
        (
            dict(segmentation=dict(MASK, size=[6, 4])),
            r'a mask of \[6, 4\] pixels .*, its image is \[4, 6\]',
        ),
        (dict(segmentation=dict(size=[4, 6], counts=5)), 'a mask that pycocotools cannot read'),
        (dict(segmentation=dict(size=[4, 6])), 'a mask that pycocotools cannot read'),
        (dict(segmentation=dict(size=[4, 6], counts='abc')), 'a mask that pycocotools cannot read'),
        (None, 'lacks segmentation'),
    ],
)
def test_detections_that_a_server_would_refuse(change, sentence, tmp_path):
    truth, path = tmp_path / 'truth.json', tmp_path / 'found.json'
    truth.write_text(json.dumps(dict(images=[dict(id=1, width=6, height=4)], categories=[dict(id=3, name='x')])))
    good = dict(GOOD, segmentation=MASK)
    path.write_text(json.dumps([good, good]))
    assert check_detections(path, truth, masks=True) == '2 detections in 1 of 1 images, format checked'
    path.write_text(json.dumps([good, GOOD if change is None else {**good, **change}]))
    with pytest.raises(UserError, match=f'found.json: detection 1 .*{sentence}.*a server would refuse the file'):
        check_detections(path, truth, masks=True)
    path.write_text('[]')
    with pytest.raises(UserError, match='holds no detections'):
        check_detections(path, truth, masks=False)


@pytest.mark.parametrize(
    ('spoil', 'sentence'),
    [
        (lambda path: path.unlink(), r'b\.png is missing: expected one PNG file for each of the 2 images'),
        (lambda path: path.with_name('c.png').touch(), r'c\.png belongs to no image'),
        (
            lambda path: Image.new('RGB', (6, 4), (1, 1, 1)).save(path),
            'is PNG RGB, expected PNG of one channel of 8 bits',
        ),
        (lambda path: Image.new('I;16', (6, 4), 1).save(path), 'is PNG I;16'),
        (lambda path: Image.new('L', (6, 4), 1).save(path, 'bmp'), 'is BMP L'),
        (lambda path: Image.new('L', (4, 6), 1).save(path), r'is 4x6 pixels, its image .*b\.jpg is 6x4'),
        (lambda path: Image.new('L', (6, 4), 0).save(path), 'holds labels from 0 to 0, expected 1 to 150'),
        (lambda path: Image.new('L', (6, 4), 151).save(path), 'holds labels from 151 to 151, expected 1 to 150'),
    ],
)
def test_label_maps_that_a_server_would_refuse(spoil, sentence, tmp_path):
    folder = tmp_path / 'predictions'
    folder.mkdir()
    images = [tmp_path / 'a.jpg', tmp_path / 'b.jpg']
    for image in images:
        Image.new('RGB', (6, 4)).save(image)
        Image.new('L', (6, 4), 150).save(folder / f'{image.stem}.png')
    assert check_label_maps(folder, images, 1, 150) == '2 label maps, format checked'
    spoil(folder / 'b.png')
    with pytest.raises(UserError, match=sentence):
        check_label_maps(folder, images, 1, 150)


def test_nothing_is_packed_that_does_not_pass(tmp_path):
    (tmp_path / 'name.py').write_text("test_evaluator = dict(type='CocoMetric')")
    config = Config.fromfile(tmp_path / 'name.py')
    dataset = Config(dict(ann_file=str(tmp_path / 'instances_val.json')))
    (tmp_path / 'instances_val.json').write_text(json.dumps(dict(images=[], categories=[])))
    (tmp_path / 'results.bbox.json').write_text(json.dumps([GOOD]))
    with pytest.raises(UserError, match='a server would refuse the file'):
        finish_submission(config, dataset, tmp_path)
    assert not [*tmp_path.rglob('*.zip')]


def test_multi_scale_and_flip_is_the_mean_over_all(digits_config, tmp_path):
    config = digits_config('cyclemlp_upernet_digits')
    weights = checkpoint(config, tmp_path / 'x.pth')
    (scale,) = [step['scale'] for step in config.test_dataloader.dataset.pipeline if step['type'] == 'Resize']
    prepare_test(config, str(tmp_path), 'none', str(tmp_path / 'out.pkl'), None, tta=True)
    config.test_dataloader.dataset.indices = 2
    runner = TerminalRunner.from_cfg(config)
    load_trained(runner.model, weights)
    found = []
    merge = runner.model.merge_preds
    runner.model.merge_preds = lambda samples: found.append(merge(samples)) or found[-1]
    assert 0 <= runner.test()['mIoU'] <= 100

    segmentor = runner.model.module.eval()
    for sample in found[0]:
        image = cv2.imread(sample.img_path)
        mean = 0
        for ratio in TTA_RATIOS:
            side = round(scale[0] * ratio)
            for flip in (False, True):
                seen = cv2.resize(image, (side, side))
                seen = torch.from_numpy(np.ascontiguousarray(seen[:, ::-1] if flip else seen)).permute(2, 0, 1)
                batch = segmentor.data_preprocessor(dict(inputs=[seen]))['inputs'][..., :side, :side]
                with torch.no_grad():
                    logits = segmentor.encode_decode(batch, [dict(img_shape=(side, side))])
                logits = torch.nn.functional.interpolate(
                    logits.flip(3) if flip else logits, (192, 192), mode='bilinear'
                )
                mean = mean + logits.softmax(1)[0]
        same = (mean.argmax(0) == sample.pred_sem_seg.data).float().mean()
        assert same > 0.999


TTA = """
_base_ = {base!r}
tta_model = dict(type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=20))
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='Resize', scale=(side, side), keep_ratio=True) for side in (160, 192)],
        [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)],
        [dict(type='PackDetInputs', meta_keys=(
            'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction'))],
    ]),
]
test_evaluator = dict(metric='bbox')
"""


def test_detectors_are_augmented_as_their_config_says(digits_config, tmp_path):
    plain = digits_config('cyclemlp_maskrcnn_digits')
    with pytest.raises(UserError, match=r'--tta: .*cyclemlp_maskrcnn_digits\.py lacks tta_model and tta_pipeline'):
        prepare_test(plain, str(tmp_path), 'none', None, None, tta=True)
    (tmp_path / 'own.py').write_text(TTA.format(base=str(ROOT / 'configs/cyclemlp_maskrcnn_digits.py')))
    config = load_config(str(tmp_path / 'own.py'), ROOT, {'digit_scenes.train': 24, 'digit_scenes.val': 8})
    # Boxes alone are merged by mmdet.
    for part in ('mask_head', 'mask_roi_extractor'):
        config.model.roi_head[part] = None
    weights = checkpoint(config, tmp_path / 'x.pth')
    prepare_test(config, str(tmp_path), 'none', None, None, tta=True)
    config.test_dataloader.dataset.indices = 2
    runner = TerminalRunner.from_cfg(config)
    load_trained(runner.model, weights)
    assert type(runner.model).__name__ == 'DetTTAModel'
    assert 'coco/bbox_mAP' in runner.test()


def test_classifiers_average_their_scores(tmp_path, workspace):
    (tmp_path / 'own.py').write_text(
        CLASSIFIER_CONFIG
        + "tta_pipeline = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=[\n"
        + "    [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)], [dict(type='PackInputs')]])]\n"
    )
    config = Config.fromfile(tmp_path / 'own.py')
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        config[name].dataset.data_root = str(workspace / 'data/digit_scenes/images')
    prepare_test(config, str(tmp_path), 'none', None, None, tta=True)
    runner = TerminalRunner.from_cfg(config)
    assert type(runner.model).__name__ == 'AverageClsScoreTTA'
    assert 0 <= runner.test()['accuracy/top1'] <= 100


def test_trackers_and_their_packages(digits_config, monkeypatch):
    import mmengine.visualization
    from mmengine.registry import VISBACKENDS

    config = digits_config('cyclemlp_maskrcnn_digits')
    prepare_train(config, TrainOptions(tensorboard=True, log_to=['tensorboard']))
    assert [node.type for node in config.visualizer.vis_backends] == ['LocalVisBackend', 'TensorboardVisBackend']
    for name, (backend, package) in TRACKERS.items():
        assert VISBACKENDS.get(backend).__module__ == mmengine.visualization.vis_backend.__name__
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UserError, match=f'--log-to {name} needs {package}.*`pip install {package}`'):
            prepare_train(config, TrainOptions(log_to=[name]))
    with pytest.raises(UserError, match='--log-to excel: give one of tensorboard, wandb'):
        prepare_train(config, TrainOptions(log_to=['excel']))


def test_a_full_disk_ends_in_one_sentence(tmp_path):
    (tmp_path / 'name.py').write_text("test_evaluator = dict(type='CocoMetric')")
    truth = dict(images=[dict(id=1, width=6, height=4)], categories=[dict(id=3, name='x')])
    (tmp_path / 'instances_val.json').write_text(json.dumps(truth))
    rng = random.Random(0)  # noise does not compress
    found = [{**GOOD, 'score': rng.random()} for _ in range(2000)]
    (tmp_path / 'results.bbox.json').write_text(json.dumps(found))
    config = Config.fromfile(tmp_path / 'name.py')
    dataset = Config(dict(ann_file=str(tmp_path / 'instances_val.json')))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(UserError) as refused:
            finish_submission(config, dataset, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(tmp_path) in str(refused.value)
    assert not [*tmp_path.rglob('*.zip')]
