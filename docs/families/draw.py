#!/usr/bin/env python
"""Draws the pictures of these pages: `python docs/families/draw.py` writes *.svg beside itself."""

import math
from pathlib import Path

import matplotlib
import torch
from matplotlib import pyplot as plt

from mlp_backbones.backbones.sparsemlp import Experts
from mlp_backbones.backbones.swinmlp import WindowMixer
from mlp_backbones.backbones.visionpermutator import PermuteMixer
from mlp_backbones.backbones.wavemlp import WaveMixer
from mlp_backbones.backbones.wavemlp import _wave as wave
from mlp_backbones.ops import axial_shift, cycle_shift, fold_regions, on_native_grid

HERE = Path(__file__).parent
COLOURS = matplotlib.colormaps['tab10'].colors
# Text as text, and no date or random ids, so that drawing again gives the same file.
matplotlib.rcParams.update({'svg.fonttype': 'none', 'svg.hashsalt': 'mlp_backbones', 'font.size': 9})


def grid(axis, values, title, colour, xlabel='position', ylabel='channel'):
    """A matrix [rows, columns] of whole numbers, one in each cell; 0 is nothing, or what padding brought in."""
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


def mlpmixer():
    height, width, side = 5, 7, 3
    numbers = torch.arange(1.0, height * width + 1).view(1, 1, height, width)
    given = {}
    for rule in ('tile', 'resize'):
        # What the rule hands to the token MLP.
        on_native_grid(numbers, side, rule, lambda x, rule=rule: given.setdefault(rule, x))
    columns = -(-width // side)

    def by_tile(_, value):
        row, column = divmod(value - 1, width)
        return COLOURS[row // side * columns + column // side]

    figure = plt.figure(figsize=(10, 3.3))
    axes = figure.add_gridspec(1, 3, width_ratios=(width, 10, side), wspace=0.2)
    label = dict(xlabel='', ylabel='')
    title = f'a map of {height}x{width} positions, native grid {side}x{side}'
    grid(figure.add_subplot(axes[0]), numbers[0, 0], title, by_tile, **label)
    tiles = axes[1].subgridspec(len(given['tile']) // columns, columns, wspace=0.1, hspace=0.1)
    for i, tile in enumerate(given['tile']):
        title = "'tile': each is mixed alone" if i == columns // 2 else ''
        grid(figure.add_subplot(tiles[i // columns, i % columns]), tile[0], title, by_tile, **label)
    resized = given['resize'][0, 0].round()
    grid(figure.add_subplot(axes[2]), resized, "'resize': there and back", lambda *_: COLOURS[7], **label)
    figure.suptitle('MLP-Mixer: one MLP over all positions of a fixed grid; two rules for maps of another size', y=1.08)
    save(figure, 'mlpmixer')


def sparsemlp():
    # Of 4 experts (rows) and 8 vectors (columns); whole numbers, so that no machine rounds them otherwise.
    logits = torch.tensor([[3, 0, 2, 1, 3, 0, 2, 4], [1, 2, 0, 3, 1, 3, 1, 0], [0, 1, 1, 0, 2, 1, 3, 2], [-1.0] * 8])
    experts = Experts(len(logits.T), 1, len(logits), 2).eval()
    experts.gate.weight.data = logits
    dispatched = {}
    # What is dispatched, in place of the dispatch.
    experts._chosen_experts = lambda x, weights, chosen: dispatched.update(weights=weights, chosen=chosen)
    experts(torch.eye(len(logits.T)))
    weights, chosen = dispatched['weights'], dispatched['chosen']
    percent = torch.zeros_like(logits).T.scatter(1, chosen, 100 * weights).round().T
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), width_ratios=(8, 7))
    title = 'the gate: percent of the best 2 experts for each vector'
    grid(axes[0], percent, title, lambda row, _: COLOURS[row], 'vector', 'expert')
    axes[1].set(xlim=(0, 7), ylim=(4, 0), xticks=[], yticks=[], aspect=1, title='what each expert maps: vectors 1 to 8')
    for expert in range(len(logits)):
        vectors = (chosen == expert).any(1).nonzero().flatten().tolist()
        for place, vector in enumerate(vectors):
            fill = (*COLOURS[expert], 0.75)
            axes[1].add_patch(plt.Rectangle((place, expert), 1, 1, facecolor=fill, edgecolor='white', linewidth=1.5))
            axes[1].text(place + 0.5, expert + 0.5, vector + 1, ha='center', va='center')
        if not vectors:
            axes[1].text(0.2, expert + 0.5, 'none: the auxiliary loss works against this', va='center', color='grey')
    for spine in axes[1].spines.values():
        spine.set_visible(False)
    figure.suptitle('Sparse-MLP: every vector goes through the experts that its gate finds best, and through no others')
    figure.tight_layout()
    save(figure, 'sparsemlp')


def swinmlp():
    side, size = 8, 4
    # Each position has a power of two: the sum over a window, which is what maps of ones give, says what is in it.
    powers = 2.0 ** torch.arange(side**2, dtype=torch.float64).view(1, 1, side, side)
    figure, axes = plt.subplots(1, 2, figsize=(8, 4.6))
    for axis, shifted in zip(axes, (False, True), strict=True):
        mixer = WindowMixer(1, size, shifted).double().requires_grad_(False)
        mixer.spatial_mlp.weight.fill_(1)
        mixer.spatial_mlp.bias.zero_()
        windows = mixer(powers)[0, 0].unique(return_inverse=True)[1] + 1
        first = -(size - size // 2) if shifted else 0
        title = f'every second block: they begin {-first} before the map' if shifted else 'windows of 4x4'
        grid(axis, windows, title, lambda _, value: COLOURS[value - 1], '', '')
        for line in range(first, side + size, size):
            axis.plot((first, side - first), (line, line), (line, line), (first, side - first), color='grey', lw=0.8)
        axis.set(xlim=(-2.2, side + 2.2), ylim=(side + 2.2, -2.2))
    figure.suptitle(f'Swin-MLP: each head maps the {size}x{size} positions of a window; zeros complete the outer ones')
    figure.tight_layout()
    save(figure, 'swinmlp')


def visionpermutator():
    segments, length = 4, 4
    mixer = PermuteMixer(segments * 2, segments, 'tile')
    # Tens are the segment, ones the position along H.
    segment = torch.arange(1.0, segments + 1).repeat_interleave(2).view(1, -1, 1, 1)
    x = 10 * segment + torch.arange(1.0, length + 1).view(1, 1, -1, 1)
    by_segment = lambda _, value: COLOURS[value // 10 - 1]  # noqa: E731
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.6))
    grid(axes[0], x[0, :, :, 0], 'one column of the map, 8 channels in 4 segments', by_segment, 'position along H')
    title = 'swapped: all positions of a segment are channels'
    grid(axes[1], mixer.swap(x, 2)[0, :, :, 0], title, by_segment, 'segment', 'position x channel')
    figure.suptitle('Vision Permutator: a linear map of channels then mixes positions (31: segment 3, position 1)')
    figure.tight_layout()
    save(figure, 'visionpermutator')


def wavemlp():
    aligned, opposed = [0.3] * 6, [0.3, 0.3 + math.pi] * 3
    phase = torch.tensor([aligned + opposed, [angle + 0.9 for angle in aligned + opposed]])
    mixer = WaveMixer(2, 'fc', torch.nn.BatchNorm2d).requires_grad_(False)
    mixer.tfc_h.weight.fill_(1)
    # In tenths.
    parts = wave(torch.full((1, 2, 1, 12), 10.0), phase[None, :, None])
    figure, axes = plt.subplots(3, 1, figsize=(8, 6.6), height_ratios=(2, 4, 2))
    for row, angles in enumerate(phase.tolist()):
        for column, angle in enumerate(angles):
            x, y = 0.42 * math.cos(angle), -0.42 * math.sin(angle)
            arrow = dict(arrowstyle='->', color=COLOURS[0 if column < 6 else 3])
            axes[0].annotate('', (column + 0.5 + x, row + 0.5 + y), (column + 0.5 - x, row + 0.5 - y), arrowprops=arrow)
    axes[0].set(xlim=(0, 12), ylim=(2, 0), xticks=[], yticks=[], aspect=1, ylabel='channel')
    axes[0].set_title('one row of the map, 2 channels: all waves of amplitude 1, the first six in phase')
    for spine in axes[0].spines.values():
        spine.set_visible(False)
    title = 'in tenths: amplitude times cosine (first 2 rows) and sine (last 2) of the phase'
    grid(axes[1], parts[0, :, 0].round(), title, lambda row, _: COLOURS[row // 2], '', 'part x channel')
    title = 'sums over 7 neighbours: waves in phase add up, opposed ones cancel'
    grid(axes[2], mixer.tfc_h(parts)[0, :, 0].round(), title, lambda row, _: COLOURS[row])
    figure.suptitle('Wave-MLP: every token has a phase, and neighbours are added as waves')
    figure.tight_layout()
    save(figure, 'wavemlp')


if __name__ == '__main__':
    for draw in (asmlp, cyclemlp, hiremlp, convmlp, mlpmixer, sparsemlp, swinmlp, visionpermutator, wavemlp):
        draw()
