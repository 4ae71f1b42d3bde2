"""Several real processes on the CPU: one loss curve, one word when one of them dies, and a checkpoint to go on from."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from mlp_backbones.checkpoints import read_checkpoint
from tests.conftest import ROOT, default_signals, run

pytestmark = pytest.mark.slow

TOOLS = ROOT / 'tools'
# Losses that are a plain mean over all pixels (with weights of classes they would be a mean within each process), and
# whole scenes, since each process draws crops of its own.
CONFIG = f"""
_base_ = '{ROOT}/configs/cyclemlp_upernet_digits.py'
custom_imports = dict(imports=['tests.engine.hooks.stopping'], allow_failed_imports=False)
custom_hooks = [dict(type='LossRecorder')]
plain = dict(class_weight=None)
model = dict(
    decode_head=dict(loss_decode=plain),
    auxiliary_head=[
        dict(head, loss_decode=dict(head['loss_decode'], **plain)) for head in _base_.model.auxiliary_head
    ],
)
digit_scenes = dict(root='data/few', train=24, val=4)
whole = [step for step in _base_.train_dataloader.dataset.pipeline if step['type'] != 'RandomCrop']
train_dataloader = dict(batch_size=4, dataset=dict(data_root='data/few', pipeline=whole))
val_dataloader = dict(dataset=dict(data_root='data/few'))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=3, val_interval=3)
default_hooks = dict(logger=dict(interval=1))
optim_wrapper = dict(optimizer=dict(lr=1.2e-3, betas=(0.9, 0.98)), clip_grad=None)
"""
PAGE = ROOT / 'docs' / 'distributed.md'
# The commands of the page; the tests run them with the config above in place of cyclemlp_upernet_digits.
HALF = '--cfg-options train_dataloader.batch_size=6'
SINGLE = 'python tools/train.py cyclemlp_upernet_digits --work-dir single'
TWO = f'tools/dist_train.sh cyclemlp_upernet_digits 2 --work-dir two {HALF}'
RESUME = f'tools/dist_train.sh cyclemlp_upernet_digits 2 --work-dir two --resume {HALF}'
TEST = 'tools/dist_test.sh cyclemlp_upernet_digits two/epoch_5.pth 2'
FSDP = f'tools/dist_train.sh fsdp.py 2 --work-dir fsdp {HALF}'


def few(command: str) -> str:
    return command.replace('cyclemlp_upernet_digits', 'few.py').replace('batch_size=6', 'batch_size=2')


def start(command: str, cwd: Path) -> subprocess.Popen:
    script, *arguments = shlex.split(few(command).removeprefix('python '))
    return subprocess.Popen(
        [*([sys.executable] if script.endswith('.py') else []), ROOT / script, *arguments],
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1', 'PYTHON': sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=default_signals,
    )


def finish(process: subprocess.Popen, returncode: int = 0) -> str:
    output = process.communicate(timeout=300)[0]
    assert process.returncode == returncode, output
    return output


def wait_for(process: subprocess.Popen, words: str) -> str:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return ''.join(lines)
    raise AssertionError(f'{words!r} never came: {"".join(lines)}')


def records(work_dir: Path, rank: int) -> np.ndarray:
    """``[iterations, 3]``: iteration, loss, random number; what a resumed run did again counts."""
    lines = (json.loads(line) for line in (work_dir / f'losses_{rank}.jsonl').read_text().splitlines())
    return np.array([record for _, record in sorted({line[0]: line for line in lines}.items())])


def curve(work_dir: Path) -> np.ndarray:
    """The loss of the whole batch, of which each of the two processes saw a half."""
    return np.mean([records(work_dir, rank)[:, 1] for rank in (0, 1)], 0)


def metrics(paths: Iterable[Path]) -> list[float]:
    """The last that were logged."""
    lines = (json.loads(line) for path in paths for line in path.read_text().splitlines())
    return [[line[name] for name in ('aAcc', 'mIoU', 'mAcc')] for line in lines if 'mIoU' in line][-1]


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """A single process's training in ``single``, and that of two with half the batch each in ``two``."""
    folder = tmp_path_factory.mktemp('distributed')
    (folder / 'data').mkdir()
    (folder / 'few.py').write_text(CONFIG)
    done = run(TOOLS / 'train.py', *few(SINGLE).split()[2:], cwd=folder)
    assert done.returncode == 0, done.stdout
    (folder / 'two.log').write_text(finish(start(TWO, folder)))
    return folder


