"""tools/infer.py: it finds what mm's own inference finds, in any picture, and nothing is lost or overwritten."""

import copy
import io
import json
import os
import pickle
import resource
import shutil
import struct
import zlib

import cv2
import numpy as np
import psutil
import pytest
import torch
from mmcv.transforms import BaseTransform, Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS, TRANSFORMS, init_default_scope
from pycocotools import mask as coco_mask
from rich.console import Console

import mlp_backbones as mb
from mlp_backbones.apis import load_config
from mlp_backbones.apis.inference import (
    BadPicture,
    Predictor,
    find_pictures,
    infer,
    picture_suffixes,
    read_picture,
)
from mlp_backbones.apis.memory import available_memory
from mlp_backbones.apis.video import infer_video
from mlp_backbones.errors import UserError
from tests.conftest import ROOT, TINY, run
from tests.tools.test_tools import CLASSIFIER_CONFIG

pytestmark = pytest.mark.slow

INFER, TEST = (ROOT / 'tools' / f'{name}.py' for name in ('infer', 'test'))
BGR = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def checkpoint(config, path, **meta):
    """Writes what tools/train.py would: the whole model, here with random weights."""
    init_default_scope(config.default_scope)
    model = MODELS.build(config.model)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return str(path)


@pytest.fixture
def detector(digits_config, tmp_path):
    config = digits_config('cyclemlp_maskrcnn_digits')
    return Predictor(config, checkpoint(config, tmp_path / 'detector.pth'), score=0.0), config


def write_png(path, width, height, pixels=b''):
    """Writes a PNG of one file header and so many compressed pixels, which need not be there."""
    chunks = [(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)), (b'IDAT', pixels), (b'IEND', b'')]
    packed = [
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data)) for kind, data in chunks
    ]
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(packed))


def scene(workspace, index=0):
    return next(workspace.glob(f'data/digit_scenes/images/val/*{index}.png'))


def test_instances_are_those_of_mmdet(detector, workspace):
    from mmdet.apis import inference_detector

    predictor, config = detector
    path = scene(workspace)
    found, drawn, labels = predictor(read_picture(path), path.name)
    predictor.model.cfg = config
    wanted = inference_detector(predictor.model, str(path)).pred_instances
    assert len(found['boxes']) == len(wanted) > 0
    order = wanted.scores.argsort(descending=True, stable=True)
    assert torch.equal(torch.tensor(found['boxes']), wanted.bboxes[order])
    assert torch.equal(torch.tensor(found['scores']), wanted.scores[order])
    masks = np.stack([coco_mask.decode(rle) for rle in found['masks']])
    assert np.array_equal(masks, wanted.masks[order].numpy())
    # The classes are those of the data set in the config.
    assert found['classes'] == [str(label) for label in found['labels']]
    assert (found['picture'], found['width'], found['height']) == (path.name, 192, 192)
    assert drawn.shape == (3 * 192, 3 * 192, 3) and labels is None
    json.dumps(found)

    predictor.score = found['scores'][2]
    assert len(predictor(read_picture(path), 'x')[0]['boxes']) == sum(s >= predictor.score for s in found['scores'])


def test_label_maps_are_those_of_mmseg(digits_config, workspace, tmp_path):
    from mmseg.apis import inference_model

    config = digits_config('cyclemlp_upernet_digits')
    predictor = Predictor(config, checkpoint(config, tmp_path / 'x.pth'))
    path = scene(workspace)
    predictor.model.cfg = Config(dict(test_pipeline=copy.deepcopy(config.test_dataloader.dataset.pipeline)))
    wanted = inference_model(predictor.model, str(path)).pred_sem_seg.data[0].numpy()
    assert infer(predictor, path.parent, [path], tmp_path / 'out', Console()) == []
    labels = cv2.imread(str(tmp_path / 'out' / f'{path.name}.labels.png'), cv2.IMREAD_UNCHANGED)
    assert labels.dtype == np.uint8 and np.array_equal(labels, wanted)
    found = json.loads((tmp_path / 'out' / f'{path.name}.json').read_text())
    assert found['shares'] == sorted(found['shares'], reverse=True)
    assert found['shares'] == [np.mean(wanted == label) for label in found['labels']]
    assert all(
        name == ('background', *'0123456789')[i] for i, name in zip(found['labels'], found['classes'], strict=True)
    )


