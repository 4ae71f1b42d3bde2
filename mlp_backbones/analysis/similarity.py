"""Compare the stages of networks by linear CKA over images.

Sources: linear CKA, arXiv 1905.00414; the unbiased HSIC, Song et al., JMLR 13 (2012), pages 1393-1434; CKA as a
quotient of its means over minibatches, arXiv 2010.15327.
"""

import csv
import random
import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from ..apis.config import build_model, check_device, load_config, model_config
from ..apis.images import BadImage, read_image
from ..backbones import MLPBackbone, build_backbone, list_backbones
from ..backbones.arguments import unknown
from ..checkpoints import load_published, load_trained
from ..errors import UserError
from ..files import atomic_file, check_output, writing

SMALLEST_BATCH = 4  # HSIC_1 divides by n - 3
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
CELL = 0.4  # inches


@dataclass(frozen=True)
class Network:
    """A backbone and the preprocessing of its images."""

    name: str  # as the user gives it
    weights: str  # the checkpoint as the user gives it, or 'random, seed N'
    backbone: nn.Module  # in eval mode; one of this package returns its stages without output norms
    preprocessing: dict  # mean and std of the channels, and bgr_to_rgb, as in the libraries' data preprocessors

    def stages(self, count: int) -> list[str]:
        """Names of ``count`` outputs: those of the stages, from 1; other backbones have outputs 1, 2 and so on."""
        if isinstance(self.backbone, MLPBackbone):
            return [f'stage {i + 1}' for i in self.backbone.out_indices]
        return [f'output {i + 1}' for i in range(count)]


@dataclass(frozen=True)
class Layer:
    """A row or column of the heat map; its fields are columns of the CSV file."""

    network: str
    weights: str
    size: str
    stage: str


def load_network(name: str, checkpoint: str | None, configs: Path, every_stage: bool = False, seed: int = 0) -> Network:
    """Build a network, load its weights, and print what was loaded into a variant.

    Args:
        name: a variant, as in :func:`mlp_backbones.list_backbones`, or the path or bare name of a config.
        checkpoint: published or our own for a variant, of tools/train.py for a config. None: the weights of a variant
            are random.
        configs: where configs with bare names lie.
        every_stage: return all stages, not only the ``out_indices``; of a network of one scale, all blocks.
            Default False.
        seed: what the caller has seeded torch with, for ``Network.weights``. Default 0.

    Raises:
        UserError: if there is no such variant or config, a config comes without a checkpoint or has no backbone, or
            every stage is asked of a backbone that is not of this package.
        CheckpointError: if the checkpoint cannot be read or does not fit.
    """
    if name in list_backbones():
        backbone, preprocessing = build_backbone(name), IMAGENET
        if checkpoint:
            print(load_published(backbone, checkpoint))
        else:
            print(f'{name}: the weights are random, of seed {seed}; --checkpoints loads others')
    else:
        try:
            config = load_config(name, configs)
        except UserError as error:
            if not str(error).startswith('unknown config'):
                raise
            raise UserError(
                f'{unknown("backbone", name, list_backbones())}; or give a config by path or bare name, which '
                f'`python -m mlp_backbones zoo` lists'
            ) from error
        if not checkpoint:
            raise UserError(
                f'{name} is a config, and its weights are missing: give --checkpoints, one for each network'
            )
        if 'backbone' not in config.get('model', {}):
            raise UserError(f'{name} has no model.backbone, whose stages are compared: give a config that has one')
        model = build_model(config)
        load_trained(model, checkpoint)
        backbone, preprocessing = model.backbone, model_config(config).get('data_preprocessor') or {}
        preprocessing = dict(preprocessing, bgr_to_rgb=preprocessing.get('bgr_to_rgb') or preprocessing.get('to_rgb'))
    if isinstance(backbone, MLPBackbone):
        # Files for classification have none; fresh ones would change what is compared.
        backbone.out_norms = nn.ModuleDict()
        if every_stage:
            backbone.out_indices = tuple(range(len(backbone.stages)))
    elif every_stage:
        raise UserError(f'{name} has a {type(backbone).__name__}: --all accepts only backbones of this package')
    weights = checkpoint or f'random, seed {seed}'
    backbone.eval()  # mmdet's ResNet returns nothing
    return Network(name, weights, backbone, preprocessing)


