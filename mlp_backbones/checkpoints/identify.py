"""Identify the network of a file by the names and shapes of its tensors."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, product

import torch
from torch import Tensor

from ..registry import FAMILIES
from .key_maps import file_names, is_constant, last_norm, official_names


@dataclass(frozen=True)
class Identity:
    """The network of a state dict; ``str`` returns e.g. ``CycleMLP-B2``.

    Attributes:
        family: name of the family.
        arch: name of the published variant, or None for other widths or depths.
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
    """Return a network's name for messages."""
    return f'{family} of its own widths or depths' if arch in (None, 'custom') else f'{family}-{arch.capitalize()}'


def identify(state: Mapping[str, Tensor]) -> Identity | None:
    """Find the family and variant of a backbone's tensors, whose names are those of this package or the published ones.

    Args:
        state: tensors by name, without any prefix such as ``backbone.``.

    Returns:
        The identity, or None if no family has such names.
    """
    own = is_own(state)
    numbers = (int(n) for name in state for n in re.findall(r'\b\d{1,3}\b', name))
    depth = 1 if own else min(1 + max(numbers, default=0), 99)
    found: list[tuple[int, int, Identity]] = []
    for family in FAMILIES:
        networks = _possible_names(family, depth)
        if own:
            names, lacking = _match_kinds(chain.from_iterable(networks), state)
            found.append((len(names), -lacking, Identity(family, None, own, names)))
            continue
        for possible in networks:
            names, lacking = _match_published(family, possible, state)
            names |= last_norm(family, last_stage(names), state)
            found.append((len(names), -lacking, Identity(family, None, own, names)))
    # All names of one family may be among those of another.
    best = max(found, key=lambda match: match[:2])[2]
    if not any(name.startswith('stages.') for name in best.names):
        return None
    stages = {name: given for name, given in best.names.items() if name.startswith('stages.')}
    body = {name: squeezed(state[given]) for name, given in stages.items() if not is_constant(best.family, name)}
    arch = next((arch for arch in FAMILIES[best.family].variants if _body(best.family, arch) == body), None)
    return Identity(best.family, arch, own, best.names)


def _match_kinds(possible: Iterable[str], state: Mapping[str, Tensor]) -> tuple[dict[str, str], int]:
    """Find names of this package that differ from possible ones only in numbers, and count the kinds without one."""
    kinds = {_kind(name) for name in possible}
    names = {name: name for name in state if _kind(name) in kinds}
    return names, len(kinds) - len({_kind(name) for name in names})


def _match_published(
    family: str, possible: Mapping[str, str], state: Mapping[str, Tensor]
) -> tuple[dict[str, str], int]:
    """Find published names, and count those that the stages and blocks found should have and lack."""
    found = [name for name, given in possible.items() if given in state]
    counts: dict[str, int] = {}
    for place, number in (place for name in found for place in _places(name)):
        counts[place] = max(counts.get(place, 0), number + 1)
    wanted = [name for name in possible if all(number < counts.get(place, 0) for place, number in _places(name))]
    # Where a tensor is published may depend on the number of blocks.
    of_rules = callable(getattr(FAMILIES[family].published_names, 'rules', None))
    published = official_names(family, wanted) if of_rules else {name: possible[name] for name in wanted}
    names = {name: given for name, given in published.items() if given in state}
    return names, len(wanted) - len(names)


def _places(name: str) -> list[tuple[str, int]]:
    """The lists of stages, blocks and output norms that a name passes through, each with the number in it."""
    return [(name[: m.start(1)], int(m[1])) for m in re.finditer(r'\b(?:stages|blocks|out_norms)\.(\d+)\b', name)]


