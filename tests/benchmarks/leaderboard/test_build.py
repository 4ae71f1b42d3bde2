"""What the leaderboard holds: rankings of what can be compared, from metafiles, result files and benchmarks."""

import csv
import json
import os
import re
import shutil

import pytest
from markdown_it import MarkdownIt

from benchmarks.leaderboard import command
from benchmarks.leaderboard.collect import collect, result_files
from benchmarks.leaderboard.command import write
from benchmarks.leaderboard.tables import rank
from mlp_backbones.apis import load_config
from mlp_backbones.engine.hooks.result import Result
from mlp_backbones.errors import UserError
from tests.benchmarks.leaderboard import cases
from tests.benchmarks.leaderboard.cases import BOXES, repository, result, zoo
from tests.conftest import ROOT

LATENCY = 'backbone latency (ms; Some CPU, 2 threads, 800x1216)'
FILES = ('index.html', 'leaderboard.csv', 'leaderboard.json', 'leaderboard.md')


def ranked(root, work_dirs=()):
    """Names with ranks, by what parts rankings."""
    found = {}
    for ranking in rank(collect(root, work_dirs)[0]):
        key = (ranking.schedule, ranking.state, ranking.test, ranking.options)
        assert key not in found
        found[key] = [(entry.row.name, place) for entry, place in zip(ranking.entries, ranking.ranks, strict=True)]
    return found


def test_what_must_not_be_compared_is_never_in_one_ranking(tmp_path):
    better = dict(BOXES, **{'box AP': 71.5})
    three = dict(seeds=[0, 1, 2], spread=dict.fromkeys(BOXES, 0.4))
    root = repository(
        tmp_path,
        zoo(),
        one=result(cost={'infer_ms': 12.5}),
        three=result(**three, metrics=dict(BOXES, **{'box AP': 70.5})),
        other=result(config='mask-rcnn_hiremlp-slim_digits', metrics=dict(BOXES, **{'box AP': 72.0})),
        # Its rate is tuned for each model, its length is not.
        tuned=result(
            config='mask-rcnn_hiremlp-slim_digits', options={'optim_wrapper.optimizer.lr': 1e-3}, metrics=better
        ),
        longer=result(config='mask-rcnn_hiremlp-slim_digits', options={'train_cfg.max_epochs': 12}),
        scales=result(test='multi'),
    )
    cycle, hire = 'mask-rcnn_cyclemlp-slim_digits', 'mask-rcnn_hiremlp-slim_digits'
    assert ranked(root) == {
        # A config has one rank; without the metric it has none.
        ('1x', 'reported', 'single', ''): [
            ('cyclemlp_b2-m', 1),
            ('hiremlp_small-m', 2),
            ('cyclemlp_b2-m', None),
            ('cyclemlp_b1-m', 3),
            ('hiremlp_base-m', None),
        ],
        ('3x', 'reported', 'single', ''): [('hiremlp_small-3x', 1)],
        ('160k', 'reported', 'multi', ''): [('asmlp_tiny-u', 1)],
        ('160k', 'reported', 'single', ''): [('asmlp_base-u', 1)],
        # Over the most seeds, even if one seed was luckier.
        ('4 epochs', 'trained here', 'single', ''): [(cycle, None), (hire, 1), (hire, None), (cycle, None), (cycle, 2)],
        ('4 epochs', 'trained here', 'multi', ''): [(cycle, 1)],
        ('4 epochs', 'trained here', 'single', 'train_cfg.max_epochs=12'): [(hire, 1)],
    }
    entries = collect(root)[0]
    one = next(entry for entry in entries if entry.file == 'benchmarks/leaderboard/results/one.json')
    assert {measure.name: value for measure, value in one.measured.items()} == {
        'inference step (ms; Some CPU, 2 threads)': 12.5
    }
    # A config with a result file waits for none.
    assert [entry.row.name for entry in entries if not entry.row.metrics] == ['hiremlp_tiny-m']