def test_two_processes_have_the_loss_curve_of_one(folder):
    single = records(folder / 'single', 0)[:, 1]
    assert len(single) == 18 and single[-1] < 0.8 * single[0]
    # Measured: 4e-7 over 32 iterations.
    np.testing.assert_allclose(curve(folder / 'two'), single, rtol=1e-5)
    # Either process alone is far from it.
    halves = [records(folder / 'two', rank)[:, 1] for rank in (0, 1)]
    assert np.abs(halves[0] / halves[1] - 1).max() > 0.05
    ends = [torch.load(folder / run / 'epoch_3.pth', weights_only=False)['state_dict'] for run in ('single', 'two')]
    for name, weights in ends[0].items():
        torch.testing.assert_close(ends[1][name], weights, rtol=1e-3, atol=1e-4)


def test_processes_draw_random_numbers_of_their_own_where_the_config_says_so(folder):
    """As the recipes do: apart in all iterations of all epochs."""
    same = [records(folder / 'two', rank)[:, 2] for rank in (0, 1)]
    # Each epoch begins alike; after that the recorder draws more in one process.
    assert (same[0][::6] == same[1][::6]).all()
    options = f'{HALF} train_cfg.val_interval=9 randomness.diff_rank_seed=True'
    finish(start(TWO.replace('--work-dir two', '--work-dir apart').replace(HALF, options), folder))
    apart = np.concatenate([records(folder / 'apart', rank)[:, 2] for rank in (0, 1)])
    # mmengine adds the rank to the seed, and the loop begins each epoch anew: no number may come twice.
    assert len({*apart}) == len(apart) == 2 * len(same[0])


def test_gloo_takes_the_place_of_nccl_and_says_so_once(folder):
    output = (folder / 'two.log').read_text()
    assert output.count('torch sees no GPU: 2 processes on CPUs') == 1
    assert "backend='gloo'" in next((folder / 'two').glob('*/vis_data/config.py')).read_text()


def test_testing_in_two_processes_gives_the_metrics_of_the_training(folder):
    command = TEST.replace('epoch_5', 'epoch_3') + ' --work-dir tested --cfg-options test_dataloader.batch_size=1'
    finish(start(command, folder))
    validated, tested = (folder.glob(f'{name}/*/**/*.json') for name in ('two', 'tested'))
    assert metrics(tested) == metrics(validated)


def test_a_stopped_job_goes_on_after_a_death_and_in_other_numbers_of_processes(folder):
    """Two processes are stopped in the first epoch; one of two dies in the second; one goes on alone, and is stopped in
    the third; two end it."""
    (folder / 'dies.py').write_text(
        "_base_ = 'few.py'\ncustom_hooks = [*_base_.custom_hooks, dict(type='Die', rank=1, iteration=10)]\n"
    )
    broken = folder / 'broken'
    alone, resumed = (
        re.sub('--work-dir [a-z]+', '--work-dir broken', command).replace('cyclemlp_upernet_digits', 'dies.py')
        for command in (SINGLE, RESUME)
    )
    job = start(resumed.replace('--resume ', ''), folder)
    output = wait_for(job, 'Epoch(train) [1][2/6]')
    job.send_signal(signal.SIGTERM)
    output += finish(job, 1)
    assert output.count('go on with the same command and --resume') == 1
    checkpoint = read_checkpoint(broken / 'interrupted.pth')
    assert 2 <= checkpoint['meta']['iter'] < 9 and len(checkpoint['processes']) == 2

    output = finish(start(resumed, folder), 1)
    error = next(line for line in output.splitlines() if line.startswith('error: '))
    assert 'another process of this job is gone' in error and ' by peer' in error
    assert f'{broken}/interrupted.pth: go on with the same command and --resume' in error
    assert 'Signal 9 (SIGKILL) received by PID' in output
    assert 'in train_step' not in output  # no traceback of our own
    checkpoint = read_checkpoint(broken / 'interrupted.pth')
    assert checkpoint['meta']['iter'] == 9
    # Those of the survivor, which its backward pass left behind.
    assert [process['gradients'] for process in checkpoint['processes']] == [[[]]]
    # To the bit, random numbers included, until then.
    for rank in (0, 1):
        np.testing.assert_array_equal(records(broken, rank), records(folder / 'two', rank)[:9])

    job = start(f'{alone} --resume', folder)
    output = wait_for(job, 'Epoch(train) [3][2/6]')
    job.send_signal(signal.SIGTERM)
    output += finish(job, 130)
    assert output.count('2 processes trained before, and 1 do now') == 1
    checkpoint = read_checkpoint(broken / 'interrupted.pth')
    assert 14 <= checkpoint['meta']['iter'] < 18 and len(checkpoint['processes']) == 1

    refused = finish(start(resumed.replace('batch_size=6', 'batch_size=3'), folder), 1)
    assert 'resume with train_dataloader.batch_size=2' in refused
    finish(start(resumed, folder))
    curves = [{int(n): loss for n, loss, _ in records(broken, rank)} for rank in (0, 1)]
    found = [np.mean([curve[n] for curve in curves if n in curve]) for n in range(1, 19)]
    assert len(curves[0]) == 18 > len(curves[1]) >= 9
    np.testing.assert_allclose(found, records(folder / 'single', 0)[:, 1], rtol=1e-5)
    ends = [torch.load(folder / run / 'epoch_3.pth', weights_only=False) for run in ('single', 'broken')]
    assert ends[0]['param_schedulers'] and ends[1]['param_schedulers'] == ends[0]['param_schedulers']
    assert ends[1]['meta']['iter'] == 18 and ends[1]['meta']['epoch'] == 3
    for name, weights in ends[0]['state_dict'].items():
        torch.testing.assert_close(ends[1]['state_dict'][name], weights, rtol=1e-3, atol=1e-4)
    for number, state in ends[0]['optimizer']['state'].items():
        torch.testing.assert_close(ends[1]['optimizer']['state'][number], state, rtol=1e-3, atol=1e-5)


