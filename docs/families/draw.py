"""Draw the families' networks, the idea of each mixer, and the receptive fields of their outputs."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from textwrap import fill

import matplotlib
import numpy as np
import torch
from ideas import activemlp, arrow, box, cmt, gmlp, msmlp, raftmlp, ramlp, resmlp, shiftvit, spiralmlp
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

import mlp_backbones as mb
from benchmarks.drawing import COLOURS, INK, PALE, STYLE, svg
from mlp_backbones.backbones import MLPBackbone
from mlp_backbones.backbones.activemlp import ActiveBlock
from mlp_backbones.backbones.base import Block
from mlp_backbones.backbones.cmt import CMTBlock
from mlp_backbones.backbones.convmlp import ConvBlock, ConvMLPBlock
from mlp_backbones.backbones.gmlp import GMLPBlock
from mlp_backbones.backbones.msmlp import MixShiftBlock
from mlp_backbones.backbones.raftmlp import RaftBlock
from mlp_backbones.backbones.ramlp import RaMLPBlock
from mlp_backbones.backbones.resmlp import ResMLPBlock
from mlp_backbones.backbones.shiftvit import ShiftBlock
from mlp_backbones.backbones.sparsemlp import Experts, SparseBlock
from mlp_backbones.backbones.swinmlp import WindowMixer
from mlp_backbones.backbones.visionpermutator import PermuteMixer
from mlp_backbones.backbones.wavemlp import WaveMixer
from mlp_backbones.backbones.wavemlp import _wave as wave
from mlp_backbones.ops import axial_shift, cycle_shift, fold_regions, on_native_grid

SIDE = 224  # of the photograph, in pixels
WEAKEST = 1e-3  # of the strongest influence; below it none is drawn
BLOCKS = (Block, ConvBlock, ConvMLPBlock, SparseBlock, CMTBlock, GMLPBlock, RaftBlock, RaMLPBlock, ResMLPBlock)
BLOCKS += (ActiveBlock, MixShiftBlock, ShiftBlock)


@dataclass(frozen=True)
class Page:
    """Settings of the drawings of one family.

    Attributes:
        variant: variant to draw.
        stem: first line in the stem's box.
        idea: function that draws the mixer's idea; its docstring is the caption.
    """

    variant: str
    stem: str
    idea: Callable[[], Figure]


def grid(
    axis: Axes, values: Tensor, title: str, colour: Callable, xlabel: str = 'position', ylabel: str = 'channel'
) -> None:
    """Draw a matrix ``[rows, columns]`` of whole numbers, one per cell; 0 is empty, or padding."""
    rows, columns = values.shape
    for row in range(rows):
        for column in range(columns):
            value = int(values[row, column])
            if value:
                axis.add_patch(
                    matplotlib.patches.Rectangle((column + 0.03, row + 0.03), 0.94, 0.94, color=colour(row, value))
                )
            ink = dict(color='black') if value else dict(color=INK, alpha=0.6)
            axis.text(column + 0.5, row + 0.5, value or '0', ha='center', va='center', size=9, **ink)
    axis.set(xlim=(0, columns), ylim=(rows, 0), xticks=[], yticks=[], xlabel=xlabel, ylabel=ylabel, aspect=1)
    # A title is no wider than what it stands over.
    axis.set_title(fill(title, max(5 * columns, 24)))
    axis.spines[:].set_visible(False)


def positions(channels: int, length: int) -> Tensor:
    return torch.arange(1.0, length + 1).expand(1, channels, 1, length)


def before_and_after(x: Tensor, y: Tensor, titles: tuple[str, str], cycle: Callable[[int], int]) -> Figure:
    figure = Figure(figsize=(7, 4.8), layout='constrained')
    for axis, values, title in zip(figure.subplots(1, 2), (x, y), titles, strict=True):
        grid(axis, values[0, :, 0], title, lambda row, _: PALE[cycle(row)])
    return figure


def asmlp() -> Figure:
    """A point-wise layer after the shift reads five neighbours along an axis, zeros beyond the border."""
    x = positions(10, 7)
    titles = 'one row: 10 channels in 5 groups', 'shifted: group g moves by g - 2'
    return before_and_after(x, axial_shift(x, 5, 3), titles, lambda row: row // 2)


def cyclemlp() -> Figure:
    """A point-wise layer that reads each channel at its own offset."""
    x = positions(9, 7)
    titles = 'one row of the map, 9 channels', 'what the layer reads: offsets 0, 1, -1, 0, 1, -1, ...'
    return before_and_after(x, cycle_shift(x, 3, 3), titles, lambda row: row % 3)


def hiremlp() -> Figure:
    """Regions of neighbours are mixed as channels; the roll lets them change partners."""
    x = positions(2, 9)
    figure = Figure(figsize=(8, 6.4), layout='constrained')
    axes = figure.subplots(3, 1, height_ratios=(2, 2, 6))
    by_region = lambda _, value: PALE[(value - 1) // 3]  # noqa: E731
    grid(axes[0], x[0, :, 0], 'one row of the map, 2 channels', by_region, xlabel='')
    grid(axes[1], torch.roll(x, 1, 3)[0, :, 0], 'rolled by the step 1, around the border', by_region)
    folded = fold_regions(x, 3, 1, 3)[0, :, 0]
    grid(axes[2], folded, 'folded: 3 neighbours become channels', by_region, 'region', 'channel x neighbour')
    return figure


def convmlp() -> Figure:
    """A block of the MLP stages: two channel MLPs, and between them a depth-wise convolution that joins neighbours."""
    parts = [
        ('channel MLP', 'mixes the channels\nof each position', 3),
        ('depth-wise 3x3', 'mixes 9 neighbours\nof each channel', 0),
    ]
    parts.append(('channel MLP', 'mixes the channels\nof each position', 3))
    figure = Figure(figsize=(8, 1.9))
    axis = figure.subplots()
    for i, (name, inside, colour) in enumerate(parts):
        box(axis, 3 * i, 0, 2.2, 1.4, colour, name, inside)
        arrow(axis, 3 * i - 0.7, 3 * i, 0.7)
    arrow(axis, 8.2, 8.9, 0.7)
    # Around each part, from before it to behind it.
    for start, end in ((-0.45, 2.5), (5.55, 8.5)):
        axis.plot((start, start, end, end), (0.7, 1.7, 1.7, 0.78), color=INK, lw=1)
        axis.text((start + end) / 2, 1.76, 'added', ha='center', va='bottom', size=9)
    axis.set(xlim=(-0.8, 9), ylim=(-0.05, 2.05))
    axis.axis('off')
    return figure


def mlpmixer() -> Figure:
    """One MLP over all positions of a fixed grid, and two rules for maps of another size."""
    height, width, side = 5, 7, 3
    numbers = torch.arange(1.0, height * width + 1).view(1, 1, height, width)
    given = {}
    for rule in ('tile', 'resize'):
        # What the rule hands to the token MLP.
        on_native_grid(numbers, side, rule, lambda x, rule=rule: given.setdefault(rule, x))
    columns = -(-width // side)

    def by_tile(_: int, value: int) -> str:
        row, column = divmod(value - 1, width)
        return PALE[row // side * columns + column // side]

    figure = Figure(figsize=(9.5, 3.6), layout='constrained')
    left, middle, right = figure.subfigures(1, 3, width_ratios=(width, 10, side + 1))
    label = dict(xlabel='', ylabel='')
    for part, title in (
        (left, f'a map of {height}x{width}, native grid {side}x{side}'),
        (middle, "'tile': each tile by itself"),
        (right, "'resize': to the\ngrid and back"),
    ):
        part.suptitle(title, size=10)
    grid(left.subplots(), numbers[0, 0], '', by_tile, **label)
    for axis, tile in zip(middle.subplots(len(given['tile']) // columns, columns).flat, given['tile'], strict=True):
        grid(axis, tile[0], '', by_tile, **label)
    grid(right.subplots(), given['resize'][0, 0].round(), '', lambda *_: PALE[7], **label)
    return figure


def sparsemlp() -> Figure:
    """Each vector passes only through the experts that its gate prefers."""
    # Of 4 experts (rows) and 8 vectors (columns); whole numbers, so that no machine rounds them otherwise.
    logits = torch.tensor([[3, 0, 2, 1, 3, 0, 2, 4], [1, 2, 0, 3, 1, 3, 1, 0], [0, 1, 1, 0, 2, 1, 3, 2], [-1.0] * 8])
    experts = Experts(len(logits.T), 1, len(logits), 2).eval()
    experts.gate.weight.data = logits
    # Each expert answers with its number as a vector, so that the output holds the weights of the experts.
    experts.fc2.data.zero_()
    experts.bias2.data = torch.eye(*logits.shape)
    with torch.no_grad():
        percent = (100 * experts(torch.eye(len(logits.T)))[:, : len(logits)].T).round()
    figure = Figure(figsize=(9, 3), layout='constrained')
    axes = figure.subplots(1, 2, width_ratios=(8, 7))
    grid(axes[0], percent, 'the gate: percent of the best 2 experts', lambda row, _: PALE[row], 'vector', 'expert')
    axes[1].set(xlim=(0, 7), ylim=(4, 0), xticks=[], yticks=[], aspect=1, title='each expert maps its own vectors')
    for expert in range(len(logits)):
        vectors = percent[expert].nonzero().flatten().tolist()
        for place, vector in enumerate(vectors):
            axes[1].add_patch(
                matplotlib.patches.Rectangle((place + 0.03, expert + 0.03), 0.94, 0.94, color=PALE[expert])
            )
            axes[1].text(place + 0.5, expert + 0.5, vector + 1, ha='center', va='center', color='black', size=9)
        if not vectors:
            axes[1].text(0.1, expert + 0.5, 'none: the auxiliary loss prevents this', va='center', alpha=0.7, size=9)
    axes[1].spines[:].set_visible(False)
    return figure


def swinmlp() -> Figure:
    """Each head maps the 16 positions of a 4x4 window; zeros complete the outer windows."""
    side, size = 8, 4
    # Each position has a power of two: the sum over a window, which is what maps of ones give, tells what is in it.
    powers = 2.0 ** torch.arange(side**2, dtype=torch.float64).view(1, 1, side, side)
    figure = Figure(figsize=(8, 4.2), layout='constrained')
    for axis, shifted in zip(figure.subplots(1, 2), (False, True), strict=True):
        mixer = WindowMixer(1, size, shifted).double().requires_grad_(False)
        mixer.spatial_mlp.weight.fill_(1)
        mixer.spatial_mlp.bias.zero_()
        windows = mixer(powers)[0, 0].unique(return_inverse=True)[1] + 1
        first = -(size - size // 2) if shifted else 0
        title = f'every second block: windows begin {-first} before the map' if shifted else 'windows of 4x4'
        grid(axis, windows, title, lambda _, value: PALE[value - 1], '', '')
        for line in range(first, side + size, size):
            axis.plot(
                (first, side - first), (line, line), (line, line), (first, side - first), color=INK, alpha=0.6, lw=1
            )
        axis.set(xlim=(-2.2, side + 2.2), ylim=(side + 2.2, -2.2))
    return figure


def visionpermutator() -> Figure:
    """After the swap a linear map of channels mixes positions (31: segment 3, position 1)."""
    segments, length = 4, 4
    mixer = PermuteMixer(segments * 2, segments, 'tile')
    # Tens are the segment, ones the position along H.
    segment = torch.arange(1.0, segments + 1).repeat_interleave(2).view(1, -1, 1, 1)
    x = 10 * segment + torch.arange(1.0, length + 1).view(1, 1, -1, 1)
    by_segment = lambda _, value: PALE[value // 10 - 1]  # noqa: E731
    figure = Figure(figsize=(8, 4.6), layout='constrained')
    axes = figure.subplots(1, 2)
    grid(axes[0], x[0, :, :, 0], 'one column of the map, 8 channels in 4 segments', by_segment, 'position along H')
    title = 'swapped: the positions of a segment are channels'
    grid(axes[1], mixer.swap(x, 2)[0, :, :, 0], title, by_segment, 'segment', 'position x channel')
    return figure


def wavemlp() -> Figure:
    """Every token has a phase, and neighbours are added as waves."""
    aligned, opposed = [0.3] * 6, [0.3, 0.3 + math.pi] * 3
    phase = torch.tensor([aligned + opposed, [angle + 0.9 for angle in aligned + opposed]])
    mixer = WaveMixer(2, 'fc', torch.nn.BatchNorm2d).requires_grad_(False)
    mixer.tfc_h.weight.fill_(1)
    # In tenths.
    parts = wave(torch.full((1, 2, 1, 12), 10.0), phase[None, :, None])
    figure = Figure(figsize=(8, 6.8), layout='constrained')
    axes = figure.subplots(3, 1, height_ratios=(2, 4, 2))
    for row, angles in enumerate(phase.tolist()):
        for column, angle in enumerate(angles):
            x, y = 0.42 * math.cos(angle), -0.42 * math.sin(angle)
            style = dict(arrowstyle='->', color=COLOURS[0 if column < 6 else 3])
            axes[0].annotate('', (column + 0.5 + x, row + 0.5 + y), (column + 0.5 - x, row + 0.5 - y), arrowprops=style)
    axes[0].set(xlim=(0, 12), ylim=(2, 0), xticks=[], yticks=[], aspect=1, ylabel='channel')
    axes[0].set_title('one row of the map: waves of amplitude 1, six of them in phase')
    axes[0].spines[:].set_visible(False)
    title = 'amplitude times cosine (rows 1, 2) and sine (rows 3, 4), in tenths'
    grid(axes[1], parts[0, :, 0].round(), title, lambda row, _: PALE[row // 2], '', 'part x channel')
    title = 'sums over 7 neighbours: waves in phase add up, others cancel'
    grid(axes[2], mixer.tfc_h(parts)[0, :, 0].round(), title, lambda row, _: PALE[row])
    return figure


def blocks_before(net: MLPBackbone) -> list[str]:
    """Run the network, and count the blocks before each output, with strides that differ from the output's."""
    kinds = {ConvBlock: 'conv block', ConvMLPBlock: 'MLP block'}
    counts: list[Counter[tuple[str, int]]] = [Counter() for _ in net.out_indices]

    def count(output: int) -> Callable:
        def hook(block: nn.Module, given: tuple, result: Tensor) -> None:
            sparse = any(isinstance(part, Experts) for part in block.modules())
            kind = 'sparse block' if sparse else kinds.get(type(block), 'block')
            counts[output][kind, round(SIDE / result.shape[-1])] += 1

        return hook

    for i, stage in enumerate(net.stages):
        output = next(place for place, index in enumerate(net.out_indices) if i <= index)
        for block in stage.modules():
            if isinstance(block, BLOCKS):
                block.register_forward_hook(count(output))
    with torch.inference_mode():
        net(torch.zeros(1, 3, SIDE, SIDE))
    lines = [
        '\n'.join(
            f'{number} {kind}{"s" * (number > 1)}' + (f'\nat stride {stride}' if stride != out_stride else '')
            for (kind, stride), number in found.items()
        )
        for found, out_stride in zip(counts, net.out_strides, strict=True)
    ]
    return [text or 'the stem only' for text in lines]