def test_counting_sizes_and_ways_of_training_part_rankings_too(tmp_path):
    models = zoo()[:2]
    models[1]['Metadata']['Input Size'] = [640, 640]
    assert len(rank(collect(repository(tmp_path, models))[0])) == 2
    models[1]['Metadata'].update({'Input Size': [800, 1280], 'Scales': 'multi'})
    assert len(rank(collect(repository(tmp_path, models))[0])) == 2
    models[1]['Metadata']['Scales'] = 'single'
    assert len(rank(collect(repository(tmp_path, models))[0])) == 1


def test_equal_results_share_a_rank(tmp_path):
    models = zoo()[:3]
    models[1]['Results'] = models[2]['Results']
    (ranking,) = rank(collect(repository(tmp_path, models))[0])
    assert ranking.ranks == (1, 1, 3)


def test_files_say_the_same(tmp_path):
    spread = dict(seeds=[0, 1], spread=dict.fromkeys(BOXES, 0.4), cost={'infer_ms': 12.5})
    root = repository(tmp_path, zoo(), mine=result(**spread, commit=None))
    out = root / 'docs/board'
    assert [path.name for path in write(root, out, [])] == [
        'leaderboard.csv',
        'leaderboard.json',
        'leaderboard.md',
        'index.html',
    ]
    before = {name: (out / name).read_bytes() for name in FILES}
    write(root, out, [])
    assert {name: (out / name).read_bytes() for name in FILES} == before

    rows = list(csv.DictReader((out / 'leaderboard.csv').open()))
    by_name = {row['name']: row for row in rows}
    # The fused form, at the size of the data set, in fp32, batch 1, from the run that measured most.
    assert by_name['cyclemlp_b1-m'][LATENCY] == '470.0' and by_name['hiremlp_small-m'][LATENCY] == '620.0'
    assert by_name['hiremlp_tiny-m'][LATENCY] == by_name['hiremlp_tiny-m']['rank'] == ''
    assert by_name['hiremlp_tiny-m']['state'] == 'no published result' and by_name['asmlp_tiny-u']['mIoU'] == '46.5'
    mine = next(row for row in rows if row['file'])
    assert (mine['box AP'], mine['box AP std'], mine['seeds'], mine['rank']) == ('71.25', '0.4', '0 1', '1')
    assert mine['inference step (ms; Some CPU, 2 threads)'] == '12.5'

    content = json.loads((out / 'leaderboard.json').read_text())
    listed = [entry for ranking in content['rankings'] for entry in ranking['results']]
    assert [entry['name'] for entry in listed + content['without a result']] == [row['name'] for row in rows]
    found = next(entry for entry in listed if 'file' in entry)
    assert found['command'] == result()['command'] and found['spread']['box AP'] == 0.4 and found['commit'] is None

    page = (out / 'leaderboard.md').read_text()
    assert '## Mask R-CNN on COCO, 3x: reported, training at one scale, testing at one scale, MACs at' in page
    assert (
        '| 1 | [cyclemlp_b2-m](../../configs/cyclemlp_b2-m.py) | 42.1 |  | 46.0 | 250 |  | svip-lab/Other README |'
        in page
    )
    assert '71.25 ± 0.40' in page


def test_texts_of_strangers_stay_text(tmp_path):
    evil = '</script><script>planted()</script>|<img src=x onerror=planted()>\u2028'
    models = zoo()[:2]
    models[0]['Results'][0]['Source'] = evil
    models[1]['Weights'] = 'javascript:planted()'
    mine = result(config='cyclemlp_b2-m', command=evil, metrics={'box AP': 40, 'mask AP': 39}, options={'a.lr': evil})
    root = repository(tmp_path, models, mine=mine)
    write(root, root / 'docs/board', [])
    page = (root / 'docs/board/index.html').read_text()
    assert page.count('<script') == 2 and '<img' not in page and 'javascript:' not in page
    data = page[page.index('<script type="application/json"') :].partition('>')[2].partition('</script>')[0]
    assert not set('<>&\u2028') & set(data) and json.loads(data)['sections'][0]['rows'][0]['values']
    markdown = (root / 'docs/board/leaderboard.md').read_text()
    assert '<script' not in markdown and r'&lt;/script>\|&lt;img' in markdown


