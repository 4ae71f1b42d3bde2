"""Tells from names and shapes which network a file holds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..backbones import FAMILIES
from .key_maps import official_name


@dataclass(frozen=True)
class Identity:
    """Which network a state dict holds; ``str`` gives e.g. ``CycleMLP-B2``.

    Attributes:
        family: name of the family.
        arch: name of the published variant, or None for widths or depths of its own.
        own: whether the names are those of this package rather than the published ones.
        names: names of this package to those of the file, for all tensors of the backbone that it holds.
    """

    family: str
    arch: str | None
    own: bool
    names: dict[str, str]

    def __str__(self) -> str:
        return label(self.family, self.arch)


def label(family: str, arch: str | None) -> str:
    """A network's name in messages."""
    return f'{family} of its own widths or depths' if arch in (None, 'custom') else f'{family}-{arch.capitalize()}'


def identify(state: Mapping[str, Tensor]) -> Identity | None:
    """Finds family and variant of a backbone's tensors, named as here or as published.

    Args:
        state: tensors by name, without any prefix such as ``backbone.``.

    Returns:
        The identity, or None if no family here has such names.
    """
    own = any(name.startswith('stem.') for name in state)
    depth = min(1 + max((int(n) for name in state for n in re.findall(r'\d+', name)), default=0), 99)
    found: list[Identity] = []
    for family in FAMILIES:
        names = {name: name if own else official for name, official in _possible_names(family, depth).items()}
        if not own:
            names |= last_norm(FAMILIES[family], state)
        names = {name: given for name, given in names.items() if given in state}
        found.append(Identity(family, None, own, names))
    best = max(found, key=lambda identity: len(identity.names))
    if not any(name.startswith('stages.') for name in best.names):
        return None
    trunk = {name: squeezed(state[given]) for name, given in best.names.items() if name.startswith('stages.')}
    arch = next((arch for arch in FAMILIES[best.family].variants if _trunk(best.family, arch) == trunk), None)
    return Identity(best.family, arch, own, best.names)


def last_norm(family: type, state: Mapping[str, Tensor]) -> dict[str, str]:
    """Names here to published names of a classifier's norm, which does the work of the last output norm."""
    last = len(family.strides) - 1
    return {f'out_norms.{last}.{name[5:]}': name for name in state if name.startswith('norm.')}


def squeezed(tensor: Tensor) -> tuple[int, ...]:
    """A shape without the ones at its end: a linear map and the same one as a 1x1 convolution are equal in it."""
    shape = tuple(tensor.shape)
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


@lru_cache
def _possible_names(family: str, depth: int) -> dict[str, str]:
    """Names here to published names, in a network whose stages all have ``depth`` blocks."""
    variant = next(iter(FAMILIES[family].variants.values()))
    depths = {
        key: depth if isinstance(value, int) else (depth,) * len(value)
        for key, value in variant.items()
        if 'depth' in key
    }
    with torch.device('meta'):
        net = FAMILIES[family](arch={**variant, **depths}, out_norm=True)
    return {name: official_name(family, name) for name in net.state_dict()}


@lru_cache
def _trunk(family: str, arch: str) -> dict[str, tuple[int, ...]]:
    with torch.device('meta'):
        state = FAMILIES[family](arch=arch).state_dict()
    return {name: squeezed(tensor) for name, tensor in state.items() if name.startswith('stages.')}
