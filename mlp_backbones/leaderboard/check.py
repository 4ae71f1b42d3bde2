"""What a result file has to be: read strictly, and refused in sentences that name the field, the value and the cure."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path

from ..backbones.arguments import unknown
from ..engine import UserError
from ..engine.zoo import Row
from .metrics import HEADLINES, METRICS, metric_faults
from .result import FORMAT, Result

LARGEST = 100_000
LONGEST = 2000
OPTIONAL = ('spread', 'cost')
UNFINISHED = 'completed is false: the training has not come to its end; finish it and test again'
# Largest believable values: ten minutes, a year, 2 TB.
COSTS = dict(infer_ms=600_000, train_ms=600_000, train_minutes=525_600, memory_mb=2_000_000)


def read_result(path: Path, zoo: Mapping[str, Row]) -> Result:
    """Reads a result file and checks all of it.

    Args:
        path: of the file.
        zoo: a row of the zoo for the name of each config.

    Raises:
        UserError: with one line a fault, each of which begins with the path.
    """
    content = _parse(path)
    faults = result_faults(content, zoo)
    if faults:
        raise UserError('\n'.join(f'{path}: {fault}' for fault in faults))
    return Result(**{key: value for key, value in content.items() if key != 'format'})


def result_faults(content: object, zoo: Mapping[str, Row]) -> list[str]:
    """What is wrong with the content of a result file, a sentence each; [] for a good one."""
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        found = content.get('format', 'no format') if isinstance(content, dict) else type(content).__name__
        return [f'no result file: its "format" must be {FORMAT!r}, found {_short(found)}']
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


def _parse(path: Path) -> object:
    try:
        if path.stat().st_size > LARGEST:
            raise UserError(f'{path}: {path.stat().st_size} bytes; a result file has at most {LARGEST}')
        return json.loads(path.read_text(encoding='utf-8'), object_pairs_hook=_unique, parse_constant=_no_number)
    except OSError as error:
        raise UserError(f'{path}: cannot be read: {error.strerror}') from error
    except UnicodeDecodeError as error:
        raise UserError(f'{path}: no UTF-8 text (byte {error.start})') from error
    except RecursionError as error:
        raise UserError(f'{path}: no result file: its brackets are nested too deep') from error
    except ValueError as error:
        raise UserError(f'{path}: no valid JSON: {error}') from error


def _unique(pairs: list[tuple[str, object]]) -> dict:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'{next(name for name in names if names.count(name) > 1)!r} is there twice')
    return content


def _no_number(word: str) -> None:
    raise ValueError(f'{word} is no number')


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
    found = _matches(r'[0-9a-f]{40}(-dirty)?', "40 hexadecimal digits, with '-dirty' behind if files differed, or null")
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
    ok = isinstance(value, list) and value and all(type(seed) is int and seed >= 0 for seed in value)
    return _must(bool(ok) and len(set(value)) == len(value), key, value, 'a list of different whole numbers')


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
