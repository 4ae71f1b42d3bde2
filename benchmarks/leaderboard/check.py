"""Validate result files: each error names the field, the value and the fix."""

import json
import math
import re
import stat
from collections.abc import Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path

from mlp_backbones.apis.zoo import Row
from mlp_backbones.backbones.arguments import unknown
from mlp_backbones.engine.hooks.result import FORMAT, Result
from mlp_backbones.errors import UserError, printable

from .metrics import HEADLINES, METRICS, metric_faults

LARGEST = 100_000
LONGEST = 2000
DEEPEST = 20
MOST_FAULTS = 50
SEEDS = 2**32  # numpy's limit
OPTIONAL = ('spread', 'cost')
UNFINISHED = 'completed is false: the training is unfinished; finish it and test again'
# Largest believable values: ten minutes, a year, 2 TB.
COSTS = dict(infer_ms=600_000, train_ms=600_000, train_minutes=525_600, memory_mb=2_000_000)


def read_result(path: Path, zoo: Mapping[str, Row]) -> Result:
    """Read a result file and check all of it.

    Args:
        path: path of the file.
        zoo: row of the zoo by the name of each config.

    Raises:
        UserError: with one line per fault, each of which begins with the path.
    """
    return check_result(path, read_bytes(path), zoo)


def check_result(path: Path, text: bytes, zoo: Mapping[str, Row]) -> Result:
    """Check the content of a file that :func:`read_bytes` read."""
    content = _parse(path, text)
    faults = result_faults(content, zoo)
    if faults:
        shown = [f'{printable(path)}: {printable(fault, 1000)}' for fault in faults[:MOST_FAULTS]]
        more = [f'{printable(path)}: and {len(faults) - MOST_FAULTS} more faults'] * (len(faults) > MOST_FAULTS)
        raise UserError('\n'.join(shown + more))
    return Result(**{key: value for key, value in content.items() if key != 'format'})


def read_bytes(path: Path) -> bytes:
    """Read a result file once, up to the largest allowed size.

    Raises:
        UserError: if it is not a regular file, cannot be read or is too large.
    """
    shown = printable(path)
    try:
        mode = path.stat().st_mode  # opening a FIFO blocks, and a device has no end
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UserError(f'{shown}: it is a device, FIFO or socket; give a result file')
        with path.open('rb') as file:
            content = file.read(LARGEST + 1)
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise UserError(f'{shown}: cannot be read: {getattr(error, "strerror", None) or error}') from error
    if len(content) > LARGEST:
        raise UserError(f'{shown}: {size} bytes; a result file has at most {LARGEST}')
    return content


def result_faults(content: object, zoo: Mapping[str, Row]) -> list[str]:
    """Return a sentence for each fault of a result file's content; [] for a valid one."""
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        found = content.get('format', 'no format') if isinstance(content, dict) else type(content).__name__
        return [f'not a result file: its "format" must be {FORMAT!r}, found {_short(found)}']
    fields = list(Result.__dataclass_fields__)
    faults = [f'{key} is missing' for key in fields if key not in content and key not in OPTIONAL]
    faults += [unknown('field', key, fields) for key in content if key not in (*fields, 'format')]
    for key in fields:
        if key in content:
            faults += _FIELDS[key](key, content[key])
    if faults:
        return faults
    name, metrics, spread, seeds = (content.get(key, {}) for key in ('config', 'metrics', 'spread', 'seeds'))
    if name not in zoo:
        nearest = ', '.join(get_close_matches(name, zoo, cutoff=0.5))
        hint = f', did you mean {nearest}?' if nearest else '.'
        return [f'unknown config {_short(name)}{hint} `python -m mlp_backbones zoo` lists them all']
    faults = metric_faults(zoo[name].head, metrics)
    missing = [m for m in HEADLINES if m in METRICS.get(zoo[name].head, ()) and m not in metrics]
    faults += [f'metrics: {m} is missing' for m in missing]
    if len(seeds) == 1 and spread:
        faults.append(f'spread: one seed ({seeds[0]}) has none; list all seeds, or leave spread out')
    elif len(seeds) > 1:
        faults += [f'spread: {m} is missing, with {len(seeds)} seeds' for m in metrics if m not in spread]
    faults += [f'spread: {m} is not in metrics' for m in spread if m not in metrics]
    if not content['completed']:
        faults.append(UNFINISHED)
    return faults


def _parse(path: Path, text: bytes) -> object:
    shown = printable(path)
    try:
        content = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_no_number)
        # Half a character, written as "\\ud800", cannot be encoded in a file, page or terminal.
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f'{shown}: not valid text: {printable(error.object[error.start : error.start + 1])} is half of a character'
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f'{shown}: not UTF-8 text (byte {error.start})') from error
    except RecursionError as error:
        raise UserError(f'{shown}: not a result file: its brackets are nested too deeply') from error
    except ValueError as error:
        raise UserError(f'{shown}: not valid JSON: {printable(error)}') from error
    if _depth(content) > DEEPEST:
        raise UserError(f'{shown}: not a result file: its brackets are nested too deeply')
    return content


