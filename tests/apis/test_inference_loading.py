"""tools/infer.py loads and names as config and checkpoint do, videos too, and stops at what memory and files allow."""

import io
import json
import os
import resource
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
from rich.console import Console

from mlp_backbones.apis.inference import (
    BadImage,
    Predictor,
    find_images,
    image_suffixes,
    infer,
)
from mlp_backbones.apis.memory import available_memory
from mlp_backbones.apis.video import infer_video
from mlp_backbones.errors import UserError
from tests.apis.test_inference import BGR, write_png

pytestmark = pytest.mark.slow


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
    root, pictures = find_images(str(tmp_path / 'in'), tmp_path / 'out', image_suffixes(config))
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
    with pytest.raises(BadImage, match='60x40 pixels, Resize of the test pipeline fails'):
        predictor(BGR, 'x.png')
    with pytest.raises(BadImage, match=r'an array of shape \(0, 4, 3\) was loaded'):
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