@pytest.mark.newer  # torch 2.1 has FSDP only for GPUs
def test_fsdp_has_the_loss_curve_of_one_process(folder):
    config = re.search(r'```python\n# fsdp\.py\n(.*?)```', PAGE.read_text(), re.DOTALL)[1]
    base = 'configs/cyclemlp_upernet_digits.py'
    assert base in config
    (folder / 'fsdp.py').write_text(config.replace(base, 'few.py'))
    finish(start(FSDP, folder))
    np.testing.assert_allclose(curve(folder / 'fsdp'), records(folder / 'single', 0)[:, 1], rtol=1e-5)
    ends = [torch.load(folder / run / 'epoch_3.pth', weights_only=False)['state_dict'] for run in ('single', 'fsdp')]
    for name, weights in ends[0].items():
        torch.testing.assert_close(ends[1][name], weights, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ('script', 'arguments'),
    [
        ('dist_train.sh', ['few.py']),
        ('dist_train.sh', ['few.py', '--resume']),
        ('dist_test.sh', ['few.py', '2']),
        ('dist_test.sh', ['few.py', 'x.pth', '0']),
        ('slurm_train.sh', ['gpu', 'job']),
    ],
)
def test_wrong_arguments_are_one_sentence(script, arguments, tmp_path):
    output = finish(start(f'tools/{script} {" ".join(arguments)}', tmp_path), 2)
    assert output.startswith(f'error: expected {TOOLS / script} ') and output.count('\n') == 1
    assert ' '.join(arguments) in output


def test_what_slurm_is_asked_for(tmp_path, monkeypatch):
    # There is no slurm here: this one prints what it was given.
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    for name, value in dict(GPUS='16', CPUS_PER_TASK='4', SRUN_ARGS='--time 1:00 --exclusive').items():
        monkeypatch.setenv(name, value)
    output = finish(start("tools/slurm_train.sh gpu 'a job' x.py --work-dir w", tmp_path)).splitlines()
    assert output == [
        *('--partition', 'gpu', '--job-name', 'a job', '--gres', 'gpu:8', '--ntasks', '16', '--ntasks-per-node', '8'),
        *('--cpus-per-task', '4', '--kill-on-bad-exit=1', '--time', '1:00', '--exclusive'),
        *(sys.executable, '-u', str(TOOLS / 'train.py'), 'x.py', '--work-dir', 'w', '--launcher', 'slurm'),
    ]
    monkeypatch.setenv('GPUS', 'many')
    assert 'got: gpu job x.py, and many 8 4' in finish(start('tools/slurm_train.sh gpu job x.py', tmp_path), 2)


def test_slurm_without_gpus_is_refused(tmp_path, run_here):
    (tmp_path / 'few.py').write_text(CONFIG)
    done = run_here(TOOLS / 'train.py', 'few.py', '--launcher', 'slurm', '--work-dir', 'slurm', cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith('error: --launcher slurm needs GPUs, and torch sees none')


def test_every_command_of_the_page_is_run_above_or_marked():
    lines = [
        line for block in re.findall(r'```bash\n(.*?)```', PAGE.read_text(), re.DOTALL) for line in block.splitlines()
    ]
    commands = [line.split('#')[0].strip() for line in lines if '# needs ' not in line]
    assert set(commands) == {SINGLE, TWO, RESUME, TEST, FSDP}
    assert any('# needs slurm' in line for line in lines) and any('# needs GPUs' in line for line in lines)
