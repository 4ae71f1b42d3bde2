"""The benchmark measures what it says: equal networks, complete files, named regressions. No speed is tested."""

import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import comparison
from benchmarks.__main__ import main
from benchmarks.comparison import LR, Run
from benchmarks.measure import count, peak_memory
from benchmarks.naive import WITHOUT_BOUND, bound, naive
from benchmarks.operators import OPERATORS, operators
from benchmarks.suites import NETWORKS, SUITES, Row
from mlp_backbones.analysis.complexity import complexity
from mlp_backbones.backbones import FAMILIES
from tests.backbones.slim import slim
from tests.conftest import ROOT, run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize('size', [(61, 83), (64, 64)])
@pytest.mark.parametrize('family', FAMILIES)
def test_naive_networks_give_the_same_numbers(family, size):
    net = slim(family).double().eval()
    images = torch.rand(2, 3, *size, dtype=torch.float64)
    for ours, theirs in zip(net(images), naive(net)(images), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize('family', [name for name in FAMILIES if name not in WITHOUT_BOUND])
def test_bounds_have_the_same_shapes_and_gradients_but_other_numbers(family):
    net = slim(family).double()
    for name, parameter in net.named_parameters():
        if name.endswith(('gamma', 'offset_layer.1.weight')):
            torch.nn.init.normal_(parameter)  # these begin near 0
    images = torch.rand(2, 3, 61, 83, dtype=torch.float64)
    ours, still = net(images), bound(net)(images)
    assert [out.shape for out in ours] == [out.shape for out in still]
    mixed = slice(family == 'RaftMLP', None)  # its first output is made before any mixing
    assert not any(torch.allclose(a, b) for a, b in zip(ours[mixed], still[mixed], strict=True))
    still_net = bound(net)
    sum(out.sum() for out in still_net(images)).backward()
    assert all(p.grad is not None for name, p in still_net.named_parameters() if 'offset_layer' not in name)


def test_what_is_counted_stands_for_the_model():
    row = Row('infer', 'fp32', (224, 224), 1)
    models = list(NETWORKS[::3])
    (group,) = SUITES['backbones'].contestants(models, 'cpu')
    for model in models:
        counted = [c for c in group if c.model == model and c.counted]
        params, macs = complexity(model, classifier=False)
        assert [(c.params, count(c.prepare(row, 'meta'))[0]) for c in counted] == [(params, macs)]
    assert {c.model for c in group if c.kind == 'alternative' and c.counted} == {
        *('resnet50', 'swin_tiny', 'poolformer_s24', 'convnext_tiny')
    }


@pytest.mark.parametrize('model', OPERATORS)
def test_operators_give_the_same_numbers_as_the_plain_ones(model):
    names = []
    for name, operator in operators(model):
        names.append(name)
        torch.manual_seed(0)
        inputs = operator.inputs((61, 83), 2, torch.float64, 'cpu')
        outputs = {kind: function(*inputs) for kind, function in operator.versions.items()}
        ours = outputs.pop('ours')
        assert {out.shape for out in outputs.values()} == {ours.shape} == {inputs[0].shape}
        assert ('naive' in outputs) == (model != 'dilated_regions')  # which has no other form
        torch.testing.assert_close(outputs.get('naive', ours), ours)
    assert len(set(names)) == len(names) == (8 if OPERATORS[model][1] else 4)


def test_operators_are_measured_in_turns():
    row = Row('train', 'fp32', (64, 96), 1)
    for group in SUITES['ops'].contestants(list(OPERATORS), 'cpu'):
        kinds = [contestant.kind for contestant in group]
        assert kinds in (['ours', 'naive', 'bound'], ['ours', 'bound'])
        for contestant in group:
            contestant.prepare(row, 'cpu')()


def test_peak_memory_is_exact():
    def step():
        x = torch.empty(1000)
        y = torch.empty(3000)
        del x
        return torch.empty(2000), y

    # The third one finds the second in its place, but the first gone.
    assert peak_memory(step, 'cpu') == 5000 * 4 / 1e6


@pytest.fixture(scope='module')
def result(tmp_path_factory):
    out = tmp_path_factory.mktemp('results') / 'tiny'
    options = '--models hiremlp_tiny --sizes 64x64 --batch-sizes 1 --repeats 2 --min-time 0 --threads 1'
    done = run('-m', 'benchmarks', 'run', '--suite', 'backbones', *options.split(), '--out', out)
    assert done.returncode == 0, done.stdout
    return out.with_name('tiny.json')


def test_a_run_writes_what_a_report_renders(result, run_here):
    content = json.loads(result.read_text())
    assert content['machine']['device'] == 'cpu' and content['machine']['threads'] == 1
    assert content['versions']['torch'] == torch.__version__
    assert content['rates']['fp32']['matmul_gflops'] > 0
    kinds = [(r['model'], r['contestant']) for r in content['results']]
    assert [kind for model, kind in kinds if model == 'hiremlp_tiny' and kind != 'ours_fused'] == [
        *('ours', 'naive', 'bound', 'floor')
    ]
    assert [model for model, kind in kinds if kind == 'alternative'] == [
        *('resnet50', 'swin_tiny', 'poolformer_s24', 'convnext_tiny')
    ]
    ours = content['results'][0]
    assert ours['infer_img_size'] == ours['train_img_size'] == '64x64'
    assert len(ours['infer_step_times']) == 2 and ours['infer_peak_memory'] > 0
    assert ours['train_step_time'] > 0 and ours['train_gmacs'] == pytest.approx(3 * ours['infer_gmacs'], rel=1e-3)
    with result.with_suffix('.csv').open() as stream:
        lines = list(csv.DictReader(stream))
    assert [line['contestant'] for line in lines] == [kind for _, kind in kinds]
    assert float(lines[0]['infer_step_time']) == ours['infer_step_time']

    done = run_here('-m', 'benchmarks', 'report', result)
    assert done.returncode == 0, done.stdout
    table = result.with_suffix('.md').read_text()
    assert table in done.stdout and '| hiremlp_tiny | 64x64 | 1 |' in table
    for mode in ('infer', 'train'):
        assert '<svg' in result.with_name(f'tiny-{mode}-fp32-batch1.svg').read_text()

    elsewhere = result.parent / 'elsewhere'
    elsewhere.mkdir()
    done = run_here('-m', 'benchmarks', 'report', result, '--out', elsewhere)
    assert done.returncode == 0, done.stdout
    for name in ('tiny.md', 'tiny.csv'):
        assert (elsewhere / name).read_bytes() == result.with_name(name).read_bytes()


def test_a_regression_is_named(result, tmp_path, capsys):
    def change(name, edit):
        content = json.loads(result.read_text())
        edit(content)
        path = tmp_path / f'{name}.json'
        path.write_text(json.dumps(content))
        return str(path)

    slow = change('slow', lambda content: content['results'][0].update(train_step_time=1e6))
    assert main(['report', slow, str(result)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('regression: hiremlp_tiny ours, train fp32 64x64 batch 1: ')
    assert main(['report', slow, str(result), '--tolerance', '1e9']) == 0

    other = change('other', lambda content: content['machine'].update(cpu='another'))
    with pytest.raises(SystemExit, match=r'of different machines \(cpu: another and '):
        main(['report', other, str(result)])
    assert main(['report', other, str(result), '--force']) == 0


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        ('run --sizes 64', "'64' is not valid: give height and width in pixels, as in 800x1216"),
        ('run --batch-sizes 0', "'0' is not valid: give a whole number of at least 1"),
        ('run --batch-sizes 1,2,1', "'1,2,1' is not valid: 1 is repeated"),
        ('compare --rates 1e-3,0.001', "'1e-3,0.001' is not valid: 0.001 is repeated"),
        ('compare --seeds a', "'a' is not valid: give a whole number of at least 0"),
        ('compare --seeds=-1', "'-1' is not valid: give a whole number of at least 0"),
        ('compare --seeds 0,0', "'0,0' is not valid: 0 is repeated"),
        ('run --precision fp32,fp8', "'fp8' is not valid: give fp32, bf16, int8, or several with commas"),
        ('run --models cyclmlp_b1', "'cyclmlp_b1', did you mean 'cyclemlp_b1'?"),
        ('run --suite detectors --precision bf16', '--precision bf16: the suite detectors takes only fp32'),
        ('run --out README.md/x', '--out README.md/x: the folder README.md cannot be made'),
        ('report missing.json', 'missing.json cannot be read (No such file or directory)'),
        ('report README.md', 'README.md is not a JSON file'),
        ('report tests/data/asmlp_tiny_cls.json', 'asmlp_tiny_cls.json is not a result'),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as stop:
        main(arguments.split())
    # argparse prints its sentence itself.
    assert sentence in f'{capsys.readouterr().err}{stop.value.code}'


def few_scenes(data: Path) -> list[str]:
    """Options for scenes of the test's own; without them a comparison writes its 4,800."""
    roots = [f'{loader}_dataloader.dataset.data_root={data}' for loader in ('train', 'val', 'test')]
    return ['digit_scenes.train=8', 'digit_scenes.val=2', f'digit_scenes.root={data}', *roots]


def test_a_comparison_goes_on_after_a_kill(tmp_path, capsys, monkeypatch):
    command = [
        *('-m', 'benchmarks', 'compare', '--heads', 'upernet', '--networks', 'asmlp', '--jobs', 1),
        *('--work-dir', tmp_path / 'work', '--out', tmp_path / 'out', '--rates', '1e-3,2e-3', '--seeds', '0,1'),
        *('--cfg-options', *few_scenes(tmp_path / 'data')),
    ]
    first, later = (tmp_path / 'work/upernet_asmlp-matched_digits' / f'lr-{lr}_seed-0' for lr in ('0.001', '0.002'))
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, process_group=0
    )
    while process.poll() is None and not later.exists():
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = (first / 'result.json').read_text()
    assert not (later / 'result.json').exists()

    arguments = [str(argument) for argument in command[2:]]
    monkeypatch.setattr(comparison, 'REPEATS', 2)
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert '3 trainings, 1 at a time' in printed and 'about' not in printed.splitlines()[0], printed
    assert (first / 'result.json').read_text() == kept
    content = json.loads((tmp_path / 'out' / 'digits.json').read_text())
    (average,) = content['averages']
    assert len(content['runs']) == 3 and average['seeds'] == [0, 1] and average['completed']
    used = [r for r in content['runs'] if r['options'][LR] == average['options'][LR]]
    scores = [r['metrics']['mIoU'] for r in used]
    assert average['metrics']['mIoU'] == pytest.approx(statistics.fmean(scores), abs=0.006)
    assert average['spread']['mIoU'] == pytest.approx(statistics.stdev(scores), abs=0.006)
    assert average['cost'].keys() == {'train_ms', 'infer_ms', 'memory_mb'}
    on_disk = json.loads((tmp_path / 'out' / 'upernet_asmlp-matched_digits.json').read_text())
    assert on_disk.items() >= average.items()
    with (tmp_path / 'out' / 'digits.csv').open() as stream:
        (row,) = csv.DictReader(stream)
    assert float(row['mIoU std']) == average['spread']['mIoU'] and row['seeds'] == '2'

    # All is done: the next call only measures again, says how long all would take, and keeps the results of others.
    other = {**average, 'config': 'upernet_gmlp-matched_digits'}
    (tmp_path / 'out' / 'digits.json').write_text(json.dumps({**content, 'averages': [average, other]}))
    assert main(arguments) == 0
    assert '3 trainings, 1 at a time; about' in capsys.readouterr().out
    content = json.loads((tmp_path / 'out' / 'digits.json').read_text())
    assert content['averages'][0] == other and len(content['averages']) == 2 and len(content['runs']) == 3
    assert (first / 'result.json').read_text() == kept
    # A result of another command is none of this one, and that of a resumed training has the minutes of all its parts.
    training = Run('upernet_asmlp-matched_digits', 'mIoU', 1e-3, 0, tuple(command[-6:]), tmp_path / 'work')
    minutes = training.result().cost['train_minutes']
    assert replace(training, options=training.options[1:]).result() is None
    (first / 'a_part_before/vis_data').mkdir(parents=True)
    (first / 'a_part_before/vis_data/scalars.json').write_text('{"loss": 1.5}\n{"minutes": 30, "parameters": 1}\n')
    assert training.result().cost == {'train_minutes': pytest.approx(minutes + 30)}


def test_a_comparison_names_the_log_of_a_training_that_fails(tmp_path):
    command = ('compare', '--heads', 'upernet', '--jobs', '1', '--work-dir', str(tmp_path))
    with pytest.raises(SystemExit, match=r"unknown network 'resnt', did you mean 'resnet'\?"):
        main([*command, '--networks', 'resnt'])
    assert [path.name for path in tmp_path.iterdir()] == []
    command = (*command, '--out', str(tmp_path / 'out'), '--networks', 'resnet')
    with pytest.raises(SystemExit, match=r'terminal\.log$'):
        main([*command, '--cfg-options', 'model.backbone.depth=19', *few_scenes(tmp_path / 'data')])
