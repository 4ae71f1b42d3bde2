"""The table of published weights, made from what each family's file lists, and how a name becomes a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import torch
from mmengine.logging import print_log

from ..errors import CheckpointMissing, printable
from ..registry import FAMILIES

SCHEME = 'mlp_backbones'
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Weights:
    """A published file of weights, as its authors link it. Nothing in it was measured by this package.

    Args:
        name: what it is called here: a variant, as in ``list_backbones()``, for a classifier of ImageNet-1K; the name
            of a recipe for a whole detector or segmentor.
        address: of the file; of a web page if ``file`` is given.
        metrics: reported, in percent, by their names in the metafiles.
        source: of the metrics.
        licence: of the repository that links the file; '' if it states none.
        backbone: variant in the file. Default: ``name``.
        file: name under which the file is to be saved, where only a web page serves it. Default '': it is fetched.
        size: bytes, or None where the source does not state it. Default None.
        sha256: first digits of the file's hash, or '' where the source does not state it. Default ''.
        mean, std: of the images that the network was trained on, RGB from 0 to 255. Default: ImageNet's.
        note: what else a user has to know. Default ''.
    """

    name: str
    address: str
    metrics: Mapping[str, float]
    source: str
    licence: str
    backbone: str = ''
    file: str = ''
    size: int | None = None
    sha256: str = ''
    mean: Sequence[float] = field(default=IMAGENET_MEAN)
    std: Sequence[float] = field(default=IMAGENET_STD)
    note: str = ''

    @property
    def variant(self) -> str:
        """The variant in the file, as in ``list_backbones()``."""
        return self.backbone or self.name

    @property
    def task(self) -> str:
        """What the network in the file was trained for, one of 'classification', 'detection', 'segmentation'."""
        if any('AP' in metric for metric in self.metrics):
            return 'detection'
        return 'segmentation' if any('mIoU' in metric for metric in self.metrics) else 'classification'


def list_weights(variant: str | None = None) -> list[Weights]:
    """All published weights that this package knows, family by family.

    Args:
        variant: only those of this one, e.g. ``'convmlp_s'``. Default None: all.
    """
    # A family that is made from another one, as Sparse-MLP, has not its weights.
    found = [weights for family in FAMILIES.values() for weights in vars(family).get('published_weights', ())]
    return [weights for weights in found if variant in (None, weights.variant)]


def find_weights(name: str) -> Weights:
    """Look published weights up by name.

    Raises:
        CheckpointMissing: if there are none of that name; the error names the nearest ones.
    """
    known = {weights.name: weights for weights in list_weights()}
    if name in known:
        return known[name]
    near = get_close_matches(name[:100], known, n=3, cutoff=0.5) or [*known]
    raise CheckpointMissing(
        f'no published weights are called {printable(name, 100)!r}: there are {", ".join(near)}; '
        f'mlp_backbones.list_weights() lists all'
    )


def saved_by_hand(weights: Weights) -> Path:
    """Return where a user saved a file that only a web page serves.

    Raises:
        CheckpointMissing: if it is in neither place; the error says where it is to be got, and where to save it.
    """
    places = [Path('checkpoints', weights.file), Path(torch.hub.get_dir(), 'checkpoints', weights.file)]
    for place in places:
        if place.is_file():
            return place
    raise CheckpointMissing(
        f'the weights of {weights.name} are served by a web page, which only a browser can open: download them from '
        f'{weights.address} and save them as {places[0]} in the current folder, or as {printable(places[1], 1_000)}'
    )


@cache
def log_use(weights_name: str) -> None:
    """Log once what a user of these weights has to know."""
    weights = find_weights(weights_name)
    notes = [weights.note] if weights.note else []
    if tuple(weights.mean) != IMAGENET_MEAN or tuple(weights.std) != IMAGENET_STD:
        notes.append(f'normalise images with mean={[*weights.mean]} and std={[*weights.std]}, of RGB from 0 to 255')
    if notes:
        print_log(f'the weights of {weights.name}: {"; ".join(notes)}', logger='current')