def test_headings_and_cells_of_markdown_hold_text_only(tmp_path):
    evil = '<img src=x>\n# [a](javascript:b)|`c`'
    mine = result(config='cyclemlp_b2-m', metrics={'box AP': 40, 'mask AP': 39}, options={'a.b': evil})
    root = repository(tmp_path, zoo()[:2], mine=mine)
    write(root, root / 'docs/board', [])
    page = (
        MarkdownIt('commonmark', dict(html=True))
        .enable('table')
        .parse((root / 'docs/board/leaderboard.md').read_text())
    )
    tokens = [child for token in page for child in [token, *(token.children or [])]]
    assert not [token for token in tokens if token.type in ('html_block', 'html_inline', 'image')]
    assert not [token for token in tokens if 'javascript' in str(token.attrs) or token.content == 'c']
    heading = next(token for token in tokens if token.type == 'inline' and 'with a.b=' in token.content)
    assert '<img src=x> # [a](javascript:b)|`c`' in ''.join(child.content for child in heading.children)


def test_many_seeds_have_a_name_that_a_file_can_have():
    content = result(seeds=list(range(4_000_000_000, 4_000_000_100)))
    names = [command.file_name(Result(**{k: v for k, v in r.items() if k != 'format'})) for r in (content, result())]
    assert len(names[0]) < 200 and '-100seeds_' in names[0] and '-seed0-' in names[1]


def test_files_of_the_page_are_whole_and_no_device_is_replaced(tmp_path):
    root = repository(tmp_path, [])
    (tmp_path / 'out').mkdir()
    os.mkfifo(tmp_path / 'out' / 'index.html')
    with pytest.raises(UserError, match=r'index.html: it is a device, FIFO'):
        write(root, tmp_path / 'out', [])
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['index.html']
    assert (tmp_path / 'out' / 'index.html').is_fifo()
    with pytest.raises(UserError, match='--base'):
        write(root, tmp_path / 'new', [], base='https://x/)<b>')


def test_work_directories(tmp_path):
    root = repository(tmp_path, zoo(), mine=result())
    work = tmp_path / 'work_dirs'
    cases.write(work / 'a' / 'result.json', result(seeds=[3]))
    cases.write(work / 'b' / 'again' / 'result.json', result())
    cases.write(work / 'c' / 'result.json', result(completed=False))
    entries, remarks = collect(root, [work])
    assert [entry.file for entry in entries if entry.result] == [
        'benchmarks/leaderboard/results/mine.json',
        f'{work}/a/result.json',
    ]
    assert remarks == [
        f'left out, since {root}/benchmarks/leaderboard/results/mine.json is the same: {work}/b/again/result.json',
        f'left out, since its training is unfinished: {work}/c/result.json',
    ]
    # In the repository an unfinished one is a fault; all faults of all files are named.
    cases.write(root / 'benchmarks/leaderboard/results/half.json', result(completed=False))
    cases.write(work / 'a' / 'result.json', result(threads=-1, seeds=[]))
    with pytest.raises(UserError) as refused:
        collect(root, [work])
    assert [line.split(': ', 1)[1].split()[0] for line in str(refused.value).splitlines()] == [
        'completed',
        'seeds',
        'threads',
    ]
    with pytest.raises(UserError, match=r'--work-dirs .*/none: is no folder'):
        collect(root, [tmp_path / 'none'])
    with pytest.raises(UserError, match=r'holds no result\.json; tools/test\.py writes one'):
        collect(root, [root / 'benchmarks'])


def test_impossible_metafiles_and_foreign_benchmarks_are_refused(tmp_path):
    models = zoo()[:1]
    models[0]['Results'][0]['Metrics']['box AP'] = 0.4
    root = repository(tmp_path, models)
    with pytest.raises(UserError, match=r'metafile of cyclemlp_b1-m: metrics: box AP is 0\.4: it is in percent'):
        collect(root)
    (root / 'benchmarks/results/backbones-cpu.json').write_text('{"machine": {}}')
    with pytest.raises(UserError, match=r'backbones-cpu\.json: not a file of `python -m benchmarks run`: KeyError'):
        collect(root)


def test_nothing_yet(tmp_path):
    root = repository(tmp_path, [])
    write(root, tmp_path / 'out', [])
    assert 'There are no results yet.' in (tmp_path / 'out' / 'index.html').read_text()
    assert 'There is no result yet.' in (tmp_path / 'out' / 'leaderboard.md').read_text()


