"""Conversion between our names of tensors and the published ones, by the ``published_names`` of each family."""

import re
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..registry import FAMILIES


def official_names(family: str, names: Iterable[str]) -> dict[str, str]:
    """Return the published name of each tensor of a backbone.

    Args:
        family: a key of ``FAMILIES``.
        names: all our names of a network at once: published places may depend on which downsamplings there are.

    Returns:
        Our names to published ones, e.g. ``stem.proj.weight`` to ``patch_embed.proj.weight``; our own where no weights
        were published.
    """
    names = list(names)
    published = FAMILIES[family].published_names
    rules: Any = () if published is None else published.rules
    if callable(rules):
        rules = rules(names)
    official = {}
    for name in names:
        official[name] = name
        for pattern, replacement in rules:
            official[name] = re.sub(pattern, replacement, official[name])
    return official


def is_published(family: str) -> bool:
    """Return whether weights of a family were published, under names of their own."""
    return FAMILIES[family].published_names is not None


def is_constant(family: str, official: str) -> bool:
    """Return whether a published tensor follows from the architecture, so that it is no weight."""
    published = FAMILIES[family].published_names
    return published is not None and re.search(published.constants, official) is not None


def official_tensors(family: str, official: str, tensor: Tensor) -> dict[str, Tensor]:
    """Return a backbone's tensor as the published code stores it, with the constants that belong to it."""
    published = FAMILIES[family].published_names
    if published is None:
        return {official: tensor}
    if re.search(published.linear, official):
        tensor = tensor.flatten(1)
    constants = published.make_constants(official, tensor) if published.make_constants else {}
    return {official: tensor, **constants}
