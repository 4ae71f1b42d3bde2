"""Result files that the leaderboard accepts, and the faults that it names in others."""

import json
import os

import pytest

from benchmarks.leaderboard.check import read_result, result_faults
from benchmarks.leaderboard.metrics import HEADLINES, METRICS, metric_faults
from mlp_backbones.apis.zoo import load_zoo
from mlp_backbones.errors import UserError
from tests.benchmarks.leaderboard.cases import BOXES, result, write
from tests.conftest import ROOT

ZOO = {row.name: row for row in load_zoo(ROOT)}
SEGMENTOR = dict(config='upernet_cyclemlp-slim_digits')
SPREAD = dict.fromkeys(BOXES, 0.4)


@pytest.mark.parametrize(
    'changes',
    [
        {},
        dict(commit=None, test='multi', options={'optim_wrapper.optimizer.lr': 1e-3}),
        dict(commit='b' * 40 + '-dirty', spread=None, cost=None),
        dict(seeds=[0, 1, 2], spread=SPREAD, cost=dict(train_minutes=6.4, infer_ms=12, train_ms=80.2, memory_mb=120.0)),
        dict(SEGMENTOR, metrics={'mIoU': 80.7, 'mAcc': 88.0, 'aAcc': 97.1}),
        # Nothing learnt is a result, too.
        dict(SEGMENTOR, metrics={'mIoU': 0}),
        dict(config='cyclemlp-b1_300e_in1k', metrics={'Top 1 Accuracy': 78.9, 'Top 5 Accuracy': 94.6}),
    ],
)
def test_good_ones(tmp_path, changes):
    content = result(**changes)
    read = read_result(write(tmp_path / 'result.json', content), ZOO)
    assert read.metrics == content['metrics'] and read.cost == content.get('cost', {})


@pytest.mark.parametrize('field', [key for key in result() if key not in ('format', 'spread', 'cost', 'commit')])
def test_a_missing_field_is_named(field):
    assert result_faults(result(**{field: None}), ZOO) == [f'{field} is missing']


@pytest.mark.parametrize(
    ('changes', 'fact'),
    [
        (dict(format='other 1'), "'mlp_backbones result 1', found 'other 1'"),
        (dict(metric={}), "unknown field 'metric', did you mean 'metrics'? There are: config, "),
        (dict(config='mask-rcnn_cyclemlp-slim_digit'), 'did you mean mask-rcnn_cyclemlp-slim_digits, '),
        (dict(config='../x'), "unknown config '../x'. `python -m mlp_backbones zoo` lists them all"),
        (dict(config=7), 'config must be text of 1 to 2000 characters, found 7'),
        (dict(config_hash='abc'), "config_hash must be 64 hexadecimal digits, found 'abc'"),
        (dict(completed=False), 'completed is false'),
        (dict(completed=1), 'completed must be true or false, found 1'),
        (dict(test='tta'), "test must be 'single' or 'multi' (several scales with flips), found 'tta'"),
        (dict(commit='main'), 'commit must be 40 hexadecimal digits'),
        (dict(date='21.11.2026'), "date must be a date as 2026-11-21, found '21.11.2026'"),
        (dict(date='2026-02-30'), 'date must be a date as 2026-11-21'),
        (dict(seeds=[]), 'seeds must be a list of different whole numbers from 0 to 4294967295, found []'),
        (dict(seeds=[1, 1]), 'seeds must be a list of different whole numbers from 0 to 4294967295, found [1, 1]'),
        (dict(seeds=[2**32]), 'seeds must be a list of different whole numbers from 0 to 4294967295'),
        (dict(threads=0), 'threads must be a whole number above 0, found 0'),
        (dict(machine={'gpu': 'H100'}), 'machine: cpu is missing'),
        (dict(machine='EPYC'), "machine must be an object, found 'EPYC'"),
        (dict(versions={'torch': 2}), 'versions: torch must be a single value, found 2'),
        (dict(versions={}), 'versions: torch is missing'),
        (dict(options={'a b': 1}), 'options must be an object of options by dotted key'),
        (dict(command='x' * 3000), 'command must be text of 1 to 2000 characters'),
        (dict(cost={'infer_s': 1}), "cost: unknown cost 'infer_s', did you mean 'infer_ms'?"),
        (dict(cost={'infer_ms': 0}), 'cost: infer_ms must be above 0 and at most 600000 (ms), found 0'),
        (dict(cost={'memory_mb': 120e6}), 'cost: memory_mb must be above 0 and at most 2000000 (mb)'),
        # Metrics.
        (dict(metrics={}), 'metrics must be an object of numbers by name, found {}'),
        (dict(metrics=dict(BOXES, **{'box AP': '71'})), "metrics: box AP must be a number, found '71'"),
        (dict(metrics=dict(BOXES, **{'box AP': True})), 'metrics: box AP must be a number, found True'),
        (dict(metrics=dict(BOXES, **{'bbox AP': 1})), "metrics: unknown metric 'bbox AP', did you mean 'box AP'?"),
        (dict(metrics=dict(BOXES, mIoU=50)), 'metrics: mIoU does not belong to Mask R-CNN, whose metrics are box AP, '),
        (dict(metrics={'box AP': 71}), 'metrics: mask AP is missing'),
        (dict(metrics=dict(BOXES, **{'box AP': 0.7125})), 'metrics: box AP is 0.7125: it is in percent, so 71.25 if'),
        (
            dict(metrics={name: value / 100 for name, value in BOXES.items()}),
            'metrics: box AP is 0.7125: it is in percent, so 71.25 if',
        ),
        (
            dict(metrics={name: value / (100 if 'box' in name else 1) for name, value in BOXES.items()}),
            'metrics: box AP is 0.7125: it is in percent, so 71.25 if',
        ),
        (dict(metrics=dict(BOXES, **{'box AP': 7125})), 'metrics: box AP is 7125: a percentage is from 0 to 100'),
        (dict(metrics=dict(BOXES, **{'box AP': -1})), 'metrics: box AP is -1: a percentage is from 0 to 100'),
        (dict(metrics=dict(BOXES, **{'box AP': 97})), 'metrics: box AP (97) is above box AP50 (96)'),
        (dict(metrics=dict(BOXES, **{'box AP75': 97})), 'metrics: box AP75 (97) is above box AP50 (96)'),
        (dict(metrics={'box AP': 30, 'box AP50': 40, 'mask AP': 41}), 'metrics: mask AP (41) is above box AP50 (40)'),
        # 7.1 for 71, or 0.071 for 0.71: AP50 gives it away.
        (
            dict(metrics=dict(BOXES, **{'box AP': 7.125})),
            'metrics: box AP is 7.125, but beside AP50 96 and AP75 81 it is from 50.1 to 88.5',
        ),
        (dict(SEGMENTOR, metrics={'mIoU': 80, 'mAcc': 79}), 'metrics: mIoU (80) is above mAcc (79)'),
        (dict(SEGMENTOR, metrics={'mAcc': 79}), 'metrics: mIoU is missing'),
        (
            dict(SEGMENTOR, metrics={'mIoU (ms+flip)': 79}),
            "metrics: unknown metric 'mIoU (ms+flip)'. There are: mIoU, mAcc, aAcc",
        ),
        (
            dict(config='cyclemlp-b1_300e_in1k', metrics={'Top 1 Accuracy': 90, 'Top 5 Accuracy': 80}),
            'metrics: Top 1 Accuracy (90) is above Top 5 Accuracy (80)',
        ),
        # Spread.
        (dict(spread=SPREAD), 'spread: one seed (0) has none; list all seeds, or leave spread out'),
        (dict(seeds=[0, 1], spread={'box AP': 0.4}), 'spread: box AP50 is missing, with 2 seeds'),
        (dict(seeds=[0, 1], spread=dict(SPREAD, mIoU=1)), 'spread: mIoU is not in metrics'),
        (dict(seeds=[0, 1], spread=dict(SPREAD, **{'box AP': -1})), 'spread: box AP must be from 0 to 75, in percent'),
    ],
)
def test_faults_are_named(changes, fact):
    found = result_faults(result(**changes), ZOO)
    assert any(fact in fault for fault in found), found
    assert all('\n' not in fault and len(fault) < 700 for fault in found)


