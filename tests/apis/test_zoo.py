"""python -m mlp_backbones zoo: the metafiles as tables of what can be compared."""

import csv
import io
import json
import shutil

import pytest
import yaml

from mlp_backbones.apis.zoo import NONE, as_csv, as_json, as_markdown, as_terminal, load_zoo, tabulate
from mlp_backbones.errors import UserError
from tests.conftest import ROOT, run


def model(name, head, dataset, *results, family='CycleMLP', scales='single', parameters=1_000_000):
    return {
        'Name': name,
        'In Collection': family,
        'Config': f'configs/x/{name}.py',
        'Metadata': {
            'Backbone': 'cyclemlp_b1',
            'Head': head,
            'Training Data': dataset,
            'Schedule': '1x',
            'Scales': scales,
            'Parameters': parameters,
            'FLOPs': 2_000_000_000,
            'Input Size': [800, 1280],
        },
        'Results': [
            {'Task': 't', 'Dataset': dataset, 'Metrics': metrics, 'State': 'reported', 'Source': source}
            for metrics, source in results
        ],
        'Weights': f'https://example.org/{name}.pth',
    }


@pytest.fixture
def rows(tmp_path):
    boxes, masks = {'box AP': 41.0, 'box AP small': 20.0}, {'mask AP': 37.5}
    models = [
        model('a', 'Mask R-CNN', 'COCO', (boxes, 'paper'), (masks, 'paper')),
        model('b', 'Mask R-CNN', 'COCO', (dict(boxes, **{'box AP': 40.0}), 'paper'), ({'mask AP': 38.0}, 'paper')),
        model('c', 'Mask R-CNN', 'COCO', ({'box AP': 42.0}, 'paper'), ({'box AP': 41.9}, 'quoted [by] another')),
        model('d', 'Mask R-CNN', 'COCO', family='AS-MLP'),
        model('e', 'Mask R-CNN', 'COCO', (boxes, 'paper'), scales='multi'),
        model('f', 'UperNet', 'ADE20K', ({'mIoU': 44.0, 'mIoU (ms+flip)': 45.1}, 'paper'), family='AS-MLP'),
        model('g', 'UperNet', 'ADE20K', ({'mIoU (ms+flip)': 46.0}, 'paper'), family='AS-MLP'),
        model('h', 'UperNet', 'ADE20K', parameters=3_000_000),
    ]
    (tmp_path / 'one.yml').write_text(yaml.safe_dump(dict(Models=models[:4])))
    (tmp_path / 'two.yml').write_text(yaml.safe_dump(dict(Models=models[4:])))
    (tmp_path / 'model-index.yml').write_text(yaml.safe_dump(dict(Import=['one.yml', 'two.yml'])))
    return load_zoo(tmp_path)


def names(tables):
    return {key[1:]: ''.join(row.name for row in members) for key, members in tables.items()}


MASK, MULTI = ('Mask R-CNN', 'single', 'single'), ('Mask R-CNN', 'multi', 'single')
UPER, FLIPS = ('UperNet', 'single', 'single'), ('UperNet', 'single', 'multi')


def test_only_what_can_be_compared_is_in_one_table(rows):
    tables = tabulate(rows)
    # Boxes and masks of one source are one row, another source is another; the best first, nothing known last.
    assert names(tables) == {MASK: 'ccabd', MULTI: 'e', UPER: 'fh', FLIPS: 'gf'}
    a = next(row for row in rows if row.name == 'a')
    assert a.metrics == {'box AP': 41.0, 'box AP small': 20.0, 'mask AP': 37.5}
    assert [row.metrics for row in rows if row.name == 'f'] == [{'mIoU': 44.0}, {'mIoU (ms+flip)': 45.1}]
    assert [(row.name, row.test) for row in rows if row.state == NONE] == [('d', 'single'), ('h', 'single')]


