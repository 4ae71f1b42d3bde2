"""Render result files as tables and plots, and find regressions."""

import json
import math
import sys
from pathlib import Path
from statistics import median

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from mlp_backbones.errors import UserError

from . import engine_tables
from .drawing import COLOURS, INK, STYLE, svg
from .engine_tables import markdown_table
from .run import FORMAT, MODES, write_csv

# (mode, precision, HxW, batch size) -> (model, contestant) -> measurements
Rows = dict[tuple[str, str, str, int], dict[tuple[str, str], dict]]

OURS = ('ours', 'ours_fused')
LEGEND = """\
Times are medians of a step of the whole batch, with the interquartile range over the repeats in brackets. Memory is
the peak that a step allocates beyond weights and input, in MB of 1e6 bytes. Quotients are of times unless marked MB.
Naive ÷ ours above 1 is the gain of ours; ours ÷ bound is 1 where rearranging tokens costs nothing; floor ÷ ours is the
fraction of the machine's matrix-product rate, followed by the fraction of the rate of its 1x1 convolutions, for which
torch may have a faster library; another network ÷ ours above 1 is slower than ours.
"""
MARKS = {
    'ours_fused': (COLOURS[1], 'D'),
    'naive': (COLOURS[3], 's'),
    'bound': (COLOURS[2], '^'),
    'floor': (INK, '|'),
}
OTHER_MARKS = ('o', 'v', 'P', 'X')
LINES_IN_PLOT = 24  # still readable
NARROW = 4  # factor between the ends of an axis, below which its ticks are evenly spaced


def report(result: Path, base: Path | None, tolerance: float, force: bool, out: Path | None = None) -> int:
    """Print tables, and write them as Markdown and CSV, with plots (SVG).

    Args:
        result: the JSON file of a run.
        base: JSON file of an earlier run to compare with, or None.
        tolerance: ratio of times, or of memory, above which a row of ours is a regression.
        force: compare even if the machines differ.
        out: folder for the files. Default None: that of the result.

    Returns:
        The exit code: 1 if there are regressions, else 0.

    Raises:
        UserError: if a file is missing or invalid, or the two cannot be compared.
    """
    content = _load(result)
    target = (out or result.parent) / result.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if content['suite'] == 'engines':
        if base:
            raise UserError(f'{result} is of the suite engines, which has no comparison: leave the base out')
        text = f'{_header(content)}\n{engine_tables.tables(content)}'
        target.with_suffix('.md').write_text(text)
        target.with_name(f'{target.stem}-fastest.md').write_text(engine_tables.fastest(content))
        write_csv(target.with_suffix('.csv'), content)
        print(text)
        return 0
    rows = _rows(content)
    parts, regressions = [_header(content)], []
    if base:
        text, regressions = _compare(content, _load(base), tolerance, force)
        parts.append(text)
    for mode, precision in dict.fromkeys((mode, precision) for mode, precision, *_ in rows):
        chosen = {key: row for key, row in rows.items() if key[:2] == (mode, precision)}
        rate = content['rates'][precision]
        parts.append(f'## {mode}, {precision}\n\n{_table(chosen, rate["matmul_gflops"] / rate["conv1x1_gflops"])}')
        if others := _others(chosen):
            parts.append(others)
        for batch in dict.fromkeys(batch for *_, batch in chosen):
            title = f'{content["suite"]}, {mode}, {precision}, batch {batch}, {_where(content["machine"])}'
            lines = _plot_lines({key: row for key, row in chosen.items() if key[3] == batch})
            for part, start in enumerate(range(0, len(lines), LINES_IN_PLOT), 1):
                name = f'{result.stem}-{mode}-{precision}-batch{batch}' + (f'-{part}' if part > 1 else '')
                _plot(lines[start : start + LINES_IN_PLOT], title, target.with_name(f'{name}.svg'))
                parts.append(f'![{title}: time and memory relative to ours]({name}.svg)\n')
    text = '\n'.join([*parts, LEGEND])
    target.with_suffix('.md').write_text(text)
    write_csv(target.with_suffix('.csv'), content)
    print(text)
    for line in regressions:
        print(f'regression: {line}', file=sys.stderr)
    return 1 if regressions else 0