def test_classes_are_those_of_mmpretrain(workspace, tmp_path):
    from mmpretrain.apis import ImageClassificationInferencer

    (tmp_path / 'own.py').write_text(CLASSIFIER_CONFIG)
    config = Config.fromfile(tmp_path / 'own.py')
    # The normalisation of mmpretrain's configs lies beside the model.
    del config.model['data_preprocessor']
    config.data_preprocessor = dict(num_classes=2, mean=[100, 110, 120], std=[50, 60, 70], to_rgb=True)
    inside = Config(dict(config.model, data_preprocessor=config.data_preprocessor))
    path = checkpoint(Config(dict(model=inside, default_scope='mmpretrain')), tmp_path / 'x.pth')
    state = torch.load(path)
    state['meta'] = dict(dataset_meta=dict(classes=('cat', 'dog')))
    torch.save(state, path)
    found, _, _ = Predictor(config, path)(read_picture(scene(workspace)), 'x')
    wanted = ImageClassificationInferencer(config, pretrained=path)(str(scene(workspace)))[0]
    assert found['labels'][0] == wanted['pred_label'] and found['classes'][0] == wanted['pred_class']
    assert found['scores'] == pytest.approx(sorted(wanted['pred_scores'].tolist(), reverse=True), abs=1e-6)


