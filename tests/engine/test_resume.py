"""Ctrl-C in real processes, and what a resumed run ends with."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from mlp_backbones.checkpoints import read_checkpoint
from mlp_backbones.engine.resume import random_state, set_random_state
from tests.conftest import ROOT, TINY, run

OPTIONS = [
    *(f'{key}={value}' for key, value in TINY.items()),
    'train_cfg.max_epochs=2',
    'train_cfg.val_interval=2',
    'default_hooks.logger.interval=1',
    'model.backbone.drop_path_rate=0.2',
]


def start(workspace, work_dir, config, *flags, workers=1, batch_size=2):
    options = [*OPTIONS, f'train_dataloader.batch_size={batch_size}', f'train_dataloader.num_workers={workers}']
    command = [ROOT / 'tools/train.py', config, '--work-dir', work_dir, *flags, '--cfg-options', *options]
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=workspace,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def losses(work_dir):
    found = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if 'loss' in record:
                found[record['iter']] = record['loss']
    return found


@pytest.mark.parametrize('workers', [0, 1])
def test_ctrl_c_leaves_a_checkpoint_and_resuming_changes_nothing(workspace, tmp_path, workers):
    config = 'cyclemlp_maskrcnn_digits'
    whole = start(workspace, tmp_path / 'whole', config, workers=workers)
    output = whole.communicate(timeout=300)[0]
    assert whole.returncode == 0, output

    broken = start(workspace, tmp_path / 'broken', config, workers=workers)
    lines = []
    for line in broken.stdout:
        lines.append(line)
        if 'Epoch(train) [2][ 4/12]' in line:
            # To the whole group, data workers too, as a terminal does.
            os.killpg(broken.pid, signal.SIGINT)
            break
    output = ''.join(lines) + broken.communicate(timeout=60)[0]
    assert broken.returncode == 130, output
    assert 'Traceback' not in output and 'interrupted.pth' in output and '--resume' in output
    stopped_at = max(losses(tmp_path / 'broken'))
    assert 16 <= stopped_at < 24
    # Our own safe reader takes it as well.
    assert read_checkpoint(tmp_path / 'broken' / 'interrupted.pth')['meta']['iter'] == stopped_at

    resumed = start(workspace, tmp_path / 'broken', config, '--resume', workers=workers)
    output = resumed.communicate(timeout=300)[0]
    assert resumed.returncode == 0, output
    assert losses(tmp_path / 'broken') == losses(tmp_path / 'whole')
    runs = [tmp_path / 'whole', tmp_path / 'broken']
    ends = [torch.load(folder / 'epoch_2.pth', weights_only=False)['state_dict'] for folder in runs]
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())
    results = [json.loads((folder / 'result.json').read_text()) for folder in runs]
    for key in ('metrics', 'config_hash', 'options', 'seeds', 'completed'):
        assert results[0][key] == results[1][key], key
    assert results[0]['completed'] and '--resume' in results[1]['command']


def test_resuming_with_another_batch_size_is_refused(workspace, tmp_path):
    process = start(workspace, tmp_path, 'cyclemlp_upernet_digits')
    for line in process.stdout:
        if 'Epoch(train) [1][ 8/12]' in line:
            os.killpg(process.pid, signal.SIGINT)
            break
    process.communicate(timeout=60)
    resumed = start(workspace, tmp_path, 'cyclemlp_upernet_digits', '--resume', batch_size=8)
    output = resumed.communicate(timeout=120)[0]
    assert 'error: cannot go on: iteration' in output
    assert 'Traceback' not in output

    # What such a checkpoint reaches is no result of the config.
    options = [*OPTIONS, 'train_dataloader.batch_size=2', 'train_dataloader.num_workers=1']
    command = (ROOT / 'tools/test.py', 'cyclemlp_upernet_digits', tmp_path / 'interrupted.pth')
    tested = run(*command, '--work-dir', tmp_path, '--cfg-options', *options, cwd=workspace)
    assert tested.returncode == 0, tested.stdout
    assert not json.loads((tmp_path / 'result.json').read_text())['completed']


def test_a_second_ctrl_c_stops_at_once(workspace, tmp_path):
    process = start(workspace, tmp_path, 'cyclemlp_upernet_digits')
    for line in process.stdout:
        if 'Epoch(train)' in line:
            for _ in range(2):
                os.killpg(process.pid, signal.SIGINT)
                time.sleep(0.05)
            break
    began = time.monotonic()
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130, output
    assert time.monotonic() - began < 30


def test_ctrl_c_in_validation_keeps_weights_and_moving_average_apart(workspace, tmp_path):
    (tmp_path / 'ema.py').write_text(
        f"_base_ = '{ROOT}/configs/cyclemlp_upernet_digits.py'\n"
        "custom_imports = dict(imports=['tests.hooks'], allow_failed_imports=False)\n"
        "custom_hooks = [dict(type='EMAHook', momentum=0.1), dict(type='CtrlCInValidation')]\n"
        "digit_scenes = dict(root='data/digit_scenes')\n"
        "train_dataloader = dict(dataset=dict(data_root='data/digit_scenes'))\n"
        "val_dataloader = dict(dataset=dict(data_root='data/digit_scenes'))\n"
    )
    process = start(workspace, tmp_path / 'work', tmp_path / 'ema.py')
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 130 and 'its validation is left to tools/test.py' in output, output
    saved, stopped = (read_checkpoint(tmp_path / 'work' / name) for name in ('epoch_2.pth', 'interrupted.pth'))
    assert any(not torch.equal(w, saved['ema_state_dict'][f'module.{n}']) for n, w in saved['state_dict'].items())
    for part in ('state_dict', 'ema_state_dict'):
        assert all(torch.equal(tensor, stopped[part][name]) for name, tensor in saved[part].items())


def test_random_state_goes_through_a_checkpoint(tmp_path):
    import random

    torch.save({'state_dict': {'a': torch.ones(1)}, 'random_state': random_state()}, tmp_path / 'a.pth')
    drawn = random.random(), np.random.rand(), torch.rand(3).tolist()
    set_random_state(read_checkpoint(tmp_path / 'a.pth')['random_state'])
    assert (random.random(), np.random.rand(), torch.rand(3).tolist()) == drawn
