"""The command lines as a user runs them: real processes, real runners, real files."""

import contextlib
import json
import os
import pickle
import pty
import re
import shutil
import subprocess
import sys

import cv2
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import mlp_backbones as mb
from mlp_backbones.apis.export import export_graph
from mlp_backbones.checkpoints.key_maps import official_names
from mlp_backbones.datasets import write_digit_scenes
from mlp_backbones.errors import UserError
from tests.conftest import ROOT, TINY, run

pytestmark = pytest.mark.slow

TRAIN, TEST, REPORT = (ROOT / 'tools' / f'{name}.py' for name in ('train', 'test', 'report'))
OPTIONS = ['--cfg-options', *(f'{key}={value}' for key, value in TINY.items()), 'train_cfg.max_epochs=1']


@pytest.mark.parametrize(
    ('config', 'recipe'),
    [
        ('cyclemlp_maskrcnn_digits', 'mask-rcnn_cyclemlp-slim_digits'),
        ('cyclemlp_upernet_digits', 'upernet_cyclemlp-slim_digits'),
    ],
)
def test_train_test_and_report(workspace, tmp_path, config, recipe, run_here):
    options = [*OPTIONS, 'default_hooks.logger.interval=2']
    done = run(TRAIN, config, '--work-dir', tmp_path, '--tensorboard', *options, cwd=workspace)
    assert done.returncode == 0, done.stdout
    events = EventAccumulator(str(next(tmp_path.glob('*/vis_data')))).Reload()
    assert [event.step for event in events.Scalars('loss')] == [2, 4, 6]
    # What a reader of the terminal or log needs, without the pages of config.
    assert 'Epoch(train) [1][2/6]' in done.stdout
    for word in ('eta:', 'loss:', 'data_time:'):
        assert word in done.stdout
    # Nothing of what the libraries lack, nor of operators of other families.
    for word in ('Config:', 'OneDL', 'FileClient', 'HardDiskBackend', 'faster_coco_eval', 'hire_mix', 'axial_linear'):
        assert word not in done.stdout
    assert 'runs its operators as: cycle_mix folded, cycle_linear plain' in done.stdout
    assert 'Config:' in next(tmp_path.glob('*/*.log')).read_text()
    trained = json.loads((tmp_path / 'result.json').read_text())
    assert trained['config'] == recipe and trained['options']['default_hooks.logger.interval'] == 2
    assert trained['completed'] and trained['seeds'] == [0] and trained['threads'] >= 1
    assert trained['command'].startswith(f'python tools/train.py {config} --work-dir ')
    assert re.fullmatch('[0-9a-f]{40}(-dirty)?', trained['commit']), trained['commit']
    assert all(trained['versions'][name] for name in ('torch', 'mmcv', 'mlp_backbones'))

    pictures, predictions = tmp_path / 'pictures', tmp_path / 'out.pkl'
    done = run_here(
        TEST,
        config,
        tmp_path / 'epoch_1.pth',
        *('--work-dir', tmp_path, '--out', predictions, '--show-dir', pictures),
        *options,
        cwd=workspace,
    )
    assert done.returncode == 0, done.stdout
    assert len(pickle.loads(predictions.read_bytes())) == 8
    # Truth and prediction, side by side.
    ranked = json.loads((pictures / 'scores.json').read_text())
    assert all(cv2.imread(str(pictures / row['image'])).shape[1] > 2 * 3 * 192 for row in ranked)
    scores = [row['score'] for row in ranked]
    assert len(scores) == 8 and scores == sorted(scores) and all(0 <= score <= 1 for score in scores)
    assert cv2.imread(str(pictures / 'worst_1.png')).shape[1] > 3 * 2 * 320
    assert len(list(pictures.rglob('*.png'))) == 9
    tested = json.loads((tmp_path / 'result.json').read_text())
    assert tested == trained

    # With other options than those of the training its metrics stand for nothing, and no file says otherwise.
    other = tmp_path / 'other'
    done = run_here(TEST, config, tmp_path / 'epoch_1.pth', '--work-dir', other, *OPTIONS, cwd=workspace)
    assert done.returncode == 0 and 'no result.json: the test has another config' in done.stdout, done.stdout
    assert not (other / 'result.json').exists()

    done = run_here(REPORT, tmp_path)
    assert done.returncode == 0, done.stdout
    for word in ('minutes', 'parameters', 'AP50' if 'maskrcnn' in config else 'mIoU'):
        assert word in done.stdout
    assert cv2.imread(str(tmp_path / 'curves.png')).shape[0] > 300


