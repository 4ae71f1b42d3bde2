"""The suite of engines measures equal networks, and its tables and the check of ratios name what changed."""

import json
import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.__main__ import main
from benchmarks.check import check
from benchmarks.engine_tables import fastest, grouped
from tests.conftest import ROOT


def record(engine, precision, time, error, **more):
    key = dict(model='a', contestant=engine, precision=precision, infer_img_size='8x8', infer_batch_size=1)
    return dict(key, infer_step_time=time, output_error=error, **more)


def test_the_fastest_engine_is_named_with_its_error():
    rows = [record('eager', 'fp32', 3.0, 0.0), record('openvino', 'fp32', 1.0, 0.5)]  # not exact: does not count
    rows += [record('compiled', 'fp32', 2.0, 1e-6), record('onnxruntime', 'int8', 0.5, 0.02, open_sizes=False)]
    cells = fastest(dict(results=rows)).splitlines()[-1].strip('| ').split(' | ')
    assert cells == ['a', '8x8', '1', '3.0', 'compiled', '2.0', 'onnxruntime int8', '0.5*', '2e-02']


@pytest.mark.parametrize(('now', 'status'), [(0.5, 0), (0.57, 0), (0.58, 1), (0.3, 0)])
def test_a_ratio_beyond_the_tolerance_fails(now, status, tmp_path, capsys):
    path = tmp_path / 'check.json'
    assert check(True, path, lambda: {'a': 0.5, 'b': 2.0}) == 0
    asked = []

    def measure(names=None):
        asked.append(names)
        return {'a': now, 'b': 2.0}

    assert check(False, path, measure) == status
    # What seems slower is measured again before it fails.
    assert asked == ([None, {'a'}] if status else [None])
    assert ('slower: a: 0.58, committed 0.50' in capsys.readouterr().out) == bool(status)


def test_a_second_measurement_excuses_a_ratio(tmp_path):
    path = tmp_path / 'check.json'
    check(True, path, lambda: {'a': 0.5})
    assert check(False, path, lambda names=None: {'a': 0.5 if names else 0.9}) == 0


@pytest.mark.slow
def test_engines_give_the_numbers_of_the_eager_network(tmp_path):
    options = '--models convmlp_s --sizes 64x64 --repeats 2 --min-time 0 --threads 1'
    options += ' --engines eager,fused,onnxruntime --precision fp32,int8'
    assert main(['run', '--suite', 'engines', *options.split(), '--out', str(tmp_path / 'a')]) == 0
    content = json.loads((tmp_path / 'a.json').read_text())
    (rows,) = grouped(content).values()
    assert not content['left_out'] and list(rows) == [
        *(('eager', 'fp32'), ('fused', 'fp32'), ('onnxruntime', 'fp32'), ('onnxruntime', 'int8')),
    ]
    for (_, precision), row in rows.items():
        assert len(row['infer_step_times']) == 2 and min(row['infer_step_times']) > 0
        low, high = dict(fp32=(0, 1e-4), int8=(1e-3, 0.3))[precision]
        assert low <= row['output_error'] < high
    assert main(['report', str(tmp_path / 'a.json')]) == 0
    assert fastest(content) == (tmp_path / 'a-fastest.md').read_text()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere who kills the suite has to end its stopped processes')
def test_a_killed_suite_leaves_no_stopped_process():
    script = """
from benchmarks.engines import Worker
if __name__ == '__main__':
    worker = Worker('eager')
    worker.send('prepare', [])
    worker.receive()
    print(worker.process.pid, flush=True)
    worker.process.join()
"""
    with subprocess.Popen([sys.executable, '-c', script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()

    def has_ended():
        try:
            return worker.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    end = time.monotonic() + 30
    while not has_ended() and time.monotonic() < end:
        time.sleep(0.1)
    assert has_ended()