def parse_size(text: str) -> tuple[int, int]:
    """(H, W) in pixels, of e.g. '224x224'.

    Raises:
        UserError: if it is no size.
    """
    if not re.fullmatch(r'[1-9]\d*x[1-9]\d*', text):
        raise UserError(f'{text!r} is not a size: give height x width in pixels, such as 224x320')
    height, width = map(int, text.split('x'))
    return height, width


def gram(features: Tensor) -> Tensor:
    """Return the inner products ``[n, n]`` of n images' features ``[n, ...]``, in float64."""
    features = features.flatten(1).double()
    features = features - features.mean(0)  # which does not change hsic, and would cost digits
    return features @ features.T


def hsic(grams: Tensor) -> Tensor:
    """Return the unbiased HSIC (``HSIC_1``) ``[S, S]`` of all pairs of layers on the same n images.

    Args:
        grams: ``[S, n, n]``, symmetric, one for each layer.

    Raises:
        ValueError: if there are fewer than 4 images.
    """
    n = grams.shape[-1]
    if n < SMALLEST_BATCH:
        raise ValueError(f'the unbiased HSIC takes at least {SMALLEST_BATCH} images, got {n}')
    # The published sum of three terms is the inner product of the matrices that are centred so.
    others = ~torch.eye(n, dtype=torch.bool, device=grams.device)
    grams = grams * others
    rows, total = grams.sum(-1, keepdim=True), grams.sum((-2, -1), keepdim=True)
    centred = (grams - (rows + rows.mT) / (n - 2) + total / ((n - 1) * (n - 2))) * others
    return torch.einsum('sij,tij->st', centred, centred) / (n * (n - 3))


def linear_cka(hsics: Tensor) -> Tensor:
    """Return linear CKA ``[S, S]`` from HSIC ``[S, S]``, summed or averaged over minibatches."""
    own = hsics.diagonal().sqrt()
    return hsics / own[:, None] / own


def compare(
    networks: Sequence[Network],
    sizes: Sequence[tuple[int, int]],
    images: Sequence[Path],
    console: Console,
    batch_size: int = 16,
    seed: int = 0,
    device: str = 'cpu',
) -> tuple[list[list[Layer]], Tensor]:
    """Compute linear CKA between all stages of all networks, each at every size.

    A stage's features of an image are its whole map as one vector, so that maps of any shape compare: by the inner
    products of the images of a batch.

    Args:
        networks: to compare.
        sizes: (H, W) in pixels, to which images are resized without regard to their shape.
        images: their paths. They are shuffled: the estimate takes batches to be random samples.
        console: for the progress bar.
        batch_size: images in a batch, at least 4; a rest of fewer than 4 joins the last batch. Default 16.
        seed: of the shuffling. Default 0.
        device: as torch names it. Default 'cpu'.

    Returns:
        The layers of each network at each size, and the CKA ``[S, S]`` of all of them in order, float64.

    Raises:
        UserError: if there are too few images or one is broken, the batch size or device is not valid, or features
            are not finite or the same for all images.
    """
    if batch_size < SMALLEST_BATCH:
        raise UserError(f'a batch size of {batch_size} is too small: the estimate takes at least {SMALLEST_BATCH}')
    if len(images) < SMALLEST_BATCH:
        raise UserError(f'the estimate takes at least {SMALLEST_BATCH} images, got {len(images)}: give more')
    check_device(device)
    images = random.Random(seed).sample(images, len(images))
    begins = [i for i in range(0, len(images), batch_size) if len(images) - i >= SMALLEST_BATCH]
    for network in networks:
        network.backbone.to(device)
    views = [(network, size) for network in networks for size in sizes]
    total = 0
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress, torch.inference_mode():
        parts = [images[begin:end] for begin, end in zip(begins, [*begins[1:], None], strict=True)]
        for paths in progress.track(parts, description='batches'):
            batch = {size: torch.cat([_read(path, size) for path in paths]).to(device) for size in sizes}
            found = [_features(network, batch[size]) for network, size in views]
            total = total + hsic(torch.stack([gram(map_) for maps in found for map_ in maps])).cpu()
    layers = [
        [Layer(network.name, network.weights, f'{size[0]}x{size[1]}', stage) for stage in network.stages(len(maps))]
        for (network, size), maps in zip(views, found, strict=True)
    ]
    for layer, own in zip(chain(*layers), total.diagonal().tolist(), strict=True):
        if not 0 < own < float('inf'):
            what = 'the same for all images: give others' if own == 0 else 'not finite: check its weights'
            raise UserError(f'the features of {layer.network} in {layer.stage} at {layer.size} are {what}')
    return layers, linear_cka(total)


