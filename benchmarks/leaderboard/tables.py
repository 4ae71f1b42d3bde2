"""What a leaderboard is made of: rankings, each of results that can be compared."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mlp_backbones.apis.zoo import MULTI_SCALE, NONE, Row
from mlp_backbones.engine.hooks.result import Result

from .metrics import METRICS

# Options of a training that are chosen for each model, or change no number: they part no ranking.
TUNED = ('lr', 'seed', 'num_workers', 'persistent_workers')


@dataclass(frozen=True, order=True)
class Measure:
    """What was measured, and where: numbers of two machines, or of two sizes, are two measures.

    Attributes:
        quantity: such as 'backbone latency'.
        unit: such as 'ms'.
        where: the machine, and the size of the image where it matters.
    """

    quantity: str
    unit: str
    where: str

    @property
    def name(self) -> str:
        return f'{self.quantity} ({self.unit}; {self.where})'


@dataclass(frozen=True)
class Entry:
    """A config with one result.

    Attributes:
        row: of the zoo; its metrics, way of testing, state and source are the result's.
        measured: speed and memory.
        result: what its file says; None for what a metafile says.
        file: the result file, as its path was given or, for the repository's own, from its root; '' without a file.
        own: whether the file is the repository's own.
    """

    row: Row
    measured: dict[Measure, float] = field(default_factory=dict)
    result: Result | None = None
    file: str = ''
    own: bool = False

    @property
    def spread(self) -> dict[str, float]:
        return self.result.spread if self.result else {}

    @property
    def seeds(self) -> str:
        """Of a result file, in words; '' for what a metafile says."""
        seeds = self.result.seeds if self.result else []
        return f'seed{"s" * (len(seeds) > 1)} {", ".join(map(str, seeds))}' if seeds else ''

    @property
    def options(self) -> str:
        """Settings that differ from the config's, but for those that are tuned for each model; '' if there are none."""
        options = self.result.options if self.result else {}
        return ', '.join(f'{key}={options[key]}' for key in sorted(options) if key.split('.')[-1] not in TUNED)


@dataclass(frozen=True)
class Ranking:
    """Results that can be compared.

    Attributes:
        dataset: that all are trained and tested on.
        head: of all.
        schedule: length of training.
        state: 'reported', 'trained here' or 'official weights evaluated here'.
        scales: of training, 'single' or 'multi'.
        test: scales of testing, 'single' or 'multi' (with flips).
        size: (H, W) at which multiply-adds are counted.
        options: settings that differ from the configs', see :attr:`Entry.options`.
        entries: the best first.
        ranks: of the entries, from 1; None for one without the metric, or of a config that
            is ranked by another.
    """

    dataset: str
    head: str
    schedule: str
    state: str
    scales: str
    test: str
    size: tuple[int, int]
    options: str
    entries: tuple[Entry, ...]
    ranks: tuple[int | None, ...]

    @property
    def metric(self) -> str:
        """By which it ranks."""
        return METRICS[self.head][0]

    @property
    def metrics(self) -> list[str]:
        """Those of its entries, in the order of the head's."""
        return [name for name in METRICS[self.head] if any(name in entry.row.metrics for entry in self.entries)]

    @property
    def measures(self) -> list[Measure]:
        """Those of its entries."""
        return list(dict.fromkeys(measure for entry in self.entries for measure in entry.measured))

    @property
    def title(self) -> str:
        return f'{self.head} on {self.dataset}, {self.schedule}'

    @property
    def conditions(self) -> str:
        """What its entries share, in words."""
        ways = dict(single='at one scale', multi='at several scales')
        flips = ' with flips' if self.test == 'multi' else ''
        words = [self.state, f'training {ways[self.scales]}', f'testing {ways[self.test]}{flips}']
        words += [f'multiply-adds at {"x".join(map(str, self.size))}'] + [f'with {self.options}'] * bool(self.options)
        return ', '.join(words)

    @property
    def id(self) -> str:
        """For addresses: of letters, digits and hyphens."""
        parts = (self.head, self.dataset, self.schedule, self.state, self.scales, self.test, *self.size, self.options)
        return re.sub(r'[^a-z0-9]+', '-', ' '.join(map(str, parts)).lower()).strip('-')


def plain_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics without the mark of several scales, which a row says elsewhere."""
    return {name.removesuffix(MULTI_SCALE).strip(): value for name, value in metrics.items()}


def rank(entries: Iterable[Entry]) -> list[Ranking]:
    """Parts entries into rankings of what can be compared.

    A config has one rank, by its result over the most seeds and of these the best: other results of it are listed
    without a rank, and take none from others. Equal results share one. What differs by less than its spread is ranked
    all the same.

    Args:
        entries: those without a result count for nothing. Data sets and heads come in their order.
    """
    parts: dict[tuple, list[Entry]] = {}
    places: dict[str, int] = {}
    for entry in entries:
        row = entry.row
        places.setdefault(row.dataset, len(places))
        places.setdefault(row.head, len(places))
        if row.state != NONE:
            key = (row.dataset, row.head, row.schedule, row.state, row.scales, row.test, row.size, entry.options)
            parts.setdefault(key, []).append(entry)
    rankings = []
    for key, members in parts.items():
        metric = METRICS[key[1]][0]
        members.sort(key=lambda e: (-e.row.metrics.get(metric, -1), e.row.name, e.row.source, e.file))
        rankings.append(Ranking(*key, entries=tuple(members), ranks=tuple(_ranks(members, metric))))
    return sorted(rankings, key=lambda r: (places[r.dataset], places[r.head], r.id))


def _ranks(entries: Sequence[Entry], metric: str) -> list[int | None]:
    chosen: dict[str, Entry] = {}
    for entry in entries:
        if metric in entry.row.metrics:
            # The best comes first, and stays if none has more seeds.
            other = chosen.setdefault(entry.row.name, entry)
            if entry.result and len(entry.result.seeds) > (len(other.result.seeds) if other.result else 1):
                chosen[entry.row.name] = entry
    values = [entry.row.metrics[metric] for entry in chosen.values()]
    return [
        1 + sum(value > entry.row.metrics[metric] for value in values) if entry is chosen.get(entry.row.name) else None
        for entry in entries
    ]
