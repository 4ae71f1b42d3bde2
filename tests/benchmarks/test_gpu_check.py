"""The check of a GPU lists its steps, goes on after a failure, and reports all of them."""

import torch

from benchmarks.gpu_check import ROOT, Step, main, precisions, report, run, steps


def test_without_a_gpu_the_steps_are_listed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    assert main(['--out', str(tmp_path / 'out')]) == 0
    listed = capsys.readouterr().out
    todo = steps(tmp_path / 'out', 2)
    for step in todo[:-1]:
        assert f'- {step.name}: ' in listed
        # Files that a step names are there.
        assert all((ROOT / part).exists() for part in step.command if part.startswith(('tests/', 'tools/', 'configs/')))
    assert not (tmp_path / 'out').exists()


def test_a_failed_step_stops_no_other(tmp_path):
    todo = [Step('first one', ('-c', 'print("seen"); exit(3)')), Step('second', ('-c', 'print(6 * 7)'))]
    done = run(todo, tmp_path)
    assert [status for _, status, _ in done] == [3, 0]
    text = report(done, tmp_path, 'cpu')
    assert '| first one | failed (3) |' in text and '| second | passed |' in text
    assert 'seen' in text and '\n42\n' in text and text == (tmp_path / 'report.md').read_text()


def test_precisions_are_compared_with_float64(monkeypatch):
    monkeypatch.setattr('benchmarks.gpu_check.BOUNDS', {'fp32': 1e-4, 'bf16 autocast': 1e-1, 'channels_last': 1e-12})
    monkeypatch.setattr('benchmarks.gpu_check.SIZE', (40, 56))
    found = list(precisions('cpu', ['ConvMLP']))
    assert [(name, fits) for _, name, _, fits in found] == [
        *(('fp32', True), ('bf16 autocast', True), ('channels_last', False))
    ]
    assert found[0][2] < found[1][2]