def draw_network(net: MLPBackbone, stem: str) -> Figure:
    """Draw the stem, and the blocks, channels and strides before each output, as the network has them."""
    figure = Figure(figsize=(9.4, 2.9))
    axis = figure.add_axes((0, 0, 1, 1))
    with torch.inference_mode():
        after_stem = net.stem(torch.zeros(1, 3, SIDE, SIDE))
    # The height is that of the map, on a scale that leaves room for text.
    height = lambda stride: 1.5 + 0.3 * math.log2(32 / stride)  # noqa: E731
    stride = round(SIDE / after_stem.shape[-1])
    inside = f'{stem}\n{after_stem.shape[1]} channels\nstride {stride}'
    box(axis, 0, -height(stride) / 2, 1.75, height(stride), 7, 'stem', inside)
    axis.text(-0.52, 0, 'image', ha='right', va='center')
    arrow(axis, -0.5, 0, 0)
    for i, (channels, stride, inside) in enumerate(
        zip(net.out_channels, net.out_strides, blocks_before(net), strict=True)
    ):
        x = 2.25 * (i + 1)
        box(axis, x, -height(stride) / 2, 1.75, height(stride), (0, 2, 1, 4)[i], f'{channels} channels', inside)
        arrow(axis, x - 0.5, x, 0)
        place = dict(xy=(x + 0.875, -height(stride) / 2), xytext=(x + 0.875, -1.75), ha='center', va='top')
        axis.annotate(f'output {i}\nstride {stride}', **place, arrowprops=dict(arrowstyle='<-', color=INK))
    axis.set(xlim=(-1.1, 10.8), ylim=(-2.4, 1.3))
    axis.axis('off')
    return figure