def _depth(content: object) -> int:
    """Return the depth of nested lists and objects; 0 for a single value."""
    depth, level = 0, [content]
    while level := [
        value
        for item in level
        if isinstance(item, (dict, list))
        for value in (item.values() if isinstance(item, dict) else item)
    ]:
        depth += 1
    return depth


def _unique(pairs: list[tuple[str, object]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'{next(name for name in names if names.count(name) > 1)!r} is repeated')
    return content


def _no_number(word: str) -> None:
    raise ValueError(f'{word} is not a number')


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:77]}...'


def _is_number(value: object) -> bool:
    # Integers of JSON may be too large for a float.
    return (type(value) is int and abs(value) < 1e300) or (type(value) is float and math.isfinite(value))


def _must(ok: bool, key: str, value: object, allowed: str) -> list[str]:
    return [] if ok else [f'{key} must be {allowed}, found {_short(value)}']


def _text(key: str, value: object) -> list[str]:
    return _must(isinstance(value, str) and 0 < len(value) <= LONGEST, key, value, f'text of 1 to {LONGEST} characters')


def _matches(pattern: str, allowed: str):
    def checked(key: str, value: object) -> list[str]:
        return _must(isinstance(value, str) and re.fullmatch(pattern, value) is not None, key, value, allowed)

    return checked


def _commit(key: str, value: object) -> list[str]:
    found = _matches(r'[0-9a-f]{40}(-dirty)?', "40 hexadecimal digits, followed by '-dirty' if files differed, or null")
    return [] if value is None else found(key, value)


def _date(key: str, value: object) -> list[str]:
    try:
        ok = isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        ok = False
    return _must(ok, key, value, 'a date as 2026-11-21')


def _numbers(key: str, value: object) -> list[str]:
    if not isinstance(value, dict) or (key == 'metrics' and not value):
        return _must(False, key, value, 'an object of numbers by name')
    faults = [_must(_is_number(v), f'{key}: {name}', v, 'a number') for name, v in value.items()]
    if key == 'spread':
        numbers = {name: v for name, v in value.items() if _is_number(v)}
        faults += [_must(0 <= v <= 75, f'{key}: {name}', v, 'from 0 to 75, in percent') for name, v in numbers.items()]
    return [fault for found in faults for fault in found]


def _cost(key: str, value: object) -> list[str]:
    faults = _numbers(key, value)
    if not faults:
        faults = [f'{key}: {unknown("cost", name, list(COSTS))}' for name in value if name not in COSTS]
        for name in value.keys() & COSTS.keys():
            unit = name.rpartition('_')[2]
            allowed = f'above 0 and at most {COSTS[name]} ({unit})'
            faults += _must(0 < value[name] <= COSTS[name], f'{key}: {name}', value[name], allowed)
    return faults


def _seeds(key: str, value: object) -> list[str]:
    ok = isinstance(value, list) and value and all(type(seed) is int and 0 <= seed < SEEDS for seed in value)
    allowed = f'a list of different whole numbers from 0 to {SEEDS - 1}'
    return _must(bool(ok) and len(set(value)) == len(value), key, value, allowed)


def _whole(key: str, value: object) -> list[str]:
    return _must(type(value) is int and 0 < value < 10_000, key, value, 'a whole number above 0')


def _object(kinds: tuple[type, ...], needed: Iterable[str]):
    def checked(key: str, value: object) -> list[str]:
        if not isinstance(value, dict):
            return _must(False, key, value, 'an object')
        faults = [f'{key}: {name} is missing' for name in needed if not value.get(name)]
        for name, v in value.items():
            ok = v is None or (type(v) in kinds and len(str(v)) <= LONGEST)
            faults += _must(ok, f'{key}: {name}', v, 'a single value')
        return faults

    return checked


def _options(key: str, value: object) -> list[str]:
    ok = (
        isinstance(value, dict) and len(json.dumps(value)) <= LONGEST and all(re.fullmatch(r'[\w.]+', k) for k in value)
    )
    return _must(ok, key, value, f'an object of options by dotted key, of at most {LONGEST} characters')


_FIELDS = dict(
    config=_text,
    options=_options,
    config_hash=_matches(r'[0-9a-f]{64}', '64 hexadecimal digits'),
    completed=lambda key, value: _must(type(value) is bool, key, value, 'true or false'),
    test=_matches('single|multi', "'single' or 'multi' (several scales with flips)"),
    metrics=_numbers,
    seeds=_seeds,
    machine=_object((str, int, float), ('cpu',)),
    threads=_whole,
    versions=_object((str,), ('torch',)),
    commit=_commit,
    date=_date,
    command=_text,
    spread=_numbers,
    cost=_cost,
)
