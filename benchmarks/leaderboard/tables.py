"""Rankings of the leaderboard, each of comparable results."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mlp_backbones.apis.zoo import MULTI_SCALE, NONE, Row
from mlp_backbones.engine.hooks.result import Result

from .metrics import METRICS

# Options that are tuned for each model, or change no number: they do not split a ranking.
TUNED = ('lr', 'seed', 'num_workers', 'persistent_workers')


@dataclass(frozen=True, order=True)
class Measure:
    """A measured quantity and its machine: numbers of two machines, or of two sizes, are two measures.

    Attributes:
        quantity: for example 'backbone latency'.
        unit: for example 'ms'.
        where: the machine, and the image size where it matters.
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
        row: row of the zoo, with the metrics, test scales, state and source of the result.
        measured: speed and memory.
        result: content of the result file; None for a result of a metafile.
        file: path of the result file as given or, for the repository's own, from its root; '' without a file.
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
        """Seeds of a result file, in words; '' for a result of a metafile."""
        seeds = self.result.seeds if self.result else []
        return f'seed{"s" * (len(seeds) > 1)} {", ".join(map(str, seeds))}' if seeds else ''

    @property
    def options(self) -> str:
        """Settings that differ from the config's, except those tuned for each model; '' if there are none."""
        options = self.result.options if self.result else {}
        return ', '.join(f'{key}={options[key]}' for key in sorted(options) if key.split('.')[-1] not in TUNED)


@dataclass(frozen=True)
class Ranking:
    """Comparable results.

    Attributes:
        dataset: data set of training and test.
        head: head of all models.
        schedule: length of training.
        state: 'reported', 'trained here' or 'official weights evaluated here'.
        scales: training scales, 'single' or 'multi'.
        test: test scales, 'single' or 'multi' (with flips).
        size: (H, W) at which MACs are counted.
        options: settings that differ from the configs', see :attr:`Entry.options`.
        entries: results, the best first.
        ranks: ranks of the entries, from 1; None without the metric, or if another result
            ranks the config.
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
        """Metric of the ranks."""
        return METRICS[self.head][0]

    @property
    def metrics(self) -> list[str]:
        """Metrics of its entries, in the order of the head's."""
        return [name for name in METRICS[self.head] if any(name in entry.row.metrics for entry in self.entries)]

    @property
    def measures(self) -> list[Measure]:
        """Measures of its entries."""
        return list(dict.fromkeys(measure for entry in self.entries for measure in entry.measured))

    @property
    def title(self) -> str:
        return f'{self.head} on {self.dataset}, {self.schedule}'

    @property
    def conditions(self) -> str:
        """Common conditions of its entries, in words."""
        ways = dict(single='at one scale', multi='at several scales')
        flips = ' with flips' if self.test == 'multi' else ''
        words = [self.state, f'training {ways[self.scales]}', f'testing {ways[self.test]}{flips}']
        words += [f'MACs at {"x".join(map(str, self.size))}'] + [f'with {self.options}'] * bool(self.options)
        return ', '.join(words)

    @property
    def id(self) -> str:
        """Identifier for addresses, of letters, digits and hyphens."""
        parts = (self.head, self.dataset, self.schedule, self.state, self.scales, self.test, *self.size, self.options)
        return re.sub(r'[^a-z0-9]+', '-', ' '.join(map(str, parts)).lower()).strip('-')


def plain_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """Remove the mark of several scales, which a row has in another field, from metrics."""
    return {name.removesuffix(MULTI_SCALE).strip(): value for name, value in metrics.items()}


def rank(entries: Iterable[Entry]) -> list[Ranking]:
    """Split entries into rankings of comparable results.

    A config has one rank, that of its result over the most seeds, of several the best; its other results have no rank
    and do not affect others. Equal results share a rank. Ranks ignore the spread.

    Args:
        entries: those without a result are ignored. Data sets and heads keep their order.
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
            # The best comes first, and stays unless another has more seeds.
            other = chosen.setdefault(entry.row.name, entry)
            if entry.result and len(entry.result.seeds) > (len(other.result.seeds) if other.result else 1):
                chosen[entry.row.name] = entry
    values = [entry.row.metrics[metric] for entry in chosen.values()]
    return [
        1 + sum(value > entry.row.metrics[metric] for value in values) if entry is chosen.get(entry.row.name) else None
        for entry in entries
    ]