def photograph() -> np.ndarray:
    """Return a square of scikit-learn's photograph of a temple, ``[SIDE, SIDE, 3]`` from 0 to 1."""
    image = Image.fromarray(load_sample_image('china.jpg')).crop((60, 0, 487, 427))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)) / 255


def influence(output: Tensor, source: Tensor) -> np.ndarray:
    """Return the influence of each position of ``source`` on the middle of ``output``, ``[H, W]`` from 0 to 1.

    It is the gradient of a random mixture of the position's channels, summed over the channels of the source.
    """
    middle = output[0, :, output.shape[2] // 2, output.shape[3] // 2]
    (gradient,) = torch.autograd.grad((middle * torch.randn(len(middle))).sum(), source, retain_graph=True)
    strength = gradient[0].abs().sum(0)
    return (strength / strength.max()).numpy()


def draw_reach(net: MLPBackbone) -> Figure:
    """Draw receptive fields of the middle of a map over a photograph: of one mixer, and of each output."""
    torch.manual_seed(0)
    net.eval()
    photo = photograph()
    image = torch.tensor((photo - 0.45) / 0.225, dtype=torch.float32).permute(2, 0, 1)[None].requires_grad_(True)
    mixer = reading_part(net)
    seen = {}
    handle = mixer.register_forward_hook(lambda module, given, result: seen.update(source=given[0], output=result))
    outputs = net(image)
    handle.remove()
    stride = round(SIDE / seen['source'].shape[-1])
    panels = [(f'one mixer, stride {stride}', influence(seen['output'], seen['source']), stride)]
    for i, (output, stride) in enumerate(zip(outputs, net.out_strides, strict=True)):
        # Pixels are averaged over the patches of the stem, which it reads as one.
        pixels = torch.tensor(influence(output, image))[None, None]
        patch = round(SIDE / net.stem(image).shape[-1])
        pooled = nn.functional.avg_pool2d(pixels, patch)[0, 0]
        panels.append((f'output {i}, stride {stride}', (pooled / pooled.max()).numpy(), stride))
    figure = Figure(figsize=(10, 2.5), layout='constrained')
    for axis, (title, strength, stride) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        reached = (strength >= WEAKEST).mean()
        heat = 1 - np.log10(np.clip(strength, WEAKEST, 1)) / math.log10(WEAKEST)
        heat = np.asarray(Image.fromarray(heat.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.NEAREST))
        axis.imshow(lay_over(photo, heat), interpolation='none')
        centre = (SIDE // stride // 2 + 0.5) * stride - 0.5
        axis.plot(centre, centre, 'o', mfc='none', mec='white', mew=1.5, ms=7)
        # Positions of a map are counted for the mixer, and patches of the image for the outputs.
        axis.set(xticks=[], yticks=[], title=title, xlabel=f'{100 * reached:.{0 if reached > 0.0995 else 1}f} %')
        axis.spines[:].set_visible(False)
    return figure


def reading_part(net: MLPBackbone) -> nn.Module:
    """Return the mixer of the second stage with blocks that have one, or of the first if there is no other map."""
    maps = [next((m for m in stage.modules() if isinstance(m, BLOCKS[:1] + BLOCKS[2:])), None) for stage in net.stages]
    block = [block for block in maps if block][1]
    return getattr(block, 'mixer', None) or getattr(block, 'connect', None) or block


def lay_over(photo: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return dark grey where ``heat`` is 0, the photograph where it is weak, and orange where it is 1."""
    grey = photo.mean(-1, keepdims=True) * 0.45
    heat = np.clip(heat, 0, 1)[..., None]
    tinted = photo * 0.5 + np.array([1.0, 0.62, 0.1]) * 0.5
    return np.clip(grey * (1 - np.sqrt(heat)) + tinted * np.sqrt(heat), 0, 1)


PAGES = {
    'activemlp': Page('activemlp_tiny', '7x7 conv', activemlp),
    'asmlp': Page('asmlp_tiny', '4x4 patches', asmlp),
    'cmt': Page('cmt_s', '3 conv 3x3', cmt),
    'convmlp': Page('convmlp_s', '3 conv, max-pool', convmlp),
    'cyclemlp': Page('cyclemlp_b2', '7x7 conv', cyclemlp),
    'gmlp': Page('gmlp_s16', '16x16 patches', gmlp),
    'hiremlp': Page('hiremlp_small', '7x7 conv', hiremlp),
    'mlpmixer': Page('mlpmixer_b16', '16x16 patches', mlpmixer),
    'msmlp': Page('msmlp_tiny', '4x4 patches', msmlp),
    'raftmlp': Page('raftmlp_m', '4x4, 8x8 patches', raftmlp),
    'ramlp': Page('ramlp_tiny', '7x7 conv', ramlp),
    'resmlp': Page('resmlp_s24', '16x16 patches', resmlp),
    'shiftvit': Page('shiftvit_t', '4x4 patches', shiftvit),
    'sparsemlp': Page('sparsemlp_b', '16x16 patches', sparsemlp),
    'spiralmlp': Page('spiralmlp_b2', '7x7 conv', spiralmlp),
    'swinmlp': Page('swinmlp_tiny_c24', '4x4 patches', swinmlp),
    'visionpermutator': Page('visionpermutator_s7', '7x7 patches', visionpermutator),
    'wavemlp': Page('wavemlp_s', '7x7 conv', wavemlp),
}


def drawings(family: str) -> dict[str, str]:
    """Return the files of a family's page by name: three drawings, and Markdown that includes them."""
    page = PAGES[family]
    with matplotlib.rc_context(STYLE):
        torch.manual_seed(0)
        net = mb.build_backbone(page.variant).eval()
        files = {
            f'{family}-network.svg': svg(draw_network(net, page.stem)),
            f'{family}-idea.svg': svg(page.idea()),
            f'{family}-reach.svg': svg(draw_reach(net)),
        }
    captions = {
        'network': f'The whole network, `{page.variant}`. Each output follows the blocks of its box.',
        'idea': page.idea.__doc__,
        'reach': (
            f'Receptive field of the circled position, measured on `{page.variant}` with random weights: the gradient '
            'with respect to the input of one mixer, and to the image. The colour follows the logarithm, down to '
            '1/1000 of the strongest influence; the percentage is the fraction of the map, or of the image, above '
            'that. Photograph: scikit-learn.'
        ),
    }
    text = ''.join(f'![{caption}]({family}-{kind}.svg)\n\n*{caption}*\n\n' for kind, caption in captions.items())
    return {**files, f'{family}-drawings.md': text}