def test_a_folder_of_all_sorts(detector, workspace, tmp_path):
    _, config = detector
    config.dump(tmp_path / 'config.py')
    pictures = tmp_path / 'in'
    (pictures / 'deep' / 'er').mkdir(parents=True)
    shutil.copy(scene(workspace), pictures / 'a.png')
    shutil.copy(scene(workspace, 1), pictures / 'deep' / 'a.png')
    for name in ('a.jpg', 'a.tif', 'deep/er/A.JPEG', 'a.bmp', 'a.webp'):
        assert cv2.imwrite(str(pictures / name), BGR)
    assert cv2.imwrite(str(pictures / 'deep.png'), (BGR[..., 0].astype(np.uint16) << 8))
    assert cv2.imwrite(str(pictures / 'dot.png'), BGR[:1, :1])
    assert cv2.imwrite(str(pictures / 'line.png'), np.zeros((1, 2000, 3), np.uint8))
    (pictures / 'text.jpg').write_text('no picture')
    (pictures / 'empty.png').touch()
    (pictures / 'cut.jpg').write_bytes((pictures / 'a.jpg').read_bytes()[:-40])
    (pictures / 'gone.png').symlink_to('nowhere.png')
    os.mkfifo(pictures / 'pipe.png')
    write_png(pictures / 'bomb.png', 100_000, 100_000)
    (pictures / 'notes.txt').write_text('not even by name')
    done = run(
        *(INFER, pictures, '--config', tmp_path / 'config.py', '--checkpoint', tmp_path / 'detector.pth'),
        *('--out', tmp_path / 'out', '--score', 0.15),
    )
    assert done.returncode == 1, done.stdout
    lines = done.stdout.splitlines()
    assert lines[-1] == 'error: 7 of 16 images skipped'
    skipped = dict(line[len('skipped ') :].split(': ', 1) for line in lines if line.startswith('skipped'))
    reasons = {
        'bomb.png': 'OPENCV_IO_MAX_IMAGE_PIXELS',
        'cut.jpg': 'cut short',
        'empty.png': 'is empty',
        'gone.png': 'is missing',
        'line.png': '2000x1 pixels, Resize of the test pipeline fails',
        'pipe.png': 'FIFO',
        'text.jpg': 'broken, or of a format that OpenCV does not read',
    }
    assert list(skipped) == [f'{pictures}/{name}' for name in reasons]
    assert all(reason in line for reason, line in zip(reasons.values(), skipped.values(), strict=True)), skipped
    written = sorted(str(path.relative_to(tmp_path / 'out')) for path in (tmp_path / 'out').rglob('*.*'))
    names = ['a.bmp', 'a.jpg', 'a.png', 'a.tif', 'a.webp', 'deep.png', 'deep/a.png', 'deep/er/A.JPEG', 'dot.png']
    drawn = [name if name[-3:] in ('png', 'jpg', 'PEG') else f'{name}.png' for name in names]
    assert written == sorted([*(f'{name}.json' for name in names), *drawn])
    for name, picture in zip(names, drawn, strict=True):
        size = cv2.imread(str(pictures / name)).shape
        factor = min(640 // max(size), 8)
        assert cv2.imread(str(tmp_path / 'out' / picture)).shape == (factor * size[0], factor * size[1], 3)
        found = json.loads((tmp_path / 'out' / f'{name}.json').read_text())
        assert (found['picture'], found['height'], found['width']) == (name, *size[:2])
        assert all(score >= 0.15 for score in found['scores'])


@pytest.mark.parametrize('kind', ['grey', 'grey 16', 'colour 16', 'alpha', 'palette', 'turned'])
def test_every_picture_is_read_as_three_channels(kind, tmp_path):
    path = tmp_path / 'x.png'
    if kind == 'palette':
        from PIL import Image

        Image.fromarray(BGR[..., ::-1]).quantize(256).save(path)
        assert np.abs(read_picture(path).decode().astype(int) - BGR).mean() < 40
    elif kind == 'turned':
        from PIL import Image

        exif = Image.Exif()
        exif[0x0112] = 6  # a quarter turn
        Image.fromarray(BGR[..., ::-1]).save(path, exif=exif)
        assert np.array_equal(read_picture(path).decode(), np.rot90(BGR, -1))
    else:
        grey = BGR[..., :1]
        image, wanted = {
            'grey': (grey, grey),
            'grey 16': (grey.astype(np.uint16) * 257, grey),
            'colour 16': (BGR.astype(np.uint16) * 257, BGR),
            'alpha': (np.concatenate([BGR, grey], -1), BGR),
        }[kind]
        assert cv2.imwrite(str(path), image)
        assert np.array_equal(read_picture(path).decode(), np.broadcast_to(wanted, BGR.shape))


def test_what_the_user_names(tmp_path):
    out = tmp_path / 'in' / 'out'
    for name in ('in/a.png', 'in/b[1].jpg', 'in/c.txt', 'in/sub/a.png', 'in/.hidden.png', 'in/out/a.png', 'void/x.txt'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def found(source):
        root, pictures = find_pictures(str(tmp_path / source), out)
        return str(root.relative_to(tmp_path)), [str(path.relative_to(root)) for path in pictures]

    # Results of a run before are no input.
    assert found('in') == ('in', ['a.png', 'b[1].jpg', 'sub/a.png'])
    assert found('in/b[1].jpg') == ('in', ['b[1].jpg'])
    assert found('in/*.png') == ('in', ['a.png'])
    assert found('in/**/a.*') == ('in', ['a.png', 'sub/a.png'])
    assert found('i*/sub/a.png') == ('.', ['in/sub/a.png'])
    with pytest.raises(UserError, match=r'void.*\.jpg'):
        found('void')
    with pytest.raises(UserError, match=f'{tmp_path}'):
        find_pictures(str(tmp_path / 'in'), tmp_path)
    for nothing in ('in/*.gif', 'nowhere.png'):
        with pytest.raises(UserError, match='is no file, no folder, and no file matches it as a pattern'):
            found(nothing)


def test_nothing_is_overwritten(detector, tmp_path):
    predictor, _ = detector
    for name in ('a.tif', 'a.tif.png'):
        assert cv2.imwrite(str(tmp_path / name), BGR)
    both = [tmp_path / 'a.tif', tmp_path / 'a.tif.png']
    with pytest.raises(UserError, match=r'a\.tif and .*a\.tif\.png would both be drawn as'):
        infer(predictor, tmp_path, both, tmp_path / 'out', Console())
    before = both[1].read_bytes()
    with pytest.raises(UserError, match='--out'):
        infer(predictor, tmp_path, both[1:], tmp_path, Console())
    assert both[1].read_bytes() == before
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'cannot write .*file.*give a folder that you may write to'):
        infer(predictor, tmp_path, both[:1], tmp_path / 'file', Console())


def test_wrong_arguments(digits_config, tmp_path):
    config = digits_config('cyclemlp_maskrcnn_digits')
    with pytest.raises(UserError, match=r'score=1\.5 is not valid: give a number from 0 to 1'):
        Predictor(config, 'x.pth', score=1.5)
    with pytest.raises(UserError, match="device='gpu' cannot be used"):
        Predictor(config, 'x.pth', device='gpu')
    torch.save(mb.build_backbone('convmlp_s').state_dict(), tmp_path / 'other.pth')
    with pytest.raises(mb.checkpoints.CheckpointError, match='does not fit this MaskRCNN'):
        Predictor(config, str(tmp_path / 'other.pth'))
    del config.test_dataloader['dataset']['pipeline']
    with pytest.raises(UserError, match='has no test_dataloader with a pipeline'):
        Predictor(config, 'x.pth')


@pytest.mark.parametrize('kind', ['detector', 'segmentor', 'classifier'])
def test_predictions_are_those_of_the_test_tool_to_the_bit(kind, workspace, tmp_path, run_here):
    if kind == 'classifier':
        config = tmp_path / 'own.py'
        config.write_text(CLASSIFIER_CONFIG)
        shutil.copytree(workspace / 'data/digit_scenes/images', tmp_path / 'images')
        options, here = [], tmp_path
    else:
        config = 'cyclemlp_maskrcnn_digits' if kind == 'detector' else 'cyclemlp_upernet_digits'
        options, here = [f'{key}={value}' for key, value in TINY.items()], workspace
    loaded = load_config(str(config), ROOT / 'configs', TINY if options else None)
    folder = tmp_path / 'images' if kind == 'classifier' else workspace / loaded.digit_scenes.root / 'images/val'
    weights = checkpoint(loaded, tmp_path / 'x.pth')
    # Of several pictures in a batch, sums may be taken in another order.
    options += ['test_dataloader.batch_size=1', 'test_dataloader.num_workers=0']
    done = run_here(
        *(TEST, config, weights, '--work-dir', tmp_path / 'work', '--out', tmp_path / 'out.pkl'),
        *('--cfg-options', *options),
        cwd=here,
    )
    assert done.returncode == 0, done.stdout
    wanted = {sample['img_path']: sample for sample in pickle.loads((tmp_path / 'out.pkl').read_bytes())}
    root, pictures = find_pictures(str(folder), tmp_path / 'out')
    predictor = Predictor(loaded, weights, score=0)
    assert infer(predictor, root, pictures, tmp_path / 'out', Console()) == []
    assert len(pictures) == len(wanted) > 0
    for path in pictures:
        sample = next(value for key, value in wanted.items() if (here / key).resolve() == path.resolve())
        result = tmp_path / 'out' / path.relative_to(root)
        found = json.loads(result.with_name(f'{path.name}.json').read_text())
        if kind == 'detector':
            theirs = sample['pred_instances']
            order = theirs['scores'].argsort(descending=True, stable=True)
            assert len(order) > 0 and found['scores'] == theirs['scores'][order].tolist()
            assert found['boxes'] == theirs['bboxes'][order].tolist()
            assert found['labels'] == theirs['labels'][order].tolist()
            assert [mask['counts'].encode() for mask in found['masks']] == [theirs['masks'][i]['counts'] for i in order]
        elif kind == 'segmentor':
            labels = cv2.imread(str(result.with_name(f'{path.name}.labels.png')), cv2.IMREAD_UNCHANGED)
            assert np.array_equal(labels, sample['pred_sem_seg']['data'][0])
        else:
            assert found['scores'] == sample['pred_score'].sort(descending=True).values.tolist()


@TRANSFORMS.register_module()
class ReadArray(BaseTransform):
    """A loading step of a user's own, for .npy files."""

    def transform(self, results):
        results['img'] = np.load(results['img_path']).astype(np.float32)
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results


@TRANSFORMS.register_module()
class HalvePixels(BaseTransform):
    """A step of a user's own that changes the picture in place."""

    def transform(self, results):
        results['img'] //= 2
        return results


SEGMENTOR = """
default_scope = 'mmseg'
model = dict(type='EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor', size=(64, 64)),
    backbone=dict(type='mlp_backbones.CycleMLP', in_channels={channels},
        arch=dict(dims=[8, 8, 8, 8], depths=[1, 1, 1, 1], mlp_ratios=[2, 2, 2, 2])),
    decode_head=dict(type='FCNHead', in_channels=8, in_index=0, channels=8, num_convs=1, num_classes=3,
        norm_cfg=dict(type='BN'), align_corners=False, init_cfg=dict(type='Normal', std=1.0)),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
test_dataloader = dict(dataset=dict(type='BaseSegDataset', metainfo={metainfo},
    pipeline=[{load}, dict(type='LoadAnnotations'), {more} dict(type='PackSegInputs')]))
"""


def segmentor(folder, channels=3, load="dict(type='LoadImageFromFile')", more='', metainfo='{}', **meta):
    """A Predictor with random weights, and its config."""
    path = folder / 'segmentor.py'
    path.write_text(SEGMENTOR.format(channels=channels, load=load, more=more, metainfo=metainfo))
    config = Config.fromfile(path)
    init_default_scope('mmseg')
    model = MODELS.build(config.model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), folder / 'segmentor.pth')
    return Predictor(config, str(folder / 'segmentor.pth')), config


