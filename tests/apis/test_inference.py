"""tools/infer.py: it finds what mm's own inference finds, in any picture, and nothing is lost or overwritten."""

import copy
import json
import os
import pickle
import shutil
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from pycocotools import mask as coco_mask
from rich.console import Console

import mlp_backbones as mb
from mlp_backbones.apis import load_config
from mlp_backbones.apis.inference import (
    Predictor,
    find_images,
    infer,
    read_image,
)
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
    found, drawn, labels = predictor(read_image(path), path.name)
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
    assert len(predictor(read_image(path), 'x')[0]['boxes']) == sum(s >= predictor.score for s in found['scores'])


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
    found, _, _ = Predictor(config, path)(read_image(scene(workspace)), 'x')
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
        assert np.abs(read_image(path).decode().astype(int) - BGR).mean() < 40
    elif kind == 'turned':
        from PIL import Image

        exif = Image.Exif()
        exif[0x0112] = 6  # a quarter turn
        Image.fromarray(BGR[..., ::-1]).save(path, exif=exif)
        assert np.array_equal(read_image(path).decode(), np.rot90(BGR, -1))
    else:
        grey = BGR[..., :1]
        image, wanted = {
            'grey': (grey, grey),
            'grey 16': (grey.astype(np.uint16) * 257, grey),
            'colour 16': (BGR.astype(np.uint16) * 257, BGR),
            'alpha': (np.concatenate([BGR, grey], -1), BGR),
        }[kind]
        assert cv2.imwrite(str(path), image)
        assert np.array_equal(read_image(path).decode(), np.broadcast_to(wanted, BGR.shape))


def test_what_the_user_names(tmp_path):
    out = tmp_path / 'in' / 'out'
    for name in ('in/a.png', 'in/b[1].jpg', 'in/c.txt', 'in/sub/a.png', 'in/.hidden.png', 'in/out/a.png', 'void/x.txt'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def found(source):
        root, pictures = find_images(str(tmp_path / source), out)
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
        find_images(str(tmp_path / 'in'), tmp_path)
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
    root, pictures = find_images(str(folder), tmp_path / 'out')
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
