"""Measure the rows of a suite and store the results."""

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from itertools import product
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mlp_backbones import ops
from mlp_backbones.apis import keep_freed_memory
from mlp_backbones.backbones.arguments import unknown
from mlp_backbones.engine.provenance import machine, versions
from mlp_backbones.errors import UserError

from .engines import DEFAULT_ENGINES, Race
from .measure import count, interleave, peak_memory, rates
from .suites import ALTERNATIVES, DTYPES, SUITES, Contestant, Row, build_network, installed_alternatives

FORMAT = {'benchmark': 'mlp_backbones', 'format': 1}
MODES = ('infer', 'train')
# A backward pass needs as many products again for the gradient of the input, and for that of the weights.
PASSES = {'infer': 1, 'train': 3}
# timm's names, where it has one. Times are of a step, in ms; memory in MB, parameters in millions.
QUANTITIES = ('samples_per_sec', 'step_time', 'step_time_iqr', 'peak_memory', 'batch_size', 'img_size', 'gmacs')
COLUMNS = (
    'model',
    'contestant',
    'precision',
    'param_count',
    *(f'{mode}_{quantity}' for mode in MODES for quantity in QUANTITIES),
)


@dataclass(frozen=True)
class Settings:
    """Settings of a run; None stands for the default of the suite.

    Attributes:
        suite: a key of :data:`SUITES`.
        device: 'cpu' or 'cuda'.
        models: names of models in the suite.
        sizes: (H, W) of the images, in pixels.
        batch_sizes: numbers of images.
        precisions: keys of :data:`DTYPES`.
        modes: some of 'infer' and 'train'.
        repeats: measurements of each contestant.
        min_time: minimum seconds of each measurement.
        threads: threads of torch; None: torch's choice.
        out: path of the results, without .json and .csv.
        engines: keys of :data:`.engines.ENGINES`, of the suite engines.
    """

    suite: str
    device: str
    models: list[str] | None
    sizes: list[tuple[int, int]] | None
    batch_sizes: list[int] | None
    precisions: list[str] | None
    modes: list[str]
    repeats: int
    min_time: float
    threads: int | None
    out: Path
    engines: list[str] | None = None


def run(settings: Settings) -> Path:
    """Measure, and write the files after every comparison, so that an interrupted run keeps its results.

    Returns:
        The JSON file.

    Raises:
        UserError: if a model, precision or device is not available, or the results cannot be written.
    """
    suite = SUITES[settings.suite]
    models = settings.models or list(suite.models)
    for model in models:
        if model not in suite.known:
            raise UserError(f'--models: {unknown(f"model of the suite {settings.suite}", model, suite.known)}')
    precisions = settings.precisions or list(suite.precisions[:1])
    if settings.engines and settings.suite != 'engines':
        raise UserError(f'--engines: the suite {settings.suite} has none; leave it out, or give --suite engines')
    for precision in precisions:
        if precision not in suite.precisions:
            raise UserError(
                f'--precision {precision}: the suite {settings.suite} takes only {" and ".join(suite.precisions)}'
            )
    if settings.device == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: torch sees no GPU; give cpu, or install a torch built for your GPU')
    _check_out(settings.out)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    # fp32 must mean the same in convolutions, which torch would run in TF32, and in matrix products.
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)

    sizes, batches = settings.sizes or suite.sizes, settings.batch_sizes or suite.batches[settings.device]
    rows = [Row(*values) for values in product(settings.modes, precisions, sizes, batches)]
    rows.sort(key=lambda row: row.size[0] * row.size[1] * row.batch)
    content = {
        **FORMAT,
        'suite': settings.suite,
        'machine': machine(settings.device),
        'versions': versions(),
        'settings': {'repeats': settings.repeats, 'min_time': settings.min_time, 'keeps_memory': keep_freed_memory()},
        'implementations': ops.active_backends(settings.device),
        'rates': {},
        'results': [],
    }
    console = Console()
    if settings.suite == 'engines':
        _run_engines(settings, models, sizes, batches, content, console)
        return settings.out.with_name(settings.out.name + '.json')
    with console.status('building the contestants and measuring the rates of this machine'):
        groups = list(suite.contestants(models, settings.device))
        content['rates'] = {name: rates(settings.device, DTYPES[name]) for name in precisions}
    total = sum(c.takes_part(row.mode) for row in rows for group in groups for c in group) * (settings.repeats + 1)
    found: dict[tuple, dict] = {}
    with _progress(console) as progress:
        task = progress.add_task('', total=total)
        for row, group in product(rows, groups):
            for key, record in _measure(row, group, settings, content['rates'], progress, task):
                found.setdefault(key, {}).update(record)
            content['results'] = list(found.values())
            _write(settings.out, content)
    return settings.out.with_name(settings.out.name + '.json')