@pytest.mark.parametrize(
    ('text', 'fact'),
    [
        ('{', 'JSON: Expecting property name'),
        ('[]', "'mlp_backbones result 1', found 'list'"),
        ('{"seeds": [0], "seeds": [1]}', "'seeds'"),
        ('{"metrics": {"box AP": NaN}}', 'NaN'),
        ('{"metrics": {"box AP": -Infinity}}', '-Infinity'),
        ('{"threads": ' + '9' * 5000 + '}', 'JSON: Exceeds the limit'),
        ('[' * 50_000, 'brackets'),
        (json.dumps(result(options={'a': json.loads('[' * 30 + ']' * 30)})), 'brackets'),
        (json.dumps(result(command='\ud800')), r'\ud800 is half of a character'),
        (json.dumps({'\udfff': 1}), r'\udfff is half of a character'),
        (' ' * 100_001, '100001 bytes; a result file has at most 100000'),
        (b'\xff\xfe', 'UTF-8 text (byte 0)'),
        (json.dumps(result()).replace('71.25', '1e999'), 'metrics: box AP must be a number, found inf'),
    ],
)
def test_files_that_hold_something_else(tmp_path, text, fact):
    path = tmp_path / 'result.json'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as refused:
        read_result(path, ZOO)
    assert fact in str(refused.value) and str(refused.value).startswith(f'{path}: ')
    assert '\n' not in str(refused.value)


def test_faults_of_strangers_are_few_and_fit_to_print(tmp_path):
    names = {f'\x1b[31m{i}' + 'x' * 40: 1 for i in range(1000)}
    with pytest.raises(UserError) as refused:
        read_result(write(tmp_path / 'result\x1b[2J.json', result(**names)), ZOO)
    lines = str(refused.value).splitlines()
    assert len(lines) < 100 and lines[-1].endswith('and 950 more faults') and '\x1b' not in str(refused.value)


@pytest.mark.parametrize('kind', ['fifo', 'device'])
def test_what_has_no_end_is_not_read(tmp_path, kind):
    path = tmp_path / 'result.json'
    os.mkfifo(path) if kind == 'fifo' else path.symlink_to('/dev/zero')
    with pytest.raises(UserError, match=f'{path}: it is a device, FIFO or socket'):
        read_result(path, ZOO)


def test_files_that_cannot_be_read(tmp_path):
    for path, why in ((tmp_path / 'none.json', 'No such file'), (tmp_path, 'Is a directory')):
        with pytest.raises(UserError, match=f'^{path}: cannot be read: {why}'):
            read_result(path, ZOO)


def test_every_head_of_the_zoo_has_metrics_and_no_reported_result_is_impossible():
    for row in ZOO.values():
        assert METRICS[row.head][0] in HEADLINES
    for row in load_zoo(ROOT):
        metrics = {name.removesuffix(' (ms+flip)'): value for name, value in row.metrics.items()}
        assert metric_faults(row.head, metrics) == []
    assert metric_faults('FCN', {})[0].startswith("unknown head 'FCN'")
