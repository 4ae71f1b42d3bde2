#!/usr/bin/env python
"""Draw loss curves, the similarity map and the README's picture; run as a script, write that picture."""

import json
import sys
from itertools import cycle, pairwise
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

from benchmarks.drawing import COLOURS, STYLE, svg  # noqa: E402
from mlp_backbones.apis.zoo import Row, load_references, load_zoo  # noqa: E402

README_PICTURE = DOCS / 'readme_picture.svg'


def comparable(rows: list[Row]) -> list[Row]:
    """Return the reported box AP of Mask R-CNN, 1x, trained and tested at one scale: the best of each config."""
    best: dict[str, Row] = {}
    for row in rows:
        shared = row.table == ('COCO', 'Mask R-CNN', 'single', 'single') and (row.schedule, row.state) == (
            '1x',
            'reported',
        )
        if shared and row.metrics['box AP'] > best.get(row.name, row).metrics['box AP'] - 1e-9:
            best[row.name] = row
    return list(best.values())


def readme_picture() -> str:
    """Draw box AP against MACs: the families' and the references', as reported; all counted by this package."""
    lines: dict[tuple[bool, str], list[tuple[float, float]]] = {}
    for row in comparable(load_zoo(ROOT) + load_references(ROOT)):
        lines.setdefault((row.reference, row.family), []).append((row.macs / 1e9, row.metrics['box AP']))
    grey = COLOURS[7]
    colours, markers = cycle(colour for colour in COLOURS if colour != grey), cycle('sDP^v')
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 5.2))
        axes = figure.subplots()
        for (reference, family), points in sorted(lines.items()):
            x, y = zip(*sorted(points), strict=True)
            if reference:
                style = dict(color=grey, marker=next(markers), linewidth=1.2, markersize=6, linestyle='--')
            else:
                style = dict(color=next(colours), marker='o', linewidth=2, markersize=7)
            axes.plot(x, y, label=family, **style)
        axes.set(xlabel='MACs of the whole detector, G (800x1280)', ylabel='COCO box AP, %')
        axes.grid(True)
        axes.set_title('Mask R-CNN on COCO, 1x schedule, one scale: reported results', loc='left', weight='bold')
        axes.margins(0.09)
        _label_lines(axes)
        return svg(figure)


def _label_lines(axes: Axes) -> None:
    """Write the name of each line at its last point, on the side where it covers least of lines and names."""
    axes.figure.draw_without_rendering()
    paths = [axes.transData.transform(line.get_xydata()) for line in axes.lines]
    steps = np.linspace(0, 1, 60)[:, None]
    pieces = [start + steps * (end - start) for path in paths for start, end in pairwise(path)]
    taken = np.concatenate([*pieces, *paths])
    pixel = axes.figure.dpi / 72
    for line, path in zip(axes.lines, paths, strict=True):
        name = line.get_label()
        half = np.array([len(name) * 3.1 + 2, 6]) * pixel
        sides = [(half[0] + 8 * pixel, 0), (0, 13 * pixel), (0, -13 * pixel), (-half[0] - 8 * pixel, 0)]
        covered = [int((abs(taken - path[-1] - side) < half).all(1).sum()) for side in sides]
        place = path[-1] + sides[int(np.argmin(covered))]
        x, y = axes.transData.inverted().transform(place)
        axes.text(x, y, name, color=line.get_color(), weight='bold', ha='center', va='center')
        around = np.linspace(-1, 1, 9)
        taken = np.concatenate([taken, place + half * np.stack(np.meshgrid(around, around), -1).reshape(-1, 2)])


def distributed_curves() -> str:
    """Draw the losses of one process and of two, and how far apart they are."""
    runs = json.loads((DOCS / 'measured' / 'distributed_curves.json').read_text())['runs']
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 6.4), layout='constrained')
        axes = figure.subplots(2, 2).flat
        for axis, run in zip((axes[0], axes[2], axes[3]), runs, strict=True):
            for (name, losses), style in zip(run['loss'].items(), (dict(lw=3, alpha=0.5), dict(lw=1)), strict=True):
                colour = COLOURS[0] if 'alpha' in style else COLOURS[3]
                axis.plot(range(1, len(losses) + 1), losses, color=colour, label=name, **style)
            axis.set(title=run['model'], xlabel='iteration', ylabel='loss', ylim=(0, None))
            axis.legend()
        for colour, (name, values) in zip((COLOURS[3], COLOURS[2]), runs[0]['difference'].items(), strict=True):
            axes[1].plot(range(1, len(values) + 1), values, color=colour, label=name, lw=1)
        axes[1].set(yscale='log', xlabel='iteration', title='Relative difference to 1 process of 1 thread')
        exponents = range(-8, 0, 2)
        axes[1].set_yticks([10.0**e for e in exponents], [f'1e{e}' for e in exponents])
        axes[1].minorticks_off()
        axes[1].legend()
        for axis in figure.axes:
            axis.grid(True)
        return svg(figure)


def similarity_map() -> str:
    """Draw linear CKA between all stages of the nine trained families."""
    measured = json.loads((DOCS / 'measured' / 'similarity.json').read_text())
    values = np.array(measured['cka'])
    names = [network['name'] for network in measured['networks']]
    sizes = [len(network['stages']) for network in measured['networks']]
    stages = [stage for network in measured['networks'] for stage in network['stages']]
    starts = np.cumsum([0, *sizes])
    with matplotlib.rc_context({**STYLE, 'axes.spines.left': False, 'axes.spines.bottom': False}):
        figure = Figure(figsize=(9.4, 8.6), layout='constrained')
        axes = figure.subplots()
        image = axes.imshow(values, vmin=0, vmax=1, cmap='viridis')
        for i, j in np.ndindex(values.shape):
            # Only one decimal has room at the width of a page, without its zero.
            text = '1' if values[i, j] > 0.95 else f'{max(values[i, j], 0):.1f}'[1:]
            axes.text(j, i, text, ha='center', va='center', size=8, color='black' if values[i, j] > 0.5 else 'white')
        centres = (starts[:-1] + starts[1:] - 1) / 2
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(range(len(stages)), stages, minor=True)
            axis.set_ticks(centres, [name.replace(' ', '\n') for name in names])
            axis.set_tick_params(which='both', length=0)
            axis.set_tick_params(which='minor', labelsize=8)
            axis.set_tick_params(which='major', labelsize=10, pad=16)
        for start in starts[1:-1]:
            axes.axvline(start - 0.5, color='white', linewidth=2)
            axes.axhline(start - 0.5, color='white', linewidth=2)
        bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=30, pad=0.01)
        bar.set_label('linear CKA')
        bar.outline.set_visible(False)
        return svg(figure)


if __name__ == '__main__':
    README_PICTURE.write_text(readme_picture())
