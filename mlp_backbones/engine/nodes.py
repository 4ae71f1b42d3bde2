"""Walk through the nested dicts and lists of a config."""

from collections.abc import Iterator
from pathlib import Path

from mmengine.registry import DATASETS


def places(node: object, place: str = '') -> Iterator[tuple[str, dict]]:
    """All dicts in a config, with their dotted keys; ``place`` is the key of ``node``."""
    if isinstance(node, dict):
        yield place, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in items:
        yield from places(value, f'{place}.{key}' if place else str(key))


def dicts(node: object) -> Iterator[dict]:
    return (found for _, found in places(node))


def strings(node: object) -> Iterator[str]:
    """All strings and paths in a string, or in nested dicts and lists; empty ones are left out."""
    if isinstance(node, (str, Path)) and str(node):
        yield str(node)
    elif isinstance(node, (dict, list, tuple)):
        for item in node.values() if isinstance(node, dict) else node:
            yield from strings(item)


def type_name(node: dict) -> str:
    """The class that a config dict names, without its scope or module."""
    kind = node.get('type', '')
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]


def dataset_class(node: dict, scope: str | None = None) -> object:
    """The class that the dict of a data set names; None if its registry has none of that name."""
    kind = node.get('type')
    if isinstance(kind, str):
        with DATASETS.switch_scope_and_registry(node.get('_scope_') or scope) as registry:
            kind = registry.get(kind)
    return kind