def test_the_files_of_the_committed_results(tmp_path):
    write(ROOT, tmp_path, [])
    # Without the way from the one folder to the other, which each link has.
    texts = [(tmp_path / name).read_text().replace(os.path.relpath(ROOT, tmp_path), '..') for name in FILES]
    assert sum(map(len, texts)) < 1_600_000
    with (tmp_path / 'leaderboard.csv').open() as stream:
        measured = {
            row['file']: row for row in csv.DictReader(stream) if row['state'] == 'trained here' and row['file']
        }
    committed = result_files(ROOT)
    assert len(committed) == len(measured) >= 24
    for path in committed:
        content, row = json.loads(path.read_text()), measured[path.relative_to(ROOT).as_posix()]
        assert {name: float(row[name]) for name in content['metrics']} == content['metrics']
    # Links lead from the folder to the configs.
    links = re.findall(r'\]\((\.\.[^)]*)\)', (tmp_path / 'leaderboard.md').read_text())
    assert len(links) > 50 and all((tmp_path / link).exists() for link in links)


@pytest.mark.slow
def test_the_committed_results_have_no_fault(run_here):
    done = run_here('-m', 'benchmarks.leaderboard', 'check')
    assert done.returncode == 0 and done.stdout.endswith('result files and the metafiles: no fault\n'), done.stdout


def test_the_commands(tmp_path, monkeypatch, run_here):
    monkeypatch.setattr(command, 'ROOT', tmp_path)
    repository(tmp_path, zoo())

    def leaderboard(*arguments):
        done = run_here('-m', 'benchmarks.leaderboard', *arguments, cwd=tmp_path)
        return done.returncode, done.stdout.splitlines()

    shutil.copytree(ROOT / 'configs', tmp_path / 'configs', dirs_exist_ok=True)
    config_hash = load_config('mask-rcnn_cyclemlp-slim_digits', ROOT / 'configs').provenance.config_hash
    mine = cases.write(tmp_path / 'work' / 'result.json', result(config_hash=config_hash))
    bad = cases.write(tmp_path / 'work' / 'bad.json', result(config='cyclemlp_b1', threads=0, seeds=[]))
    name = f'mask-rcnn_cyclemlp-slim_digits-seed0-2026-11-21-{config_hash[:8]}.json'
    target = tmp_path / 'benchmarks/leaderboard/results' / name
    code, lines = leaderboard('add', mine)
    assert (code, lines[-2:]) == (0, [str(target), 'now run: python -m benchmarks.leaderboard build'])
    assert target.read_bytes() == mine.read_bytes()
    code, lines = leaderboard('check', mine, bad)
    assert code == 1 and [line.split(' must')[0] for line in lines[-2:]] == [f'{bad}: seeds', f'{bad}: threads']
    cases.write(bad, result())
    code, lines = leaderboard('check', mine, bad)
    assert code == 1 and lines[-1].startswith(
        f'{bad}: config_hash is not that of mask-rcnn_cyclemlp-slim_digits with these'
    )
    cases.write(bad, result(options={'param_scheduler.9.end': 3}))
    code, lines = leaderboard('check', bad)
    assert code == 1 and lines[-1].startswith(
        f'{bad}: options: mask-rcnn_cyclemlp-slim_digits has no place for one of the'
    )
    cases.write(mine, result(config_hash=config_hash, threads=3))
    code, lines = leaderboard('add', mine)
    assert code == 1 and lines[-1].startswith(f'error: {target} exists with other content; remove it first if')
    code, lines = leaderboard('check')
    assert (code, lines[-1]) == (0, '1 result file and the metafiles: no fault')
    code, lines = leaderboard('build', '--work-dirs', 'work', '--base', 'https://example.org/tree/')
    assert code == 0 and {line.rpartition('/')[2] for line in lines[-4:]} == set(FILES)
    page = (tmp_path / 'docs/_build/leaderboard/index.html').read_text()
    assert (
        f'href="https://example.org/tree/benchmarks/leaderboard/results/{name}"' in page and 'work/result.json' in page
    )
