"""The leaderboard as CSV, JSON and Markdown."""

import csv
import io
import json
import re
from collections.abc import Sequence

from mlp_backbones.apis.zoo import DETAILS, NONE
from mlp_backbones.errors import printable

from .metrics import METRICS
from .tables import Entry, Ranking

INTRODUCTION = """\
# Leaderboard

Written by `python -m benchmarks.leaderboard build`, also as a [page](index.html) with filters and a plot, as
[CSV](leaderboard.csv) and as [JSON](leaderboard.json). [About it]({base}/docs/leaderboard.md): the meaning of the
columns, and how to add a result.
"""


def as_csv(entries: Sequence[Entry], rankings: Sequence[Ranking]) -> str:
    """Return a line per result, then a line per config without one; missing values are empty."""
    metrics = [name for name in dict.fromkeys(sum(METRICS.values(), ())) if any(name in e.row.metrics for e in entries)]
    spreads = [name for name in metrics if any(name in entry.spread for entry in entries)]
    measures = sorted({measure for entry in entries for measure in entry.measured})
    fields = ('dataset', 'head', 'schedule', 'state', 'scales', 'test', 'family', 'name', 'backbone', 'config')
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(
        ['rank', *fields, 'options', 'height', 'width', 'parameters', 'macs', *metrics]
        + [f'{name} std' for name in spreads]
        + [measure.name for measure in measures]
        + ['seeds', 'date', 'commit', 'config_hash', 'source', 'file', 'weights', 'log', 'paper']
    )
    ranked = [pair for ranking in rankings for pair in zip(ranking.ranks, ranking.entries, strict=True)]
    for place, entry in [*ranked, *((None, entry) for entry in waiting(entries))]:
        row, result = entry.row, entry.result
        of_result = (
            [' '.join(map(str, result.seeds)), result.date, result.commit or '', result.config_hash]
            if result
            else [''] * 4
        )
        writer.writerow(
            ['' if place is None else place, *(getattr(row, key) for key in fields), entry.options, *row.size]
            + [row.parameters, row.macs, *(row.metrics.get(name, '') for name in metrics)]
            + [entry.spread.get(name, '') for name in spreads]
            + [entry.measured.get(measure, '') for measure in measures]
            + [*of_result, row.source, entry.file, row.weights, row.log, row.paper]
        )
    return file.getvalue()


def as_json(entries: Sequence[Entry], rankings: Sequence[Ranking]) -> str:
    shared = ('dataset', 'head', 'schedule', 'state', 'scales', 'test', 'size', 'options')
    found = [
        {
            **{key: getattr(ranking, key) for key in shared},
            'ranked by': ranking.metric,
            'results': [
                {'rank': place, **_content(entry)} for place, entry in zip(ranking.ranks, ranking.entries, strict=True)
            ],
        }
        for ranking in rankings
    ]
    without = [
        {**{key: getattr(entry.row, key) for key in shared[:3]}, 'size': entry.row.size, **_content(entry)}
        for entry in waiting(entries)
    ]
    return json.dumps({'rankings': found, 'without a result': without}, indent=1) + '\n'


def as_markdown(entries: Sequence[Entry], rankings: Sequence[Ranking], base: str) -> str:
    """Return sections with one table each.

    Args:
        entries: all entries.
        rankings: their rankings.
        base: path or address that leads from the page to the root of the repository.
    """
    text = [INTRODUCTION.format(base=base)]
    for ranking in rankings:
        metrics = [name for name in ranking.metrics if not name.endswith(DETAILS)]
        measures = [measure.name for measure in ranking.measures]
        text.append(f'\n## {_escape(ranking.title)}: {_escape(ranking.conditions)}\n\n')
        text.append(_line(['rank', 'config', *metrics, 'parameters (M)', 'MACs (G)', *measures, 'source']))
        text.append(f'|{"---|" * (len(metrics) + len(measures) + 5)}\n')
        for place, entry in zip(ranking.ranks, ranking.entries, strict=True):
            text.append(
                _line(
                    ['' if place is None else str(place), (entry.row.name, entry.row.link(base))]
                    + [score(entry, name) for name in metrics]
                    + [short(entry.row.parameters / 1e6), short(entry.row.macs / 1e9)]
                    + [
                        short(entry.measured[measure]) if measure in entry.measured else ''
                        for measure in ranking.measures
                    ]
                    + [origin(entry)]
                )
            )
    if not rankings:
        text.append('\nThere is no result yet.\n')
    left = waiting(entries)
    if left:
        text.append('\n## Without a result\n\n| config | data set | head | schedule |\n|---|---|---|---|\n')
        for row in (entry.row for entry in left):
            text.append(_line([(row.name, row.link(base)), row.dataset, row.head, row.schedule]))
    return ''.join(text)


def waiting(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries without a result."""
    return [entry for entry in entries if entry.row.state == NONE]


def score(entry: Entry, metric: str) -> str:
    """Format a metric with its spread, in percent: as reported, or with two decimals; '' without one."""
    if metric not in entry.row.metrics:
        return ''
    spread = f' ± {entry.spread[metric]:.2f}' if metric in entry.spread else ''
    return f'{entry.row.metrics[metric]:.2f}{spread}' if entry.result else f'{float(entry.row.metrics[metric])}'


def short(value: float) -> str:
    """Format a number with about three digits, without an exponent."""
    return f'{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}'


def origin(entry: Entry) -> str:
    """Return the source of a result in words."""
    return f'{entry.result.date}, {entry.seeds}: {entry.file}' if entry.result else entry.row.source


def _content(entry: Entry) -> dict:
    row, result = entry.row, entry.result
    content = {
        key: getattr(row, key) for key in ('name', 'config', 'family', 'backbone', 'parameters', 'macs', 'metrics')
    }
    if entry.spread:
        content['spread'] = entry.spread
    content['measured'] = {measure.name: value for measure, value in entry.measured.items()}
    for key in ('source', 'weights', 'log', 'paper'):
        if getattr(row, key):
            content[key] = getattr(row, key)
    if result:
        content['file'] = entry.file
        for key in ('options', 'config_hash', 'seeds', 'machine', 'threads', 'versions', 'commit', 'date', 'command'):
            content[key] = getattr(result, key)
    return content


def _line(cells: Sequence[str | tuple[str, str]]) -> str:
    """Return a row of a table; a cell is a text, or a text and its link."""
    texts = (_escape(cell) if isinstance(cell, str) else f'[{_escape(cell[0])}]({cell[1]})' for cell in cells)
    return f'| {" | ".join(texts)} |\n'


def _escape(text: str) -> str:
    """Escape text for Markdown: no tag, link, emphasis, code, or end of a cell or line."""
    text = printable(text.replace('\n', ' '), len(text))
    return re.sub(r'[\\`*\[\]|]', r'\\\g<0>', text.replace('&', '&amp;').replace('<', '&lt;'))
