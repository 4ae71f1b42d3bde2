"""The zoo as tables, from the metafiles beside the configs. What cannot be compared is never in one table."""

import argparse
import csv
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..backbones.arguments import unknown
from ..errors import UserError
from ..recipes import INDEX, read_metafile, recipes_folder

MULTI_SCALE = '(ms+flip)'
NONE = 'no published result'
REFERENCES = 'configs/references.yml'
# Where the configs of the other libraries can be read.
LIBRARIES = {
    name: f'https://github.com/open-mmlab/{project}/blob/main/configs/'
    for name, project in dict(mmdet='mmdetection', mmseg='mmsegmentation', mmpretrain='mmpretrain').items()
}
ALIASES = {'mAP': 'box AP'}  # the usual name in COCO
# Left out where a person reads; CSV and JSON have them.
DETAILS = ('small', 'medium', 'large')
INTRODUCTION = """\
# The zoo

Every config with the results that are known for it, from the metafiles beside the configs. This page is written by
`python -m mlp_backbones zoo --format markdown`, which also filters, sorts, and writes CSV and JSON.

A table holds what can be compared: one data set, one head, one way of training (one scale or several) and of testing
(one scale, or several scales with flips). Schedules differ inside a table, so check that column. Parameters and MACs
(multiply-accumulate operations) are of the whole model, counted by this package at the size (height x width) in the
row. Metrics are in percent. A result is reported by a source, whose number leads to the list below the table, or was
trained with this package, or is of official weights evaluated with it. "No published result" marks a config for which
nobody has reported any. A *reference* is a network of another library or paper under the same data set, head and
training, as reported; `configs/references.yml` has its source, and the count by this package.
"""


@dataclass(frozen=True)
class Row:
    """A config with the results of one source, tested in one way; empty where nothing is known."""

    family: str  # of the backbone, as its paper writes it, e.g. 'AS-MLP'
    dataset: str
    head: str  # the detector, segmentor or classifier, e.g. 'Mask R-CNN'
    scales: str  # of training, 'single' or 'multi'
    test: str  # scales of testing, 'single' or 'multi' (with flips)
    name: str  # of the config, as the tools take it
    config: str  # its path from the root; of a reference 'LIBRARY::FOLDER/NAME.py', or the address of its code
    backbone: str  # variant, as in mlp_backbones.list_backbones, or a slim one
    schedule: str
    parameters: int  # of the whole model
    macs: int  # of the whole model, for one image of this size
    size: tuple[int, int]  # (H, W) in pixels
    metrics: dict[str, float]  # in percent
    state: str  # 'reported', 'official weights evaluated here', 'trained here' or 'no published result'
    source: str  # of the results
    weights: str  # address of weights of the whole model
    paper: str = ''  # address of the backbone's paper
    log: str = ''  # address of the training's log

    @property
    def reference(self) -> bool:
        """Whether it is a network of another library or paper."""
        return '::' in self.config or self.config.startswith('https://')

    def link(self, base: str) -> str:
        """Return the address of its config; ``base`` leads to the root of the repository."""
        library, _, path = self.config.partition('::')
        return LIBRARIES[library] + path if path else self.config if self.reference else f'{base}/{self.config}'

    @property
    def table(self) -> tuple[str, str, str, str]:
        """The facts that the rows of a table share."""
        return self.dataset, self.head, self.scales, self.test


def load_zoo(root: Path) -> list[Row]:
    """Read the metafiles that ``model-index.yml`` in ``root`` names.

    Raises:
        UserError: if a metafile lacks something.
    """
    return _read(root, read_metafile(root / INDEX)['Import'])


def load_references(root: Path) -> list[Row]:
    """Read the networks of other libraries and papers, with their reported results, from ``configs/references.yml``.

    Raises:
        UserError: if the file lacks something.
    """
    return _read(root, [REFERENCES])