def _load(path: Path) -> dict:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise UserError(
            f'{path} cannot be read ({error.strerror}): give the JSON file that `python -m benchmarks run` wrote'
        ) from error
    except ValueError as error:
        raise UserError(f'{path} is not a JSON file: give the .json that `python -m benchmarks run` wrote') from error
    known = isinstance(content, dict) and {key: content.get(key) for key in FORMAT} == FORMAT
    keys = {'suite', 'machine', 'versions', 'settings', 'implementations', 'rates', 'results'}
    if not known or not keys <= set(content):
        raise UserError(
            f'{path} is not a result of this benchmark: give the .json that `python -m benchmarks run` wrote'
        )
    if not content['results']:
        raise UserError(f'{path} holds no results: the run stopped before its first comparison; measure again')
    return content


def _rows(content: dict) -> Rows:
    rows: Rows = {}
    for mode in MODES:
        for record in content['results']:
            # A contestant may have been measured in only one mode.
            found = {name.removeprefix(f'{mode}_'): v for name, v in record.items() if name.startswith(f'{mode}_')}
            if found:
                key = (mode, record['precision'], found['img_size'], found['batch_size'])
                found['param_count'] = record['param_count']
                rows.setdefault(key, {})[record['model'], record['contestant']] = found
    return rows


def _where(machine: dict) -> str:
    threads = f'{machine["threads"]} thread' + 's' * (machine['threads'] != 1)
    return machine['gpu'] or f'{machine["cpu"]}, {threads}'


def _header(content: dict) -> str:
    machine, settings = content['machine'], content['settings']
    gpu = f'{machine["gpu"]} ({machine["gpu_memory_gb"]} GB), ' if machine['gpu'] else ''
    lines = [
        f'# Speed of {content["suite"]} on {_where(machine)}\n',
        f'- machine: {gpu}{machine["cpu"]}, {machine["cores"]} cores, torch threads: {machine["threads"]}, '
        f'{machine["ram_gb"]} GB of memory, {machine["system"]}',
        '- versions: ' + ', '.join(f'{name} {found}' for name, found in content['versions'].items() if found),
        '- implementations of our operators: ' + ', '.join(map(' '.join, content['implementations'].items())),
        f'- {settings["repeats"]} repeats in turn, of at least {settings["min_time"]} s each',
    ]
    for precision, rate in content['rates'].items():
        copies = f', copies {rate["copy_gb_per_sec"]:,.0f} GB/s' if 'copy_gb_per_sec' in rate else ''
        lines.append(
            f'- best rate in {precision}: matrix products {rate["matmul_gflops"]:,.0f} GFLOP/s, '
            f'1x1 convolutions {rate["conv1x1_gflops"]:,.0f} GFLOP/s{copies}'
        )
    return '\n'.join(lines) + '\n'


def _table(rows: Rows, matmul_to_conv: float) -> str:
    others = dict.fromkeys(model for row in rows.values() for model, kind in row if kind == 'alternative')
    head = [
        'model',
        'size',
        'batch',
        'ours, ms',
        'fused, ms',
        'naive ÷ ours',
        'ours ÷ bound',
        'floor ÷ ours',
        'by convolution',
    ]
    head += [f'{other} ÷ ours' for other in others] + ['ours, MB', 'naive ÷ ours, MB']
    lines = []
    for (_, _, size, batch), row in rows.items():
        for model, kind in row:
            if kind != 'ours':
                continue
            ours, fused, naive, bound, floor = (
                row.get((model, k), {}) for k in ('ours', 'ours_fused', 'naive', 'bound', 'floor')
            )
            lines.append(
                [
                    model,
                    size,
                    str(batch),
                    _time(ours),
                    _time(fused),
                    _ratio(naive, ours),
                    _ratio(ours, bound),
                    _ratio(floor, ours),
                    _ratio(floor, ours, scale=matmul_to_conv),
                    *(_ratio(row.get((other, 'alternative'), {}), ours) for other in others),
                    f'{ours["peak_memory"]:,.1f}',
                    _ratio(naive, ours, 'peak_memory'),
                ]
            )
    return markdown_table(head, lines)