def network_prefixes(names: Iterable[str]) -> list[str]:
    """Find the prefixes of networks: what precedes the names of a stem and of stages, e.g. ``backbone.``.

    Args:
        names: of tensors, those of this package or the published ones.

    Returns:
        The prefixes, in order, each with its dot or empty.
    """
    roots = _roots()
    part = re.compile(rf'(?:^|(?<=\.))({"|".join(sorted(set(chain(*roots))))})\.')
    tops: dict[str, set[str]] = {}
    for name in names:
        # No network has longer names, and each part of them would cost a look.
        if len(name) < 500:
            for match in part.finditer(name):
                tops.setdefault(name[: match.start()], set()).add(match[1])
    return [prefix for prefix, found in tops.items() if any({*root} <= found for root in roots)]


@lru_cache
def _roots() -> frozenset[tuple[str, str]]:
    """First parts of the names of a stem and of stages, in this package and as published."""
    roots = {('stem', 'stages')}
    for family in FAMILIES:
        for names in _possible_names(family, 1):
            stem, stages = (
                {given.split('.')[0] for name, given in names.items() if name.startswith(part)}
                for part in ('stem.', 'stages.')
            )
            roots |= {(s, t) for s in stem for t in stages}
    return frozenset(roots)


def is_own(names: Iterable[str]) -> bool:
    """Whether the names of a backbone's tensors are those of this package rather than the published ones."""
    return {'stem', 'stages'} <= {name.split('.')[0] for name in names}


def last_stage(names: Iterable[str]) -> int:
    """The last stage among names of this package; -1 if there is none."""
    return max((int(name.split('.')[1]) for name in names if name.startswith('stages.')), default=-1)


def squeezed(tensor: Tensor) -> tuple[int, ...]:
    """A shape without the ones at its ends, equal for a linear map and the same map as a 1x1 convolution."""
    shape = tuple(tensor.shape)
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _kind(name: str) -> str:
    """A name without the numbers of stages, blocks and the like."""
    return re.sub(r'\.[0-9]{1,3}(?=\.)', '.#', name)


@lru_cache
def _possible_names(family: str, depth: int) -> list[dict[str, str]]:
    """Map names of this package to published names, for ``depth`` blocks in each stage; one map per set of parts and
    code."""
    possible = []
    for repeated, names in _smallest_networks(family):
        found = [re.match(rf'(.*\b(?:{repeated})\.)0(\..*)', name) or name for name in names]
        numbered = ([m] if isinstance(m, str) else [f'{m[1]}{i}{m[2]}' for i in range(depth)] for m in found)
        possible += file_names(family, chain.from_iterable(numbered))
    return possible


@lru_cache
def _smallest_networks(family: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return a family's different sets of tensor names with the fewest blocks, each with what is repeated for more."""
    found: dict[frozenset[str], tuple[str, tuple[str, ...]]] = {}
    kind = FAMILIES[family]
    # Without output norms a network may have other parts in the stem.
    forms = (True, False) if getattr(kind.published_names, 'optional', '$^') != '$^' else (True,)
    for variant, out_norm in product(kind.variants.values(), forms):
        # In a network of one scale every block is a stage.
        repeated = 'stages|out_norms' if 'depth' in variant else 'blocks'
        least = kind.min_depth
        depths = {k: least if isinstance(v, int) else (least,) * len(v) for k, v in variant.items() if 'depth' in k}
        with torch.device('meta'):
            names = kind(arch={**variant, **depths}, out_norm=out_norm).state_dict()
        found.setdefault(frozenset(names), (repeated, tuple(names)))
    return [*found.values()]


@lru_cache
def _body(family: str, arch: str) -> dict[str, tuple[int, ...]]:
    with torch.device('meta'):
        state = FAMILIES[family](arch=arch).state_dict()
    stages = {name: tensor for name, tensor in state.items() if name.startswith('stages.')}
    return {name: squeezed(tensor) for name, tensor in stages.items() if not is_constant(family, name)}


@lru_cache
def classifier_names(family: str) -> tuple[str, ...]:
    """Names of this package of the tensors that a classifier has after its backbone."""
    variant = next(iter(FAMILIES[family].variants))
    with torch.device('meta'):
        neck = FAMILIES[family](arch=variant).make_neck()
    return (*(f'neck.{name}' for name in neck.state_dict()), 'head.weight', 'head.bias')