def test_a_terminal_shows_a_live_bar_and_the_log_file_lines(workspace, tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, TRAIN, 'cyclemlp_upernet_digits', '--work-dir', tmp_path, *OPTIONS]
    process = subprocess.Popen(
        [*map(str, command), 'default_hooks.logger.interval=1'],
        cwd=workspace,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'TERM': 'xterm', 'COLUMNS': '120'},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b''
    # A terminal whose program has ended answers with an error.
    with contextlib.suppress(OSError):
        while chunk := os.read(ours, 65536):
            shown += chunk
    assert process.wait(60) == 0, shown.decode()
    for words in (b'6/6 loss ', b's/it', b'data 0.', b'left', b'mIoU'):
        assert words in shown
    assert b'Epoch(train)' not in shown
    assert 'Epoch(train) [1][6/6]' in next(tmp_path.glob('*/*.log')).read_text()


def test_a_checkpoint_of_another_config_is_refused(workspace, tmp_path, run_here):
    torch.save({'state_dict': mb.build_classifier('CycleMLP', arch='b1').state_dict()}, tmp_path / 'other.pth')
    command = (TEST, 'cyclemlp_upernet_digits', tmp_path / 'other.pth', '--work-dir', tmp_path, *OPTIONS)
    done = run_here(*command, cwd=workspace)
    last = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith('error: ')
    assert 'does not fit this EncoderDecoder in' in last


