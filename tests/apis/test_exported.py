"""Exported files predict what their checkpoints do."""

import json

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mlp_backbones.apis.exported import ExportedModel
from mlp_backbones.errors import UserError
from tests.conftest import ROOT

ARCH = dict(stem_dim=8, dims=[8, 16, 16], conv_depth=1, depths=[1] * 3, mlp_ratios=[2] * 3)


def slim(config, tmp_path, **changes):
    """The config with a smaller backbone, written to a file, and the path of a checkpoint with random weights."""
    config.model.backbone = dict(type='mlp_backbones.ConvMLP', arch=ARCH)
    config.merge_from_dict(dict(changes))
    config.dump(tmp_path / 'slim.py')
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'slim.pth')
    return tmp_path / 'slim.py', tmp_path / 'slim.pth'


@pytest.mark.slow
@pytest.mark.newer
def test_a_detector(digits_config, workspace, tmp_path, run_here):
    changes = {'model.neck.in_channels': [8, 8, 16, 16], 'model.roi_head.mask_head.num_convs': 1}
    path, weights = slim(digits_config('convmlp_maskrcnn_digits'), tmp_path, **changes)
    scene = next(workspace.glob('data/digit_scenes/images/val/*.png'))
    file = tmp_path / 'whole.onnx'
    done = run_here(
        *(ROOT / 'tools' / 'export.py', path, file, '--checkpoint', weights, '--normalize', 'rgb', '--opset', '17'),
        cwd=workspace,
    )
    assert done.returncode == 0, done.stdout
    found = []
    for name, source in (('a', ['--checkpoint', weights]), ('b', ['--engine', 'onnxruntime', file])):
        options = ['--config', path, *source, '--out', tmp_path / name, '--score', 0]
        done = run_here(ROOT / 'tools' / 'infer.py', scene, *options, cwd=workspace)
        assert done.returncode == 0, done.stdout
        found.append(json.loads((tmp_path / name / f'{scene.name}.json').read_text()))
    wanted, got = found
    assert len(wanted['labels']) == 20 and wanted['labels'] == got['labels'] and wanted['masks'] == got['masks']
    torch.testing.assert_close(torch.tensor(got['boxes']), torch.tensor(wanted['boxes']), rtol=0, atol=1e-3)
    torch.testing.assert_close(torch.tensor(got['scores']), torch.tensor(wanted['scores']), rtol=0, atol=1e-5)
    done = run_here(ROOT / 'tools' / 'test.py', path, '--engine', 'onnxruntime', file, cwd=workspace)
    assert done.returncode == 0 and 'coco/segm_mAP' in done.stdout, done.stdout


@pytest.mark.newer  # the older line has no onnxruntime
def test_files_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / 'broken.onnx').write_bytes(b'no graph')
    for engine, name, sentence in (
        ('tensorrt', 'broken.onnx', "'tensorrt' is no engine"),
        ('onnxruntime', 'gone.onnx', 'gone.onnx is missing'),
        ('onnxruntime', 'broken.onnx', 'broken.onnx cannot be opened by onnxruntime'),
    ):
        with pytest.raises(UserError, match=sentence):
            ExportedModel(torch.nn.Sequential(), engine, tmp_path / name)
