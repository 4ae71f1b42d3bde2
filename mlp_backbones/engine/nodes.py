"""Walk through the nested dicts and lists of a config."""

from collections.abc import Iterator

from mmengine.config import ConfigDict


def dicts(node: object) -> Iterator[ConfigDict]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from dicts(item)


def type_name(node: dict) -> str:
    """The class that a config dict names, without its scope or module."""
    kind = node.get('type', '')
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]


def strings(node: object) -> Iterator[str]:
    if isinstance(node, str) and node:
        yield node
    elif isinstance(node, (dict, list, tuple)):
        for item in node.values() if isinstance(node, dict) else node:
            yield from strings(item)