CLASSIFIER_CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=2),
    backbone=dict(type='mlp_backbones.ConvMLP', out_indices=(3,), arch=dict(
        stem_dim=8, dims=(8, 12, 16), conv_depth=1, depths=(1, 1, 1), mlp_ratios=(2, 2, 2))),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=16, topk=(1,)),
)
loader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CustomDataset',
        data_root='images',
        pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')],
    ),
)
train_dataloader = val_dataloader = test_dataloader = loader
train_cfg = dict(by_epoch=True, max_epochs=1)
val_cfg = test_cfg = dict()
val_evaluator = test_evaluator = dict(type='Accuracy', topk=(1,))
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3))
"""


def test_an_mmpretrain_config_of_ones_own(workspace, tmp_path, run_here):
    shutil.copytree(workspace / 'data/digit_scenes/images', tmp_path / 'images')  # folders are classes
    (tmp_path / 'own.py').write_text(CLASSIFIER_CONFIG)
    done = run(TRAIN, 'own.py', '--work-dir', 'work', cwd=tmp_path)
    assert done.returncode == 0 and 'accuracy/top1' in done.stdout, done.stdout
    (tmp_path / 'shown').mkdir()
    (tmp_path / 'shown/worst_5.png').touch()  # of a test with more images
    options = ['--out', 'out.pkl', '--show-dir', 'shown']
    done = run_here(TEST, 'own.py', 'work/epoch_1.pth', '--work-dir', 'work', *options, cwd=tmp_path)
    assert done.returncode == 0 and 'accuracy/top1' in done.stdout, done.stdout
    samples = pickle.loads((tmp_path / 'out.pkl').read_bytes())
    # The score of an image is that of its true class; the worst one is first.
    scores = {str(s['img_path'])[len('images/') :]: float(s['pred_score'][s['gt_label'][0]]) for s in samples}
    ranked = {row['image']: row['score'] for row in json.loads((tmp_path / 'shown/scores.json').read_text())}
    assert ranked == scores and len(scores) == 32 and [*ranked.values()] == sorted(scores.values())
    assert {str(p.relative_to(tmp_path / 'shown')) for p in tmp_path.glob('shown/*/*.png')} == set(scores)
    assert sorted(p.name for p in tmp_path.glob('shown/*.png')) == ['worst_1.png', 'worst_2.png', 'worst_3.png']


def test_report_of_nothing(tmp_path, run_here):
    done = run_here(REPORT, tmp_path)
    assert done.returncode == 1
    assert 'holds no scalars of a training' in done.stdout


@pytest.fixture
def coco(tmp_path):
    """A folder with a very small COCO in data/coco, and a file of weights in CycleMLP-B2's published format."""
    scenes = write_digit_scenes(tmp_path / 'scenes', train=2, val=1)
    (tmp_path / 'data/coco/annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        content = json.loads((scenes / f'annotations/instances_{split}.json').read_text())
        content['categories'] = [{'id': 0, 'name': 'person'}]
        for annotation in content['annotations']:
            annotation['category_id'] = 0
        (tmp_path / f'data/coco/annotations/instances_{split}2017.json').write_text(json.dumps(content))
        (scenes / 'images' / split).rename(tmp_path / f'data/coco/{split}2017')
    net = mb.build_backbone('CycleMLP', arch='b2', out_indices=(3,))
    names = official_names('CycleMLP', net.state_dict())
    weights = {names[name]: tensor for name, tensor in net.state_dict().items()}
    weights = {key.replace('norm6', 'norm') if key.startswith('norm6') else key: t for key, t in weights.items()}
    torch.save({'model': weights}, tmp_path / 'CycleMLP_B2.pth')
    return tmp_path


COCO_OPTIONS = [
    *('train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False', 'train_cfg.max_epochs=1'),
    *('val_dataloader.num_workers=0', 'val_dataloader.persistent_workers=False'),
    *('train_dataloader.dataset.pipeline.2.scale=(96,96)', 'val_dataloader.dataset.pipeline.1.scale=(96,96)'),
]


def test_mask_rcnn_on_coco_from_published_weights(coco):
    done = run(
        TRAIN,
        'cyclemlp_maskrcnn_coco',
        '--cfg-options',
        *COCO_OPTIONS,
        'model.backbone.init_cfg.checkpoint=CycleMLP_B2.pth',
        'default_hooks.logger.interval=1',
        cwd=coco,
    )
    assert done.returncode == 0, done.stdout
    assert 'CycleMLP_B2.pth: loaded 350 of 358 tensors (0 reshaped)' in done.stdout
    assert 'Epoch(val) [1][1/1]' in done.stdout
    assert (coco / 'work_dirs/mask-rcnn_cyclemlp-b2_fpn_1x_coco/epoch_1.pth').is_file()


def test_weights_that_cannot_be_fetched_are_one_sentence(coco, monkeypatch, run_here):
    monkeypatch.setenv('TORCH_HOME', str(coco))
    done = run_here(
        TRAIN,
        'cyclemlp_maskrcnn_coco',
        '--cfg-options',
        *COCO_OPTIONS,
        'model.backbone.init_cfg.checkpoint=http://127.0.0.1:9/CycleMLP_B2.pth',
        cwd=coco,
    )
    last = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith('error: cannot fetch checkpoint http://127.0.0.1:9/CycleMLP_B2.pth')
    assert 'cyclemlp_maskrcnn_digits` needs no download' in last


@pytest.mark.parametrize('tool', [TRAIN, TEST, REPORT])
def test_help(tool, run_here):
    done = run_here(tool, '--help')
    assert done.returncode == 0
    assert 'usage:' in done.stdout


@pytest.mark.newer
def test_export_of_a_variant_and_of_a_segmentor(tmp_path, run_here):
    onnx_file = tmp_path / 'net.onnx'
    done = run_here('tools/export.py', 'convmlp_s', onnx_file, '--size', '70', '90')
    assert done.returncode == 0 and 'run at three other sizes' in done.stdout, done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ['net.onnx']
    segmentor = tmp_path / 'segmentor.onnx'
    options = ['--size', '128', '96', '--argmax', '--normalize', 'bgr']
    done = run_here('tools/export.py', 'cyclemlp_upernet_digits', segmentor, *options)
    assert done.returncode == 0 and segmentor.is_file(), done.stdout
    # Poolings to a fixed grid, which ONNX does not have for open sizes.
    pools = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.AdaptiveAvgPool2d(3))
    with pytest.raises(UserError, match='try --static'):
        export_graph(pools, tmp_path / 'open.onnx', size=(64, 64))
    assert not (tmp_path / 'open.onnx').exists()
    done = run_here('tools/export.py', 'cyclemlp_maskrcnn_digits', tmp_path / 'detector.onnx', '--argmax')
    assert done.returncode == 1 and '--argmax' in done.stdout and 'MaskRCNN' in done.stdout
    done = run_here('tools/export.py', 'cyclemlp_maskrcnn_digits', tmp_path / 'net.pt', '--backbone')
    assert done.returncode == 1 and "suffix '.pt': name a file that ends in .onnx or .pt2" in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        ('export.py convmlp_s gone/net.onnx', 'gone/net.onnx: the folder gone is missing; make it'),
        ('export.py convmlp_s net.pt2 --opset 19', 'opset=19: net.pt2 will hold no operators of ONNX; leave it out'),
        ('export.py convmlp_s net.onnx --backbone', '--backbone: convmlp_s is a backbone by itself; leave it out'),
        ('convert_checkpoint.py a.pth gone/new.pth', 'gone/new.pth: the folder gone is missing; make it'),
    ],
)
def test_files_that_cannot_be_written(arguments, sentence, tmp_path, run_here):
    tool, *arguments = arguments.split()
    done = run_here(ROOT / 'tools' / tool, *arguments, cwd=tmp_path)
    assert done.returncode and f'error: {sentence}' in done.stdout.splitlines()[-1], done.stdout
    assert not list(tmp_path.iterdir())