COLOUR_16 = np.random.default_rng(1).integers(0, 65536, (40, 56, 3)).astype(np.uint16)
LOADED = {
    'gray': ('x.png', COLOUR_16[..., 0].astype(np.uint8), 1, "dict(type='LoadImageFromFile', color_type='grayscale')"),
    '16 bits': ('x.png', COLOUR_16, 3, "dict(type='LoadImageFromFile', color_type='unchanged')"),
    'gray 16 bits': ('x.png', COLOUR_16[..., 0], 1, "dict(type='LoadImageFromFile', color_type='unchanged')"),
    'four channels': ('x.png', BGR[..., [0, 1, 2, 0]], 4, "dict(type='LoadImageFromFile', color_type='unchanged')"),
    'float': ('x.jpg', BGR, 3, "dict(type='LoadImageFromFile', to_float32=True)"),
    'Pillow': ('x.jpg', BGR, 3, "dict(type='LoadImageFromFile', imdecode_backend='pillow')"),
    'own': ('x.npy', COLOUR_16[..., [0, 1, 2, 0, 1]] / 32768 - 1, 5, "dict(type='ReadArray')"),
}


# torch has integers of 16 bits without a sign from 2.3 on.
@pytest.mark.parametrize(
    'kind', [pytest.param(kind, marks=[pytest.mark.newer] if '16' in kind else []) for kind in LOADED]
)
def test_pictures_are_loaded_as_the_pipeline_does(kind, tmp_path):
    name, image, channels, load = LOADED[kind]
    more = "dict(type='HalvePixels')," if kind == 'Pillow' else ''
    predictor, config = segmentor(tmp_path, channels, load, more)
    (tmp_path / 'in').mkdir()
    path = tmp_path / 'in' / name
    np.save(path, image) if kind == 'own' else cv2.imwrite(str(path), image)
    root, pictures = find_pictures(str(tmp_path / 'in'), tmp_path / 'out', picture_suffixes(config))
    assert infer(predictor, root, pictures, tmp_path / 'out', Console()) == []
    labels = cv2.imread(str(tmp_path / 'out' / f'{name}.labels.png'), cv2.IMREAD_UNCHANGED)

    steps = [step for step in config.test_dataloader.dataset.pipeline if step.type != 'LoadAnnotations']
    data = Compose(steps)(dict(img_path=str(path)))
    assert data['inputs'].shape[0] == channels
    with torch.no_grad():
        wanted = predictor.model.test_step(pseudo_collate([data]))[0].pred_sem_seg.data[0].numpy()
    assert np.array_equal(labels, wanted) and len(np.unique(labels)) > 1
    # What is drawn on has three channels of 8 bits, and is not what a later step made of it.
    drawn = cv2.imread(str(tmp_path / 'out' / (name if name != 'x.npy' else 'x.npy.png')))
    height, width = image.shape[:2]
    factor = min(640 // width, 8)
    assert drawn.shape[1] == factor * width and drawn.shape[0] > factor * height  # with a legend
    assert drawn[: factor * height].std() > 10


@pytest.mark.parametrize(
    ('metainfo', 'meta', 'names'),
    [
        ('{}', {}, ['class 0', 'class 1', 'class 2']),
        ("{'classes': ('a', 'b', 'c')}", {}, ['a', 'b', 'c']),
        ('{}', dict(classes=['a', 'b'], palette=[[0, 0, 0], [9, 9, 9]]), ['a', 'b', 'class 2']),
        ('{}', dict(classes='cat', palette='random'), ['cat', 'class 1', 'class 2']),
        ("{'classes': 'names.txt', 'palette': ((1, 2, 3),)}", {}, ['x', 'y', 'z']),
    ],
)
def test_names_and_colours_of_config_and_checkpoint(metainfo, meta, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'names.txt').write_text('x\ny\nz\n')
    predictor, _ = segmentor(tmp_path, metainfo=metainfo, **meta)
    found, drawn, _ = predictor(BGR, 'x.png')
    assert found['classes'] == [names[label] for label in found['labels']]
    assert drawn.shape[1:] == (8 * BGR.shape[1], 3)


def test_every_frame_of_a_video(tmp_path):
    predictor, _ = segmentor(tmp_path)
    writer = cv2.VideoWriter(str(tmp_path / 'in.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (60, 40))
    for i in range(3):
        writer.write(np.roll(BGR, 9 * i, 1))
    writer.release()
    out = tmp_path / 'out'
    assert infer_video(predictor, tmp_path / 'in.avi', out, Console()) == 3
    lines = [json.loads(line) for line in (out / 'in.jsonl').read_text().splitlines()]
    frames, drawn = (cv2.VideoCapture(str(path)) for path in (tmp_path / 'in.avi', out / 'in.mp4'))
    for i, line in enumerate(lines):
        found, picture, _ = predictor(frames.read()[1], f'in.avi, frame {i}')
        assert line == found
        shown = drawn.read()[1][:320]
        assert np.abs(shown.astype(int) - picture[:320]).mean() < 12  # compressed
    assert len(lines) == 3 and drawn.get(cv2.CAP_PROP_FPS) == 10 and not drawn.read()[0]
    assert sorted(path.name for path in out.iterdir()) == ['in.jsonl', 'in.mp4']
    (tmp_path / 'text.mp4').write_text('no video')
    with pytest.raises(UserError, match=r'text\.mp4 is no video that OpenCV reads'):
        infer_video(predictor, tmp_path / 'text.mp4', out, Console())
    with pytest.raises(UserError, match=r'text\.mp4 would be drawn over'):
        infer_video(predictor, tmp_path / 'text.mp4', tmp_path, Console())
    gray = segmentor(tmp_path, 1, "dict(type='LoadImageFromFile', color_type='grayscale')")[0]
    with pytest.raises(UserError, match='frames are colour images'):
        infer_video(gray, tmp_path / 'in.avi', out, Console())


def test_a_palette_that_is_not_one(tmp_path):
    with pytest.raises(UserError, match=r"palette=\['red', 'blue'\] is not valid"):
        segmentor(tmp_path, metainfo="{'palette': ['red', 'blue']}")


def test_annotations_are_not_loaded_and_a_step_that_fails_is_named(tmp_path):
    predictor, _ = segmentor(tmp_path, more="dict(type='LoadDepthAnnotation'), dict(type='Resize', scale=(0, 0)),")
    with pytest.raises(BadPicture, match='60x40 pixels, Resize of the test pipeline fails'):
        predictor(BGR, 'x.png')
    with pytest.raises(BadPicture, match=r'an array of shape \(0, 4, 3\) was loaded'):
        predictor(BGR[:0, :4], 'x.png')


def test_a_picture_that_needs_more_memory_than_there_is(tmp_path):
    predictor, _ = segmentor(tmp_path)
    row = zlib.compressobj(9)
    pixels = b''.join(row.compress(bytes(3 * 20_000 + 1)) for _ in range(15_000)) + row.flush()
    write_png(tmp_path / 'bomb.png', 20_000, 15_000, pixels)
    assert (tmp_path / 'bomb.png').stat().st_size < 1_000_000
    assert cv2.imwrite(str(tmp_path / 'large.png'), np.zeros((4000, 5000, 3), np.uint8))
    assert cv2.imwrite(str(tmp_path / 'small.png'), BGR)
    names = ['bomb.png', 'large.png', 'small.png']
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    used = psutil.Process().memory_info().data
    resource.setrlimit(resource.RLIMIT_DATA, (used + 500 * 2**20, hard))
    try:
        text = io.StringIO()
        skipped = infer(predictor, tmp_path, [tmp_path / n for n in names], tmp_path / 'out', Console(file=text))
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] == used + 500 * 2**20
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    # The first one cannot be read, the second one is too large for the network.
    assert [path.name for path in skipped] == names[:2]
    assert text.getvalue().count('more memory than there is') == 2
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        f'small.png{s}' for s in ('', '.json', '.labels.png')
    ]


@pytest.mark.parametrize('version', [1, 2])
def test_the_memory_of_a_container(version, tmp_path):
    folder = tmp_path / 'memory' if version == 1 else tmp_path
    folder.mkdir(exist_ok=True)
    names = ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')
    limit, usage, cached = names if version == 1 else ('memory.max', 'memory.current', 'inactive_file')
    (folder / usage).write_text('700000\n')
    (folder / 'memory.stat').write_text(f'cache 5\n{cached} 300000\n')
    (folder / limit).write_text('1000000\n')
    assert available_memory(tmp_path) == 600_000
    (folder / limit).write_text('max\n' if version == 2 else f'{2**63 - 4096}\n')
    assert available_memory(tmp_path) > 2**20


def test_results_are_written_to_regular_files(tmp_path):
    predictor, _ = segmentor(tmp_path)
    (tmp_path / 'in').mkdir()
    names = ['a.png', f'{"n" * 247}.png']
    for name in names:
        assert cv2.imwrite(str(tmp_path / 'in' / name), BGR)
    out = tmp_path / 'out'
    skipped = infer(predictor, tmp_path / 'in', [tmp_path / 'in' / name for name in names], out, Console())
    assert [path.name for path in skipped] == names[1:]  # its .json would have too long a name
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.name.startswith('a')}
    for target in ('a.png', 'a.png.json'):
        (out / target).unlink()
        (out / target).symlink_to(tmp_path / 'elsewhere')
        with pytest.raises(UserError, match='it is a link'):
            infer(predictor, tmp_path / 'in', [tmp_path / 'in/a.png'], out, Console())
        assert not (tmp_path / 'elsewhere').exists()
        (out / target).unlink()
        os.mkfifo(out / target)
        with pytest.raises(UserError, match='FIFO'):
            infer(predictor, tmp_path / 'in', [tmp_path / 'in/a.png'], out, Console())
        (out / target).unlink()
    assert infer(predictor, tmp_path / 'in', [tmp_path / 'in/a.png'], out, Console()) == []
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.name.startswith('a')} == before
    assert not list(out.glob('.*'))
