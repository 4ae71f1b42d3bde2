"""Conversion between our names of tensors and the published ones, by the ``published_names`` of each family."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ..registry import FAMILIES


def official_names(family: str, names: Iterable[str]) -> dict[str, str]:
    """Return the published name of each tensor of a backbone, or of a classifier.

    Args:
        family: a key of ``FAMILIES``.
        names: all our names of a network at once: published places may depend on which downsamplings there are. Of a
            classifier, without ``backbone.``; ``norm.`` is its last norm.

    Returns:
        Our names to published ones, e.g. ``stem.proj.weight`` to ``patch_embed.proj.weight``; our own where no weights
        were published.
    """
    names = list(names)
    published = FAMILIES[family].published_names
    rules: Any = () if published is None else published.rules
    if callable(rules):
        rules = rules(names)
    return {name: _substitute(rules, name) for name in names}


def file_names(family: str, names: Iterable[str]) -> list[dict[str, str]]:
    """Return the names that each tensor has in files: the published ones, then those of every other code.

    Args:
        family, names: as in :func:`official_names`.
    """
    official = official_names(family, names)
    published = FAMILIES[family].published_names
    others = () if published is None else published.others
    return [official, *({name: _substitute(rules, key) for name, key in official.items()} for rules in others)]


def _substitute(rules: Iterable[Any], name: str) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def last_norm(family: str, last: int, state: Mapping[str, Tensor]) -> dict[str, str]:
    """Map the names of the last output norm to those of a classifier's norm, where that does the same work."""
    if not FAMILIES[family].classifier_norm:
        return {}
    prefix = official_names(family, ['norm.'])['norm.']
    names = (name.removeprefix(prefix) for name in state if name.startswith(prefix))
    return {f'out_norms.{last}.{name}': prefix + name for name in names}


def head_names(family: str, names: Iterable[str], state: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the names in ``state`` of what a classifier has after its backbone.

    Args:
        family: a key of ``FAMILIES``.
        names: those of this package or of mmpretrain, which calls the linear layer `head.fc` in place of `head`.
        state: tensors of a file, without ``backbone.``.

    Returns:
        The given names to those of the file, or to the published ones where the file has none.
    """
    found = {}
    for name in names:
        ours = re.sub(r'^head\.fc\.', 'head.', name)
        possible = [names[ours] for names in file_names(family, [ours])]
        possible += [ours, re.sub(r'^head\.', 'head.fc.', ours)]
        found[name] = next((key for key in possible if key in state), possible[0])
    return found


def is_published(family: str) -> bool:
    """Return whether weights of a family were published, under names of their own."""
    return FAMILIES[family].published_names is not None


def is_constant(family: str, official: str) -> bool:
    """Return whether a published tensor follows from the architecture, so that it is no weight."""
    published = FAMILIES[family].published_names
    return published is not None and re.search(published.constants, official) is not None


def is_optional(family: str, name: str) -> bool:
    """Return whether published networks may lack a tensor of ours in the stem or stages."""
    published = FAMILIES[family].published_names
    return published is not None and re.search(published.optional, name) is not None


def official_tensors(family: str, official: str, tensor: Tensor) -> dict[str, Tensor]:
    """Return a backbone's tensor as the published code stores it, with the constants that belong to it."""
    published = FAMILIES[family].published_names
    if published is None:
        return {official: tensor}
    if re.search(published.linear, official):
        tensor = tensor.flatten(1)
    constants = published.make_constants(official, tensor) if published.make_constants else {}
    return {official: tensor, **constants}
