#!/usr/bin/env python
"""Draw loss curves, the similarity map and the README's picture; run as a script, write that picture."""

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT))

from benchmarks.drawing import COLOURS, STYLE, svg  # noqa: E402
from mlp_backbones.engine.zoo import Row, load_zoo  # noqa: E402

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
    """Draw box AP against MACs: the families' from the metafiles, and reported references."""
    references = json.loads((DOCS / 'reported_references.json').read_text())['references']
    lines: dict[str, list[tuple[float, float, str]]] = {}
    for row in comparable(load_zoo(ROOT)):
        name = row.backbone.split('_', 1)[1].upper()
        lines.setdefault(row.family, []).append((row.macs / 1e9, row.metrics['box AP'], name))
    others: dict[str, list[tuple[float, float, str]]] = {}
    for reference in references:
        others.setdefault(reference['family'], []).append((reference['macs_g'], reference['box_ap'], reference['name']))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 4.8))
        axes = figure.subplots()
        for colour, (family, points) in zip(COLOURS, lines.items(), strict=False):
            _line(axes, family, points, color=colour, marker='o', linewidth=2, markersize=7)
        for marker, (family, points) in zip('sDP', others.items(), strict=True):
            label = family if len(points) > 1 else points[0][2]
            _line(axes, label, points, color=COLOURS[7], marker=marker, linewidth=1.2, markersize=7, linestyle='--')
        axes.set(xlabel='MACs of the whole detector, G (800x1280)', ylabel='COCO box AP, %')
        axes.grid(True)
        axes.set_title('Mask R-CNN on COCO, 1x schedule, one scale: reported results', loc='left', weight='bold')
        axes.margins(x=0.09)
        return svg(figure)


def _line(axes: Axes, label: str, points: list[tuple[float, float, str]], **style: object) -> None:
    points = sorted(points)
    x, y, _ = zip(*points, strict=True)
    axes.plot(x, y, **style)
    # Beside its last point, but for the one whose line ends under another.
    place = dict(xytext=(-6, 8), ha='center') if label == 'Wave-MLP' else dict(xytext=(9, 0), va='center')
    axes.annotate(label, (x[-1], y[-1]), textcoords='offset points', color=style['color'], weight='bold', **place)


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