def tabulate(
    rows: Iterable[Row],
    family: str | None = None,
    dataset: str | None = None,
    head: str | None = None,
    sort: str | None = None,
) -> dict[tuple[str, str, str, str], list[Row]]:
    """Select rows, and part them into tables of what can be compared.

    Args:
        rows: of :func:`load_zoo`.
        family, dataset, head: only of this one; case and signs do not matter. Default None: all.
        sort: metric to sort by, the best first and rows without it last; mAP is box AP. Default None, and in tables
            that have no such metric: the first of each table.

    Returns:
        Sorted rows, by (dataset, head, scales of training, scales of testing).

    Raises:
        UserError: if a name does not exist (the sentence lists those that do), or nothing is left.
    """
    rows = list(rows)
    sort = sort and _find('metric', ALIASES.get(sort, sort), _metrics(rows, details=True))
    for key, asked in dict(family=family, dataset=dataset, head=head).items():
        if asked:
            found = _find(key, asked, [getattr(row, key) for row in rows])
            rows = [row for row in rows if getattr(row, key) == found]
    tables: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        tables.setdefault(row.table, []).append(row)
    for key, members in tables.items():
        names = _metrics(members, details=True)
        by = sort if sort in names else next(iter(names), '')
        tables[key] = sorted(members, key=lambda row: (-row.metrics.get(by, -1), not row.metrics, row.parameters))
    return tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--family', help='such as CycleMLP')
    parser.add_argument('--dataset', help='such as COCO')
    parser.add_argument('--head', help="such as 'Mask R-CNN'")
    parser.add_argument('--sort', metavar='METRIC', help="such as 'mask AP' (default: the first of each table)")
    parser.add_argument('--format', choices=FORMATS, default='table', help='(default: table)')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the zoo that the arguments select."""
    rows = load_zoo(recipes_folder()) + load_references(recipes_folder())
    print(FORMATS[args.format](tabulate(rows, args.family, args.dataset, args.head, args.sort)), end='')


def as_markdown(tables: dict) -> str:
    text = [INTRODUCTION]
    for key, rows in tables.items():
        columns, sources = _columns(rows), _sources(rows)
        text.append(f'\n## {_title(key)}\n\n| {" | ".join(columns)} |\n|{"---|" * len(columns)}\n')
        for row in rows:
            name, *cells = _cells(row, rows, sources)
            links = f'[{name}]({row.link("..")})' + (f' ([weights]({row.weights}))' if row.weights else '')
            links += f', *reference: {row.backbone}*' if row.reference else ''
            text.append(f'| {" | ".join([links, *cells])} |\n')
        text += ['\n'] * bool(sources) + [f'{number}. {source}\n' for source, number in sources.items()]
    return ''.join(text)


def as_terminal(tables: dict) -> str:
    # A pipe gets whole lines, a terminal what fits.
    console = Console(file=io.StringIO(), width=None if Console().is_terminal else 200)
    for key, rows in tables.items():
        columns, sources = _columns(rows), _sources(rows)
        caption = '\n'.join(f'[{number}] {source}' for source, number in sources.items())
        table = Table(title=_title(key), title_justify='left', title_style='bold')
        for i, column in enumerate(columns):
            table.add_column(column, justify='right' if 1 < i < len(columns) - 1 else 'left', overflow='fold')
        for row in rows:
            table.add_row(*(cell.replace('[', r'\[') for cell in _cells(row, rows, sources)))
        console.print(table)
        console.print(caption, markup=False, highlight=False)
        console.print()
    return console.file.getvalue()


def as_csv(tables: dict) -> str:
    rows = [row for members in tables.values() for row in members]
    metrics, file = _metrics(rows, details=True), io.StringIO()
    fields = [key for key in Row.__dataclass_fields__ if key not in ('metrics', 'size')]
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow([*fields, 'height', 'width', *metrics])
    for row in rows:
        scores = [row.metrics.get(name, '') for name in metrics]
        writer.writerow([*(getattr(row, key) for key in fields), *row.size, *scores])
    return file.getvalue()


def as_json(tables: dict) -> str:
    found = []
    for (dataset, head, scales, test), members in tables.items():
        shared = dict(dataset=dataset, head=head, scales=scales, test=test)
        rows = [{key: value for key, value in vars(row).items() if key not in shared} for row in members]
        found.append(dict(**shared, rows=rows))
    return json.dumps(found, indent=2) + '\n'


FORMATS = dict(table=as_terminal, csv=as_csv, json=as_json, markdown=as_markdown)


def _read(root: Path, paths: Iterable[str]) -> list[Row]:
    contents = {path: read_metafile(root / path) for path in paths}
    collections = [one for content in contents.values() for one in content.get('Collections', [])]
    papers = {one['Name']: one['Paper']['URL'] for one in collections}
    rows = []
    for path, content in contents.items():
        for model in content['Models']:
            try:
                rows += _rows(model, papers.get(model['In Collection'], ''))
            except KeyError as error:
                raise UserError(f'{path}: {model.get("Name", "a model")} lacks {error}') from error
    return rows


def _rows(model: dict, paper: str) -> list[Row]:
    meta = model['Metadata']
    shared = dict(
        family=model['In Collection'],
        dataset=meta['Training Data'],
        head=meta['Head'],
        scales=meta['Scales'],
        name=model['Name'],
        config=model['Config'],
        backbone=meta['Backbone'],
        schedule=meta['Schedule'],
        parameters=meta['Parameters'],
        macs=meta['FLOPs'],
        size=tuple(meta['Input Size']),
        weights=model.get('Weights', ''),
        paper=paper,
        log=model.get('Log', ''),
    )
    # Boxes and masks of one source are one row.
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for result in model['Results']:
        for name, value in result['Metrics'].items():
            test = 'multi' if name.endswith(MULTI_SCALE) else 'single'
            found.setdefault((test, result['State'], result['Source']), {})[name] = value
    if not found:
        return [Row(**shared, test='single', metrics={}, state=NONE, source='')]
    return [Row(**shared, test=t, metrics=metrics, state=s, source=source) for (t, s, source), metrics in found.items()]


def _find(kind: str, asked: str, names: Iterable[str]) -> str:
    names = list(dict.fromkeys(names))
    plain = partial(re.sub, r'\W', '')
    found = next((name for name in names if plain(name).lower() == plain(asked).lower()), None)
    if found is None:
        raise UserError(unknown(kind, asked, names))
    return found


def _metrics(rows: Iterable[Row], details: bool = False) -> list[str]:
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    return [name for name in names if details or not name.endswith(DETAILS)]


def _sources(rows: list[Row]) -> dict[str, int]:
    return {source: i for i, source in enumerate(dict.fromkeys(row.source for row in rows if row.source), 1)}


def _title(key: tuple[str, str, str, str]) -> str:
    dataset, head, scales, test = key
    ways = dict(single='at one scale', multi='at several scales')
    flips = ' with flips' if test == 'multi' else ''
    return f'{head} on {dataset}, trained {ways[scales]}, tested {ways[test]}{flips}'


def _columns(rows: list[Row]) -> list[str]:
    return ['config', 'schedule', 'parameters', 'MACs', 'size', *_metrics(rows), 'state']


def _cells(row: Row, rows: list[Row], sources: dict[str, int]) -> list[str]:
    # With all digits that were reported, and at least one decimal.
    scores = [str(float(row.metrics[name])) if name in row.metrics else '' for name in _metrics(rows)]
    state = f'{row.state} [{sources[row.source]}]' if row.source else row.state
    size = 'x'.join(map(str, row.size))
    return [row.name, row.schedule, f'{row.parameters / 1e6:.1f} M', f'{row.macs / 1e9:.1f} G', size, *scores, state]
