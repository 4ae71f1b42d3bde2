"""Changes to a config, each with its reason, and the text of a config that inherits from the old one."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from mmengine.config import Config, ConfigDict

from ..errors import UserError

Place = tuple[str | int, ...]  # keys and list positions from the top of a config
_MISSING = object()
_WIDTH = 120


class Edits:
    """Changes to a copy of a config.

    Args:
        config: the old config, which stays as it is.

    Attributes:
        config: the new config.
    """

    def __init__(self, config: Config):
        self.old = config
        self.config = deepcopy(config)
        self._reasons: dict[Place, str] = {}

    def set(self, place: Place, value: object, why: str) -> None:
        """Set a value and keep the reason; nothing is recorded where the value is there already."""
        if self.get(place) == value and type(self.get(place)) is type(value):
            return
        node: Any = self.config
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = ConfigDict(value) if isinstance(value, dict) else deepcopy(value)
        self._reasons[place] = why

    def get(self, place: Place, default: object = None) -> Any:
        """The present value at a place."""
        value = _at(self.config, place)
        return default if value is _MISSING else value

    def changes(self) -> Iterator[tuple[Place, Any, Any, str]]:
        """All changes as (place, old value or None, new value, reasons), outermost places only.

        A change inside a list is one of the whole list, because configs inherit no list in part.
        """
        roots: dict[Place, list[str]] = {}
        for place, why in self._reasons.items():
            position = next((i for i, key in enumerate(place) if isinstance(key, int)), len(place))
            root = place[:position]
            outer = next((known for known in roots if root[: len(known)] == known), root)
            inner = [known for known in roots if known[: len(outer)] == outer and known != outer]
            reasons = [reason for known in inner for reason in roots.pop(known)]
            roots.setdefault(outer, []).extend([*reasons, why])
        for place, reasons in roots.items():
            old = _at(self.old, place)
            yield place, None if old is _MISSING else old, self.get(place), '; '.join(dict.fromkeys(reasons))

    def diff(self) -> str:
        """The changes as lines ``- key = old`` and ``+ key = new``."""
        lines = []
        for place, old, new, _ in self.changes():
            name = '.'.join(map(str, place))
            if _at(self.old, place) is not _MISSING:
                lines += [f'- {line}' for line in f'{name} = {literal(old, len(name) + 5)}'.splitlines()]
            lines += [f'+ {line}' for line in f'{name} = {literal(new, len(name) + 5)}'.splitlines()]
        return '\n'.join(lines)

    def text(self, base: str, heading: str) -> str:
        """A config that inherits from the old one.

        Args:
            base: a Python expression for the old config's name, as ``_base_`` takes it.
            heading: comment for the top.
        """
        tree: dict = {}
        for place, _, new, why in self.changes():
            node = tree
            for key in place[:-1]:
                node = node.setdefault(key, {})
            replaces = isinstance(new, dict) and _at(self.old, place) is not _MISSING
            node[place[-1]] = (dict(_delete_=True, **new) if replaces else new, why)
        body: list[str] = []
        for key, node in tree.items():
            same = next((k for k in tree if k != key and tree[k] == node and _can_be_shared(node)), None)
            # One name for both, as in the configs of the libraries.
            body += [f'{key} = {same}'] if same and f'{same} = dict(' in body else _lines(key, node, '')
        comments = [f'# {line}' for line in _wrapped(heading, _WIDTH - 2)]
        return '\n'.join([*comments, f'_base_ = {base}', '', *body]) + '\n'


def _at(node: Any, place: Place) -> Any:
    for key in place:
        found = key < len(node) if isinstance(key, int) else isinstance(node, (dict, Config)) and key in node
        if not found:
            return _MISSING
        node = node[key]
    return node


def _can_be_shared(node: Any) -> bool:
    """Whether a part of the tree can have two names: mmengine removes ``_delete_`` where it reads it first."""
    return isinstance(node, dict) and all(
        _can_be_shared(child) if isinstance(child, dict) else '_delete_' not in repr(child) for child in node.values()
    )


def _lines(key: str, node: Any, indent: str, above: str = '') -> list[str]:
    """The lines of a part of the tree; ``above`` is the reason of the value before it, which is not repeated."""
    end = ',' if indent else ''
    if isinstance(node, dict):
        inner: list[str] = []
        before = above
        for name, child in node.items():
            inner += _lines(name, child, indent + '    ', before)
            before = '' if isinstance(child, dict) else child[1]
        return [f'{indent}{key}=dict(' if indent else f'{key} = dict(', *inner, f'{indent}){end}']
    value, why = node
    start = f'{indent}{key}=' if indent else f'{key} = '
    comments = [f'{indent}# {line}' for line in _wrapped(why, _WIDTH - len(indent) - 2) if why != above]
    return [*comments, *f'{start}{literal(value, len(start) + 1, indent)}{end}'.splitlines()]


def literal(value: Any, used: int = 0, indent: str = '') -> str:
    """A value as Python source, on one line where it fits, else one item a line.

    Args:
        value: numbers, strings, None, and dicts, lists and tuples of such.
        used: characters of the first line that are taken. Default 0.
        indent: of the first line. Default none.

    Raises:
        UserError: if the value holds something else, such as a class.
    """
    flat = _flat(value)
    if len(flat) + used <= _WIDTH or not isinstance(value, (dict, list, tuple)) or not value:
        return flat
    deeper = indent + '    '
    if isinstance(value, dict):
        named = all(isinstance(key, str) and key.isidentifier() for key in value)
        starts = [f'{key}=' if named else f'{key!r}: ' for key in value]
        opening, closing = ('dict(', ')') if named else ('{', '}')
        items = [
            f'{deeper}{start}{literal(item, len(deeper) + len(start) + 1, deeper)},'
            for start, item in zip(starts, value.values(), strict=True)
        ]
    else:
        opening, closing = '[]' if isinstance(value, list) else '()'
        items = [f'{deeper}{literal(item, len(deeper) + 1, deeper)},' for item in value]
    return '\n'.join([opening, *items, indent + closing])


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        if all(isinstance(key, str) and key.isidentifier() for key in value):
            return f'dict({", ".join(f"{key}={_flat(item)}" for key, item in value.items())})'
        return f'{{{", ".join(f"{key!r}: {_flat(item)}" for key, item in value.items())}}}'
    if isinstance(value, list):
        return f'[{", ".join(map(_flat, value))}]'
    if isinstance(value, tuple):
        return f'({", ".join(map(_flat, value))}{"," if len(value) == 1 else ""})'
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    raise UserError(
        f'{value!r} cannot be written into a config file: it is a {type(value).__name__}, and numbers, strings, dicts '
        f'and lists can; take a config that has none in the part that is changed'
    )


def _wrapped(text: str, width: int) -> list[str]:
    lines = ['']
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) + 1 > width:
            lines.append(word)
        else:
            lines[-1] += f' {word}' if lines[-1] else word
    return lines


def plain(value: Any) -> Any:
    """A config's value as plain dicts, lists and tuples, without the scope that mmengine notes of a base."""
    if isinstance(value, (dict, ConfigDict)):
        return {key: plain(item) for key, item in value.items() if key != '_scope_'}
    return type(value)(map(plain, value)) if isinstance(value, (list, tuple)) else value
