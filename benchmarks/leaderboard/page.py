"""Render the leaderboard as one self-contained HTML page; a script adds sorting, filters and the plot."""

import re
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mlp_backbones.apis.zoo import DETAILS

from .formats import score, short, waiting
from .metrics import HEADLINES
from .speed import hardware
from .tables import Entry, Ranking

TEMPLATE = Path(__file__).parent / 'template'
FILES = ('page.css', 'plot.js', 'compare.js', 'page.js')
FILTERS = dict(dataset='Data set', head='Head', schedule='Schedule', state='State', family='Family')
# Upper ends of the choices of the size filter, in parameters.
SIZES = {'up to 25 M': 25e6, '25 to 50 M': 50e6, '50 to 100 M': 100e6, 'above 100 M': float('inf')}
# Links in texts of sources: addresses, papers, and READMEs of repositories as metafiles name them.
LINKS = re.compile(
    r'(?P<address>https?://[^\s<>"\']+)|arXiv (?P<paper>\d{4}\.\d{4,5}(?:v\d+)?)'
    r'|(?P<code>[\w.-]+/[\w.-]+) README(?:_\w+\.md)?'
)
PLACES = dict(address='{}', paper='https://arxiv.org/abs/{}', code='https://github.com/{}')


def as_html(entries: Sequence[Entry], rankings: Sequence[Ranking], base: str) -> str:
    """Return the page.

    Args:
        entries: all entries.
        rankings: their rankings.
        base: path or address that leads from the page to the root of the repository.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, *scripts = ((TEMPLATE / name).read_text(encoding='utf-8') for name in FILES)
    script = ''.join(scripts)
    # The page opens on the ranking with most results.
    most = max(rankings, key=lambda ranking: len(ranking.entries), default=None)
    sections = [_section(ranking) for ranking in sorted(rankings, key=lambda ranking: ranking is not most)]
    left = waiting(entries)
    if left:
        sections.append(_waiting(left))
    shown = [entry.row for entry in entries]
    text = environment.get_template('page.html').render(
        sections=sections,
        results=sum(len(ranking.entries) for ranking in rankings),
        rankings=len(rankings),
        filters=[
            dict(key=key, label=label, names=list(dict.fromkeys(getattr(row, key) for row in shown)))
            for key, label in FILTERS.items()
        ]
        + [dict(key='bucket', label='Parameters', names=list(SIZES))],
        data=dict(
            sections=[section['data'] for section in sections], families=list(dict.fromkeys(r.family for r in shown))
        ),
        base=base,
        style=Markup(style),
        script=Markup(script),
        # The policy allows no other script or style, and no loading.
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        f"base-uri 'none'; form-action 'none'",
    )
    return text.rstrip() + '\n'


def _section(ranking: Ranking) -> dict:
    shown = [name for name in ranking.metrics if not name.endswith(DETAILS)]
    cost = {'parameters': ('Parameters', 'M'), 'macs': ('MACs', f'G, {_size(ranking.size)}')}
    cost.update({m.name: (m.quantity.capitalize(), f'{m.unit}, {m.where}') for m in ranking.measures})
    columns = [
        _column('rank', 'Rank', f'by {ranking.metric}'),
        _column('name', 'Config'),
        *(_column(name, name, '%', best='high', main=name == ranking.metric) for name in shown if name in HEADLINES),
        *(_column(key, label, unit, best='low') for key, (label, unit) in cost.items()),
        *(_column(name, name, '%', best='high') for name in shown if name not in HEADLINES),
        _column('source', 'Source'),
    ]
    rows, data = [], []
    for place, entry in zip(ranking.ranks, ranking.entries, strict=True):
        values = {'rank': place, **entry.row.metrics, **_cost(entry)}
        values.update({measure.name: value for measure, value in entry.measured.items()})
        texts = {'rank': '' if place is None else str(place)}
        texts.update({name: score(entry, name) for name in shown})
        texts.update({key: short(values[key]) if key in values else '' for key in cost})
        rows.append(_row(entry, texts))
        data.append(_data(entry, values))
    return dict(
        id=ranking.id,
        title=ranking.title,
        state=ranking.state,
        conditions=ranking.conditions.removeprefix(f'{ranking.state}, '),
        note=f'No rank: a further result of a config, or one without {ranking.metric}.'
        if None in ranking.ranks
        else '',
        columns=columns,
        rows=rows,
        data=dict(
            id=ranking.id,
            title=f'{ranking.title}: {ranking.conditions}',
            metric=ranking.metric,
            metrics=ranking.metrics,
            axes=[dict(key=key, label=f'{label} ({unit})') for key, (label, unit) in cost.items()],
            rows=data,
        ),
    )


def _waiting(entries: Sequence[Entry]) -> dict:
    columns = [
        *(_column(key, label) for key, label in dict(name='Config', dataset='Data set').items()),
        *(_column(key, label) for key, label in dict(head='Head', schedule='Schedule').items()),
        _column('parameters', 'Parameters', 'M', best='low'),
        _column('macs', 'MACs', 'G, at', best='low'),
        _column('size', 'Size', 'height x width'),
    ]
    rows = []
    for entry in entries:
        texts = {key: getattr(entry.row, key) for key in ('dataset', 'head', 'schedule')}
        texts.update({key: short(value) for key, value in _cost(entry).items()}, size=_size(entry.row.size))
        rows.append(_row(entry, texts))
    return dict(
        id='without-a-result',
        title='Without a result',
        state=entries[0].row.state,
        conditions='configs without a reported result that were not trained here; no ranking',
        note='',
        columns=columns,
        rows=rows,
        data=dict(id='without-a-result', metrics=[], axes=[], rows=[_data(entry, _cost(entry)) for entry in entries]),
    )


def _column(key: str, label: str, unit: str = '', best: str = '', main: bool = False) -> dict:
    return dict(key=key, label=label, unit=unit, best=best, main=main, number=bool(best) or key == 'rank')


def _cost(entry: Entry) -> dict[str, float]:
    return dict(parameters=entry.row.parameters / 1e6, macs=entry.row.macs / 1e9)


def _row(entry: Entry, texts: dict[str, str]) -> dict:
    result = entry.result
    facts = {}
    if result:
        versions = {name: version for name, version in sorted(result.versions.items()) if version}
        facts = {
            'seeds': ', '.join(map(str, result.seeds)),
            'changed settings': ', '.join(f'{key}={value}' for key, value in sorted(result.options.items())) or 'none',
            'machine': hardware(result.machine, result.threads),
            'versions': ', '.join(f'{name} {version}' for name, version in versions.items()),
            'commit': result.commit or 'none: an installed package',
            'config hash': result.config_hash,
            'command': result.command,
        }
    found = dict(weights=entry.row.weights, log=entry.row.log, paper=entry.row.paper)
    links = {name: address for name, address in found.items() if re.match('https?://', address)}
    return dict(row=entry.row, texts=texts, source=_links(entry.row.source), links=links, facts=facts, entry=entry)


def _data(entry: Entry, values: dict) -> dict:
    row = entry.row
    texts = {key: getattr(row, key) for key in ('name', 'backbone', *FILTERS)}
    bucket = next(name for name, end in SIZES.items() if row.parameters <= end)
    return dict(
        **texts,
        bucket=bucket,
        reference=row.reference,
        size=_size(row.size),
        source=row.source or entry.file,
        values=values,
        spread=entry.spread,
    )


def _links(text: str) -> list[tuple[str, str]]:
    """Split a text into pieces, each with the address of its link ('' for none)."""
    pieces, end = [], 0
    for match in LINKS.finditer(text):
        pieces.append((text[end : match.start()], ''))
        pieces.append((match[0], PLACES[match.lastgroup].format(match[match.lastgroup])))
        end = match.end()
    return [piece for piece in [*pieces, (text[end:], '')] if piece[0]]


def _size(size: Sequence[int]) -> str:
    return 'x'.join(map(str, size))


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