def _others(rows: Rows) -> str:
    lines = [
        [model, f'{found["param_count"]:.1f} M', size, str(batch), _time(found), f'{found["peak_memory"]:,.1f}']
        for (_, _, size, batch), row in rows.items()
        for (model, kind), found in row.items()
        if kind == 'alternative'
    ]
    return markdown_table(['other networks', 'parameters', 'size', 'batch', 'ms', 'MB'], lines) if lines else ''


def _time(found: dict) -> str:
    return f'{rounded(found["step_time"])} ({rounded(found["step_time_iqr"], 2)})' if found else ''


def rounded(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits, without an exponent: 1,100 and 0.0123."""
    # Rounding first, for it may add a digit: 99.96 is 100.
    value = float(f'{value:.{digits - 1}e}')
    decimals = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    return f'{value:,.{max(decimals, 0)}f}'


def _ratio(above: dict, below: dict, quantity: str = 'step_time', scale: float = 1.0) -> str:
    ratio = _quotient(above, below, quantity)
    return '' if ratio is None else f'{ratio * scale:.2f}'


def _quotient(above: dict, below: dict, quantity: str) -> float | None:
    # A floor has no memory, and an operator may need none.
    if above.get(quantity) is None or not below.get(quantity):
        return None
    return above[quantity] / below[quantity]


def _compare(content: dict, base: dict, tolerance: float, force: bool) -> tuple[str, list[str]]:
    differing = [
        f'{key}: {content["machine"].get(key)} and {base["machine"].get(key)}'
        for key in {**content['machine'], **base['machine']}
        if content['machine'].get(key) != base['machine'].get(key)
    ]
    if differing and not force:
        raise UserError(
            f'the two results are of different machines ({"; ".join(differing)}): compare results of one machine, '
            f'or give --force'
        )
    new, old = ({(*key, *who): v for key, row in _rows(c).items() for who, v in row.items()} for c in (content, base))
    common = [key for key in new if key in old and key[-1] != 'floor']
    if not any(key[-1] in OURS for key in common):
        raise UserError(
            f'the two results have no row of ours in common: measure the same suite ({content["suite"]} and '
            f'{base["suite"]} here), models, sizes, batch sizes and precision'
        )
    lines, regressions = [], []
    for key in common:
        mode, precision, size, batch, model, kind = key
        if kind not in OURS:
            continue
        name = f'{model} {kind}, {mode} {precision} {size} batch {batch}'
        for quantity, unit in (('step_time', 'ms'), ('peak_memory', 'MB')):
            ratio = _quotient(new[key], old[key], quantity)
            if ratio is not None and ratio > tolerance:
                before, now = old[key][quantity], new[key][quantity]
                regressions.append(
                    f'{name}: {ratio:.2f} times the base ({rounded(before, 4)} {unit} -> {rounded(now, 4)} {unit})'
                )
        ratios = [_ratio(new[key], old[key], quantity) for quantity in ('step_time', 'peak_memory')]
        lines.append([name, _time(old[key]), _time(new[key]), *ratios])
    notes = [f'- {line}' for line in regressions] or [f'No row of ours is above {tolerance:g} times the base.']
    drift = [_quotient(new[key], old[key], 'step_time') for key in common if key[-1] not in OURS]
    if drift:
        notes.append(
            f'\nWhat is not ours took {median(drift):.2f} times its time in the base (median of {len(drift)}): as much '
            f'of every ratio may be the machine.'
        )
    lacking = len(set(old) - set(new))
    if lacking:
        notes.append(f'\n{lacking} rows of the base were not measured again.')
    changed = {
        name: f'{name} {base["versions"].get(name)} -> {found}'
        for name, found in content['versions'].items()
        if base['versions'].get(name) != found
    }
    if changed:
        notes.append(f'\nVersions changed: {", ".join(changed.values())}.')
    table = markdown_table(['row', 'base, ms', 'now, ms', 'now ÷ base', 'now ÷ base, MB'], lines)
    return '## Compared with the base\n\n' + '\n'.join(notes) + '\n\n' + table, regressions


def _plot_lines(rows: Rows) -> list[tuple[str, str, dict]]:
    """(model, size, row) of each line in a plot: models together, sizes in the order of measurement."""
    lines = [(model, key[2], row) for key, row in rows.items() for model, kind in row if kind == 'ours']
    models = list(dict.fromkeys(model for model, *_ in lines))
    return sorted(lines, key=lambda line: models.index(line[0]))


@matplotlib.rc_context(STYLE)
def _plot(lines: list[tuple[str, str, dict]], title: str, path: Path) -> None:
    """Draw time and memory of every contestant relative to ours, a line for each model and size."""
    others = list(dict.fromkeys(model for *_, row in lines for model, kind in row if kind == 'alternative'))
    marks = dict(MARKS)
    for i, other in enumerate(others):
        marks[other] = (COLOURS[0], OTHER_MARKS[i % len(OTHER_MARKS)])

    figure = Figure(figsize=(10, 1.9 + 0.27 * len(lines)), layout='constrained')
    panels = figure.subplots(1, 2, sharey=True)
    for axes, quantity, name in zip(panels, ('step_time', 'peak_memory'), ('time', 'peak memory'), strict=True):
        axes.axvline(1, color=INK, alpha=0.7, linewidth=1.5, label='ours')
        for mark, (color, marker) in marks.items():
            points = []
            for y, (model, _, row) in enumerate(lines):
                found = row.get((mark, 'alternative') if mark in others else (model, mark), {})
                ratio = _quotient(found, row[model, 'ours'], quantity)
                if ratio:
                    points.append((ratio, y))
            if points:
                wide = {} if marker == '|' else dict(markerfacecolor='none' if mark in others else color)
                axes.plot(*zip(*points, strict=True), marker, color=color, markersize=7, label=mark, **wide)
        axes.set(xscale='log', xlabel=f'{name} ÷ ours')
        low, high = axes.get_xlim()
        # Differences of a few percent stay small.
        low, high = axes.set_xlim(min(low, 0.8), max(high, 1.25))
        # Whole steps of a logarithmic axis would leave a short one bare.
        steps = [m * 10.0**e for e in range(-4, 5) for m in (1, 2, 5)]
        ticks = MaxNLocator(6).tick_values(low, high) if high / low < NARROW else steps
        axes.set_xticks([tick for tick in ticks if low <= tick <= high])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}x'))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.minorticks_off()
        axes.tick_params(left=False)
        axes.spines['left'].set_visible(False)
        axes.grid(True, axis='x')
        for y in range(1, len(lines)):
            if lines[y][0] != lines[y - 1][0]:
                axes.axhline(y - 0.5, color='#8b949e', alpha=0.5, linewidth=0.8)
    labels = [f'{model}  {size} ({rounded(row[model, "ours"]["step_time"])} ms)' for model, size, row in lines]
    panels[0].set_yticks(range(len(lines)), labels, fontsize=9)
    panels[0].set_ylim(len(lines) - 0.5, -0.5)
    figure.suptitle(title, fontsize=11)
    handles = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles, loc='outside lower center', ncols=9, fontsize=9, handletextpad=0.2, columnspacing=1.2
    )
    path.write_text(svg(figure))
