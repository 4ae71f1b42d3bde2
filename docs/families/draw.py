#!/usr/bin/env python
"""Draws the pictures of these pages: `python docs/families/draw.py` writes *.svg beside itself."""

from pathlib import Path

import matplotlib
import torch
from matplotlib import pyplot as plt

from mlp_backbones.ops import axial_shift, cycle_shift, fold_regions

HERE = Path(__file__).parent
COLOURS = matplotlib.colormaps['tab10'].colors
# Text as text, and no date or random ids, so that drawing again gives the same file.
matplotlib.rcParams.update({'svg.fonttype': 'none', 'svg.hashsalt': 'mlp_backbones', 'font.size': 9})


def grid(axis, values, title, colour, xlabel='position', ylabel='channel'):
    """A matrix [rows, columns] of position numbers, each cell with its number; 0 is what padding brought in."""
    rows, columns = values.shape
    for row in range(rows):
        for column in range(columns):
            value = int(values[row, column])
            fill = (*colour(row, value), 0.75) if value else (1, 1, 1, 1)
            axis.add_patch(plt.Rectangle((column, row), 1, 1, facecolor=fill, edgecolor='white', linewidth=1.5))
            axis.text(
                column + 0.5, row + 0.5, value or '0', ha='center', va='center', color='black' if value else 'grey'
            )
    axis.set(
        xlim=(0, columns), ylim=(rows, 0), xticks=[], yticks=[], title=title, xlabel=xlabel, ylabel=ylabel, aspect=1
    )
    for spine in axis.spines.values():
        spine.set_visible(False)


def save(figure, name):
    figure.savefig(HERE / f'{name}.svg', metadata={'Date': None}, bbox_inches='tight')
    plt.close(figure)


def positions(channels, length):
    return torch.arange(1.0, length + 1).expand(1, channels, 1, length)


def before_and_after(x, y, titles, cycle, idea, name):
    figure, axes = plt.subplots(1, 2, figsize=(8, 4))
    for axis, values, title in zip(axes, (x, y), titles, strict=True):
        grid(axis, values[0, :, 0], title, lambda row, _: COLOURS[cycle(row)])
    figure.suptitle(idea)
    save(figure, name)


def asmlp():
    x = positions(10, 7)
    titles = 'one row: 10 channels in 5 groups', 'shifted: group g moves by g - 2'
    idea = 'AS-MLP: a point-wise layer now sees five neighbours along an axis, zeros beyond the border'
    before_and_after(x, axial_shift(x, 5, 3), titles, lambda row: row // 2, idea, 'asmlp')


def cyclemlp():
    x = positions(9, 7)
    titles = 'one row of the map, 9 channels', 'what the layer reads: offsets 0, 1, -1, 0, 1, -1, ...'
    idea = 'CycleMLP: a point-wise layer that reads each channel at its own offset'
    before_and_after(x, cycle_shift(x, 3, 3), titles, lambda row: row % 3, idea, 'cyclemlp')


def hiremlp():
    x = positions(2, 9)
    figure, axes = plt.subplots(3, 1, figsize=(8, 6), height_ratios=(2, 2, 6))
    by_region = lambda _, value: COLOURS[(value - 1) // 3]  # noqa: E731
    grid(axes[0], x[0, :, 0], 'one row of the map, 2 channels', by_region)
    grid(axes[1], torch.roll(x, 1, 3)[0, :, 0], 'rolled by the step 1, around the border', by_region)
    folded = fold_regions(x, 3, 1, 3)[0, :, 0]
    grid(axes[2], folded, 'folded: 3 neighbours become channels', by_region, 'region', 'channel x neighbour')
    figure.suptitle('Hire-MLP: regions of neighbours are mixed as channels; the roll lets them change partners')
    figure.tight_layout()
    save(figure, 'hiremlp')


def convmlp():
    parts = [
        ('tokenizer', '3 conv 3x3\nmax-pool', 1),
        ('conv stage', 'bottlenecks\n1x1, 3x3, 1x1', 0),
        ('MLP stage 1', 'channel MLP\ndw-conv 3x3\nchannel MLP', 3),
        ('MLP stage 2', 'channel MLP\ndw-conv 3x3\nchannel MLP', 3),
        ('MLP stage 3', 'channel MLP\ndw-conv 3x3\nchannel MLP', 3),
    ]
    outputs = {0: 'output 0\nstride 4', 1: 'output 1\nstride 8', 2: 'output 2\nstride 16', 4: 'output 3\nstride 32'}
    figure, axis = plt.subplots(figsize=(9, 3.4))
    for i, (name, inside, colour) in enumerate(parts):
        axis.add_patch(plt.Rectangle((2 * i, 0), 1.5, 1.6, facecolor=(*COLOURS[colour], 0.35), edgecolor='black'))
        axis.text(2 * i + 0.75, 1.4, name, ha='center', va='center', weight='bold')
        axis.text(2 * i + 0.75, 0.65, inside, ha='center', va='center')
        if i + 1 < len(parts):
            axis.annotate('', (2 * i + 2, 0.8), (2 * i + 1.5, 0.8), arrowprops=dict(arrowstyle='->'))
            axis.text(2 * i + 1.75, 0.9, '/2' if i else '', ha='center')
        if i in outputs:
            x = 2 * i + (0.75 if i in (0, 4) else 1.75)
            axis.annotate(
                outputs[i], (x, 0 if i in (0, 4) else 0.75), (x, -0.9), ha='center', arrowprops=dict(arrowstyle='<-')
            )
    axis.set(xlim=(-0.1, 9.7), ylim=(-1.2, 1.8))
    axis.axis('off')
    figure.suptitle('ConvMLP: convolutions, then channel MLPs that a depth-wise convolution joins; "/2" halves the map')
    save(figure, 'convmlp')


if __name__ == '__main__':
    for draw in (asmlp, cyclemlp, hiremlp, convmlp):
        draw()