def check_out(out: Path, source: str, force: bool = False) -> None:
    """Check the files that :func:`write` makes, before the work begins.

    Raises:
        UserError: if one exists and ``force`` is not set, would lie among the images, or cannot be written.
    """
    for path in _targets(out):
        check_output(path, force)
    if Path(source).is_dir() and Path(source).resolve() in out.resolve().parents:
        raise UserError(f'{out} lies in {source}, and would be one of the images next time: give an --out elsewhere')
    with writing(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)


def write(out: Path, layers: list[list[Layer]], values: Tensor, title: str) -> None:
    """Write what :func:`compare` returned to ``out.png`` and ``out.csv``: two against each other, or all against all.

    Raises:
        UserError: if the files cannot be written.
    """
    rows, columns = (layers[:1], layers[1:]) if len(layers) == 2 else (layers, layers)
    values = values[: sum(map(len, rows)), -sum(map(len, columns)) :].tolist()
    plot, table = _targets(out)
    # Both are complete before the first gets its name.
    with writing(out.parent), atomic_file(plot) as drawn, atomic_file(table) as listed:
        _draw(rows, columns, values, title).savefig(drawn, dpi=100, format='png')
        fields = Layer.__dataclass_fields__
        lines = [[*(f'{field}_1' for field in fields), *(f'{field}_2' for field in fields), 'cka']]
        for row, line in zip(chain(*rows), values, strict=True):
            for column, value in zip(chain(*columns), line, strict=True):
                lines.append([*asdict(row).values(), *asdict(column).values(), value])
        with listed.open('w', newline='') as file:
            csv.writer(file, lineterminator='\n').writerows(lines)


def _targets(out: Path) -> tuple[Path, Path]:
    return out.with_name(f'{out.name}.png'), out.with_name(f'{out.name}.csv')


def _read(path: Path, size: tuple[int, int]) -> Tensor:
    """An image as float ``[1, 3, *size]`` from 0 to 255, BGR."""
    try:
        image = torch.from_numpy(read_image(path).decode()).permute(2, 0, 1)[None].float()
    except BadImage as error:
        raise UserError(f'{path}: {error}; remove it, or give a pattern that leaves it out') from error
    return F.interpolate(image, size, mode='bilinear', antialias=True)


def _features(network: Network, images: Tensor) -> Sequence[Tensor]:
    given = network.preprocessing
    if given.get('bgr_to_rgb'):
        images = images.flip(1)
    if given.get('mean') is not None:
        mean, std = (images.new_tensor(given[key]).view(-1, 1, 1) for key in ('mean', 'std'))
        images = (images - mean) / std
    return network.backbone(images)


def _draw(rows: list[list[Layer]], columns: list[list[Layer]], values: list[list[float]], title: str) -> Figure:
    height, width = len(values), len(values[0])
    figure = Figure(figsize=(CELL * width + 1.4, CELL * height + 1.4), layout='constrained')
    axes = figure.subplots()
    axes.imshow(values, vmin=0, vmax=1, cmap='viridis')
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            axes.text(j, i, f'{value:.2f}', ha='center', va='center', size=7, color='black' if value > 0.5 else 'white')
    for axis, groups in ((axes.xaxis, columns), (axes.yaxis, rows)):
        starts = [sum(map(len, groups[:i])) - 0.5 for i in range(len(groups))]
        axis.set_ticks(
            range(sum(map(len, groups))), [layer.stage.split()[1] for group in groups for layer in group], minor=True
        )
        # A label for each group, beyond those of its stages.
        axis.set_ticks(
            [start + len(group) / 2 for start, group in zip(starts, groups, strict=True)],
            [_label(group) for group in groups],
            size=8,
            linespacing=1.4,
        )
        axis.set_tick_params(which='major', length=0, pad=18)
        for start in starts[1:]:
            (axes.axvline if axis is axes.xaxis else axes.axhline)(start, color='white', linewidth=2)
    for label in axes.get_yticklabels():
        label.set(rotation=90, va='center')
    axes.set_title(f'linear CKA between stages\n{title}', size=9)
    return figure


def _label(group: list[Layer]) -> str:
    layer = group[0]
    weights = layer.weights if layer.weights.startswith('random') else Path(layer.weights).name
    lines = textwrap.wrap(layer.network, max(len(group) * 7, 28))
    return '\n'.join([*lines, layer.size, textwrap.shorten(weights, 40)])
