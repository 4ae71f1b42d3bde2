"""Collect metafiles, result files and benchmarks for the leaderboard."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from mlp_backbones.apis.zoo import NONE, Row, load_references, load_zoo
from mlp_backbones.engine.hooks.result import FILE, Result
from mlp_backbones.errors import UserError, printable

from .check import LONGEST, UNFINISHED, read_result
from .metrics import metric_faults
from .speed import hardware, latencies
from .tables import Entry, Measure, plain_metrics

RESULTS = 'benchmarks/leaderboard/results'
# All runs of the measured comparison, for which the folder holds one averaged result each.
RUNS = 'digits.json'
QUANTITIES = dict(
    infer_ms=('inference step', 'ms'),
    train_ms=('training step', 'ms'),
    train_minutes=('training', 'min'),
    memory_mb=('memory of a training step', 'MB'),
)


def load_configs(root: Path) -> dict[str, Row]:
    """Return a row of the zoo by the name of each config."""
    return {row.name: row for row in load_zoo(root)}


def result_files(root: Path, work_dirs: Iterable[Path] = ()) -> list[Path]:
    """Return the result files of the repository, then those in work directories.

    Raises:
        UserError: if a work directory does not exist or has no result file.
    """
    files = sorted(path for path in (root / RESULTS).glob('*.json') if path.name != RUNS)
    for folder in work_dirs:
        found = sorted(folder.rglob(FILE))
        if not found:
            why = f'holds no {FILE}; tools/test.py writes one' if folder.is_dir() else 'is no folder'
            raise UserError(f'--work-dirs {printable(folder)}: {why}')
        files += found
    return files


def check_metafiles(zoo: Sequence[Row]) -> list[str]:
    """Return a sentence for each fault of results in metafiles."""
    found = [(row.name, fault) for row in zoo for fault in metric_faults(row.head, plain_metrics(row.metrics))]
    return [f'metafile of {name}: {fault}' for name, fault in found]


def collect(root: Path, work_dirs: Sequence[Path] = ()) -> tuple[list[Entry], list[str]]:
    """Return every config with all of its results, then the references.

    Args:
        root: root of the repository.
        work_dirs: folders to search for result files. Default: none.

    Returns:
        The entries, in the zoo's order; configs without a result have no metrics. And remarks on files that were left
        out.

    Raises:
        UserError: with one line for each fault of each file.
    """
    zoo, configs, latency = load_zoo(root) + load_references(root), load_configs(root), latencies(root)
    faults, remarks, entries = check_metafiles(zoo), [], []
    for row in zoo:
        row = replace(row, metrics=plain_metrics(row.metrics))
        entries.append(Entry(row, latency.get((row.backbone, row.dataset), {})))
    seen: dict[str, Path] = {}
    for path in result_files(root, work_dirs):
        try:
            result = read_result(path, configs)
        except UserError as error:
            # One work directory may hold a running training.
            if str(error) == f'{printable(path)}: {UNFINISHED}' and path.name == FILE:
                remarks.append(f'left out, since its training is unfinished: {printable(path)}')
            else:
                faults.append(str(error))
            continue
        same = seen.setdefault(repr(sorted(asdict(result).items())), path)
        if same is not path:
            remarks.append(f'left out, since {printable(same)} is the same: {printable(path)}')
            continue
        entries.append(_entry(path, result, configs, latency, root))
    if faults:
        raise UserError('\n'.join(faults))
    known = {entry.row.name for entry in entries if entry.result}
    return [entry for entry in entries if entry.row.state != NONE or entry.row.name not in known], remarks


def _entry(path: Path, result: Result, configs: Mapping[str, Row], latency: Mapping, root: Path) -> Entry:
    row, where = configs[result.config], hardware(result.machine, result.threads)
    measured = dict(latency.get((row.backbone, row.dataset), {}))
    for key, value in result.cost.items():
        quantity, unit = QUANTITIES[key]
        measured[Measure(quantity, unit, where)] = value
    own = path.resolve().is_relative_to((root / RESULTS).resolve())
    row = replace(row, test=result.test, metrics=result.metrics, state='trained here', source='', weights='')
    return Entry(row, measured, result, printable(f'{RESULTS}/{path.name}' if own else path, LONGEST), own)