def _run_engines(
    settings: Settings,
    models: list[str],
    sizes: Sequence[tuple[int, int]],
    batches: Sequence[int],
    content: dict,
    console: Console,
) -> None:
    content['left_out'] = []
    content['versions'] |= {name: _version(name) for name in ('onnxruntime', 'openvino')}

    def log(sentence: str) -> None:
        if sentence not in content['left_out']:
            content['left_out'].append(sentence)
            console.print(sentence, highlight=False, soft_wrap=True, markup=False)

    names = settings.engines or list(DEFAULT_ENGINES)
    installed = [model for model in models if model not in ALTERNATIVES or model in installed_alternatives()]
    for model in {*models} - {*installed}:
        log(f'{model} is left out: {ALTERNATIVES[model]["type"].partition(".")[0]} is not installed')
    with Race(names, settings.device, torch.get_num_threads(), log) as race:
        for size, batch, model in product(sizes, batches, installed):
            params = sum(p.numel() for p in build_network(model).parameters())
            for found in race.measure(model, size, batch, settings.precisions, settings.repeats, settings.min_time):
                row = Row('infer', found.precision, size, batch)
                _, record = _record(row, model, found.engine, params, found.times, None, 0)
                record |= dict(output_error=found.error, ready_after=found.seconds, open_sizes=found.open_sizes)
                content['results'].append(record)
                title = f'{model} {found.engine} {found.precision} {size[0]}x{size[1]} batch {batch}'
                console.print(
                    f'{title:<60} {record["infer_step_time"]:10.3f} ms, error {found.error:.1e}', highlight=False
                )
            _write(settings.out, content)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _measure(
    row: Row, group: list[Contestant], settings: Settings, found_rates: dict, progress: Progress, task: int
) -> list[tuple[tuple, dict]]:
    device = settings.device
    title = f'{row.mode} {row.precision} {row.size[0]}x{row.size[1]} batch {row.batch}'
    steps, memory, by_name = {}, {}, {}
    for contestant in group:
        if not contestant.takes_part(row.mode):
            continue
        name = f'{contestant.model} {contestant.kind}'
        progress.update(task, description=f'{title}: memory of {name}')
        try:
            step = contestant.prepare(row, device)
            memory[name] = peak_memory(step, device)
            steps[name], by_name[name] = step, contestant
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            progress.console.print(f'{title}: {name} does not fit into the memory of the GPU and is left out')
            progress.advance(task, settings.repeats)
        progress.advance(task)

    def done(name: str) -> None:
        progress.update(task, advance=1, description=f'{title}: {name}')

    times = interleave(steps, settings.repeats, settings.min_time, done)
    counts = {c.model: _count(c, row.size, row.batch) for c in group if c.counted}
    records = []
    for name, contestant in by_name.items():
        macs = counts.get(contestant.model, (0,))[0]
        records.append(
            _record(row, contestant.model, contestant.kind, contestant.params, times[name], memory[name], macs)
        )
    for model in dict.fromkeys(c.model for c in group if c.kind == 'ours'):
        if model in counts:
            macs, elements = counts[model]
            rate = found_rates[row.precision]
            seconds = 2 * macs / rate['matmul_gflops'] / 1e9
            if 'copy_gb_per_sec' in rate:
                moved = elements * DTYPES[row.precision].itemsize
                seconds = max(seconds, moved / rate['copy_gb_per_sec'] / 1e9)
            floor = [seconds * PASSES[row.mode] * 1e3]
            records.append(_record(row, model, 'floor', None, floor, None, macs))
    for _, record in records:
        took, spread = record[f'{row.mode}_step_time'], record[f'{row.mode}_step_time_iqr']
        progress.console.print(
            f'{title}: {record["model"]:<28} {record["contestant"]:<11} {took:10.3f} ms'
            + (f' (IQR {spread:.3f})' if spread is not None else ''),
            highlight=False,
            soft_wrap=True,
        )
    return records


@lru_cache
def _count(contestant: Contestant, size: tuple[int, int], batch: int) -> tuple[int, int]:
    # Precision does not change the count, and training scales it: one count serves every row of a size.
    return count(contestant.prepare(Row('infer', 'fp32', size, batch), 'meta'))


def _record(
    row: Row, model: str, kind: str, params: int | None, times: list[float], memory: float | None, macs: int
) -> tuple[tuple, dict]:
    """Return the record of a contestant in a row, under the key that its two modes share."""
    low, middle, high = (
        torch.tensor(times, dtype=torch.float64).quantile(torch.tensor([0.25, 0.5, 0.75]).double()).tolist()
    )
    quantities = {
        'samples_per_sec': round(row.batch / middle * 1e3, 3),
        'step_time': round(middle, 6),
        'step_time_iqr': None if kind == 'floor' else round(high - low, 6),
        'step_times': None if kind == 'floor' else [round(time, 6) for time in times],
        'peak_memory': memory,
        'batch_size': row.batch,
        'img_size': f'{row.size[0]}x{row.size[1]}',
        'gmacs': round(macs * PASSES[row.mode] / row.batch / 1e9, 6) if macs else None,
    }
    record = {
        'model': model,
        'contestant': kind,
        'precision': row.precision,
        'param_count': None if params is None else round(params / 1e6, 3),
        **{f'{row.mode}_{name}': value for name, value in quantities.items()},
    }
    return (model, kind, row.precision, row.size, row.batch), record


def _progress(console: Console) -> Progress:
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _check_out(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'--out {out}: the folder {out.parent} cannot be made: {error.strerror}') from error
    if not os.access(out.parent, os.W_OK):
        raise UserError(f'--out {out}: {out.parent} is not writable; give a prefix in a folder that is')


def _write(out: Path, content: dict) -> None:
    # An interrupted write leaves the previous file.
    part = out.with_name(out.name + '.part')
    part.write_text(json.dumps(content, indent=1) + '\n')
    part.replace(out.with_name(out.name + '.json'))
    write_csv(out.with_name(out.name + '.csv'), content)


def write_csv(path: Path, content: dict) -> None:
    """Write the results of a run as a table with timm's column names."""
    with path.open('w', newline='') as stream:
        writer = csv.DictWriter(stream, COLUMNS, extrasaction='ignore', lineterminator='\n')
        writer.writeheader()
        writer.writerows(content['results'])