def test_picking_and_sorting(rows):
    assert names(tabulate(rows, sort='mask AP'))[MASK] == 'baccd'
    # In a table that has no such metric its own first one counts.
    assert names(tabulate(rows, sort='mask AP'))[FLIPS] == 'gf'
    assert names(tabulate(rows, family='asmlp')) == {MASK: 'd', UPER: 'f', FLIPS: 'gf'}
    assert names(tabulate(rows, dataset='ade20k', sort='MIOU')) == {UPER: 'fh', FLIPS: 'gf'}
    assert names(tabulate(rows, dataset='COCO', sort='mIoU')) == {MASK: 'ccabd', MULTI: 'e'}
    assert names(tabulate(rows, family='asmlp', head='maskrcnn', sort='box AP')) == {MASK: 'd'}
    assert names(tabulate(rows, head='maskrcnn')) == {MASK: 'ccabd', MULTI: 'e'}


@pytest.mark.parametrize(
    ('asked', 'sentence'),
    [
        (dict(family='CycelMLP'), r"unknown family 'CycelMLP', did you mean 'CycleMLP'\? There are: CycleMLP, AS-MLP"),
        (dict(dataset='VOC'), r"unknown dataset 'VOC', .*There are: COCO, ADE20K"),
        (dict(head='FCN'), 'There are: Mask R-CNN, UperNet'),
        (dict(sort='AP'), 'There are: box AP, box AP small, mask AP, mIoU'),
        # What the other picks leave.
        (dict(dataset='COCO', head='UperNet'), 'There are: Mask R-CNN'),
    ],
)
def test_unknown_names_are_answered_with_those_there_are(rows, asked, sentence):
    with pytest.raises(UserError, match=sentence):
        tabulate(rows, **asked)


def test_formats(rows):
    tables = tabulate(rows)
    shown = as_terminal(tables)
    for words in (
        'Mask R-CNN on COCO, trained at several scales, tested at one scale',
        'reported [2]',
        '[2] quoted [by]',
    ):
        assert words in shown
    assert 'small' not in shown
    page = as_markdown(tables)
    assert '## UperNet on ADE20K, trained at one scale, tested at several scales with flips\n' in page
    links = '[c](../configs/x/c.py) ([weights](https://example.org/c.pth))'
    assert f'| {links} | 1x | 1.0 M | 2.0 G | 800x1280 | 41.9 |  | reported [2] |' in page
    found = list(csv.DictReader(io.StringIO(as_csv(tables))))
    assert len(found) == len(rows) and found[2]['box AP small'] == '20.0' and found[2]['height'] == '800'
    listed = json.loads(as_json(tables))
    assert [len(table['rows']) for table in listed] == [len(members) for members in tables.values()]
    assert listed[0]['rows'][2]['metrics']['box AP small'] == 20.0


@pytest.mark.slow
def test_what_is_missing_is_named(tmp_path, rows):
    broken = model('x', 'UperNet', 'ADE20K')
    del broken['Metadata']['FLOPs']
    (tmp_path / 'one.yml').write_text(yaml.safe_dump(dict(Models=[broken])))
    with pytest.raises(UserError, match=r"one\.yml: x lacks 'FLOPs'"):
        load_zoo(tmp_path)
    # The folder of the package by itself, which nobody installed.
    shutil.copytree(ROOT / 'mlp_backbones', tmp_path / 'mlp_backbones', ignore=shutil.ignore_patterns('__pycache__'))
    (tmp_path / 'model-index.yml').unlink()
    done = run('-m', 'mlp_backbones', 'zoo', cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith(f'error: {tmp_path}/mlp_backbones has no recipes')


def test_the_page_is_what_the_command_writes(run_here):
    done = run_here('-m', 'mlp_backbones', 'zoo', '--format', 'markdown')
    assert done.returncode == 0
    assert done.stdout == (ROOT / 'docs' / 'zoo.md').read_text(), (
        'write it again: python -m mlp_backbones zoo --format markdown > docs/zoo.md'
    )


def test_the_tools_find_every_config_of_the_zoo_by_its_name():
    paths = [path for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts]
    found = {path.stem: path for path in paths}
    assert len(found) == len(paths)
    for row in load_zoo(ROOT):
        assert found[row.name] == ROOT / row.config
