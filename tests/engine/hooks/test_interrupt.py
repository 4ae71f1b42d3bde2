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

from mlp_backbones.apis import load_config, prepare_train
from mlp_backbones.checkpoints import read_checkpoint
from mlp_backbones.engine import build_runner
from mlp_backbones.engine.hooks.result import RECORD
from mlp_backbones.engine.state import random_state, set_random_state
from mlp_backbones.errors import UserError
from tests.conftest import ROOT, TINY, default_signals

pytestmark = pytest.mark.slow

OPTIONS = [
    *(f'{key}={value}' for key, value in (TINY | {'train_dataloader.batch_size': 2}).items()),
    'train_cfg.max_epochs=2',
    'train_cfg.val_interval=2',
    'default_hooks.logger.interval=1',
    'model.backbone.drop_path_rate=0.2',
]


def start(workspace, work_dir, config, *flags):
    options = [*OPTIONS, 'train_dataloader.num_workers=1']
    command = [ROOT / 'tools/train.py', config, '--work-dir', work_dir, *flags, '--cfg-options', *options]
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=workspace,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=default_signals,
    )


def losses(work_dir):
    found = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if 'loss' in record:
                found[record['iter']] = record['loss']
    return found


def stop(process, number, at):
    """Sends the signal at a line of the log, and returns what the process printed."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if at in line:
            # To the whole group, data workers too, as a terminal and torchrun do.
            os.killpg(process.pid, number)
            break
    return ''.join(lines) + process.communicate(timeout=60)[0]


def test_a_stop_leaves_a_checkpoint_and_resuming_changes_nothing(workspace, tmp_path):
    """Of a detector; test_distributed.py stops a segmentor."""
    config = 'cyclemlp_maskrcnn_digits'
    whole = start(workspace, tmp_path / 'whole', config)
    output = whole.communicate(timeout=300)[0]
    assert whole.returncode == 0, output

    for epoch, number, flags in ((1, signal.SIGINT, []), (2, signal.SIGTERM, ['--resume'])):
        broken = start(workspace, tmp_path / 'broken', config, *flags)
        output = stop(broken, number, f'Epoch(train) [{epoch}][ 4/12]')
        assert broken.returncode == 130, output
        assert 'Traceback' not in output and 'interrupted.pth' in output and '--resume' in output
        stopped_at = max(losses(tmp_path / 'broken'))
        assert 4 <= stopped_at - 12 * (epoch - 1) < 12
        # Our own safe reader takes it as well.
        assert read_checkpoint(tmp_path / 'broken' / 'interrupted.pth')['meta']['iter'] == stopped_at

    resumed = start(workspace, tmp_path / 'broken', config, '--resume')
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


def test_resuming_with_another_batch_size_is_refused(workspace, tmp_path, monkeypatch, run_here):
    stop(start(workspace, tmp_path, 'cyclemlp_upernet_digits'), signal.SIGINT, 'Epoch(train) [1][ 8/12]')
    # With 8, iteration 8 lies behind the first epoch of 3 batches; with 1 it would lie within that of 24.
    monkeypatch.chdir(workspace)
    for batch_size, batches in ((8, 3), (1, 24)):
        options = TINY | {'train_dataloader.batch_size': batch_size, 'train_dataloader.num_workers': 0}
        config = load_config('cyclemlp_upernet_digits', ROOT / 'configs', options)
        prepare_train(config, str(tmp_path), 'none', amp=False, resume='auto')
        with pytest.raises(UserError, match=rf'12 batches .* {batches} batches .* train_dataloader\.batch_size=2$'):
            build_runner(config).train()

    # What such a checkpoint reaches is no result of the config.
    options = [*OPTIONS, 'train_dataloader.num_workers=1']
    command = (ROOT / 'tools/test.py', 'cyclemlp_upernet_digits', tmp_path / 'interrupted.pth')
    tested = run_here(*command, '--work-dir', tmp_path, '--cfg-options', *options, cwd=workspace)
    assert tested.returncode == 0, tested.stdout
    assert not json.loads((tmp_path / 'result.json').read_text())['completed']

    # Nor is what a training reaches that goes on with other options, and its checkpoints do not claim it.
    (tmp_path / 'result.json').unlink()
    command = (ROOT / 'tools/train.py', 'cyclemlp_upernet_digits', '--work-dir', tmp_path, '--resume')
    changed = run_here(*command, '--cfg-options', *options, 'optim_wrapper.optimizer.lr=1e-4', cwd=workspace)
    assert changed.returncode == 0, changed.stdout
    assert changed.stdout.count('no result.json: the resumed training has another config or other --cfg-options') == 1
    assert not (tmp_path / 'result.json').exists()
    assert RECORD not in read_checkpoint(tmp_path / 'epoch_2.pth')['meta']


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


def write_stopping_config(path, hooks, name='cyclemlp_upernet_digits'):
    path.write_text(
        f"_base_ = '{ROOT}/configs/{name}.py'\n"
        "custom_imports = dict(imports=['tests.engine.hooks.stopping'], allow_failed_imports=False)\n"
        f'custom_hooks = {hooks}\n'
        "digit_scenes = dict(root='data/digit_scenes')\n"
        "train_dataloader = dict(persistent_workers=True, dataset=dict(data_root='data/digit_scenes'))\n"
        "val_dataloader = dict(dataset=dict(data_root='data/digit_scenes'))\n"
    )
    return path


def test_a_stop_in_validation_keeps_weights_and_moving_average_apart(workspace, tmp_path):
    hooks = [dict(type='EMAHook', momentum=0.1), dict(type='Stop', point='before_val_iter', name='TERM')]
    process = start(workspace, tmp_path / 'work', write_stopping_config(tmp_path / 'ema.py', hooks))
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 130 and 'it is validated when the training is resumed' in output, output
    assert 'Traceback' not in output
    saved, stopped = (read_checkpoint(tmp_path / 'work' / name) for name in ('epoch_2.pth', 'interrupted.pth'))
    assert any(not torch.equal(w, saved['ema_state_dict'][f'module.{n}']) for n, w in saved['state_dict'].items())
    for part in ('state_dict', 'ema_state_dict'):
        assert all(torch.equal(tensor, stopped[part][name]) for name, tensor in saved[part].items())


def test_a_stop_while_a_worker_sends_a_batch(workspace, tmp_path):
    """Masks make a batch larger than a pipe holds, so that its worker waits in the middle of it; what a stopped worker
    has begun to send never ends."""
    hooks = [dict(type='Stop', point='after_train_iter', name='TERM', last=True)]
    config = write_stopping_config(tmp_path / 'stop.py', hooks, 'cyclemlp_maskrcnn_digits')
    process = start(workspace, tmp_path / 'work', config)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 130 and 'stopped after iteration 1; saved ' in output, output
    assert 'Traceback' not in output


def test_random_state_goes_through_a_checkpoint(tmp_path):
    import random

    torch.save({'state_dict': {'a': torch.ones(1)}, 'random_state': random_state()}, tmp_path / 'a.pth')
    drawn = random.random(), np.random.rand(), torch.rand(3).tolist()
    set_random_state(read_checkpoint(tmp_path / 'a.pth')['random_state'])
    assert (random.random(), np.random.rand(), torch.rand(3).tolist()) == drawn
