"""Check the values in a config before anything is built from it."""

import logging
from collections.abc import Iterator

from mmengine.config import Config

from ..errors import UserError, printable

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_EXAMPLE = 'inherit from a config that has it, or see configs/ for whole ones'
_NUMBERS = ('lr', 'weight_decay', 'momentum')


def check_values(config: Config, dataloaders: tuple[str, ...]) -> None:
    """Check the parts of a config that mmengine does not check, or whose errors do not name the key.

    Args:
        config: as it was read.
        dataloaders: keys of those that will be used, the first of which is needed. Empty: only the model is needed.

    Raises:
        UserError: naming the first key with a value that is not valid, or that is missing.
    """
    name = printable(config.filename or 'the config')
    for key, allowed in _problems(config, dataloaders):
        value, found = config, True
        for part in key.split('.'):
            found = isinstance(value, (dict, Config)) and part in value
            value = value[part] if found else None
        what = f'{key}={printable(repr(value), 80)}' if found else f'{key} is missing'
        raise UserError(f'{name}: {what}: {allowed}')


def _problems(config: Config, dataloaders: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the keys of all values that are not valid, and the values allowed; later checks rely on earlier ones."""
    needed = ['model', *dataloaders[:1]]
    needed += ['train_cfg', 'optim_wrapper'] if 'train_dataloader' in dataloaders else []
    needed += ['test_cfg', 'test_evaluator'] if 'test_dataloader' in dataloaders else []
    for key in needed:
        value = config.get(key)
        if value is None:
            yield key, f'it is needed; {_EXAMPLE}'
        elif key != 'test_evaluator' and not isinstance(value, dict):
            yield key, 'it must be a dict'
    if 'type' not in config.model:
        yield 'model.type', f'it names the class of the model; {_EXAMPLE}'
    scope = config.get('default_scope')
    if scope is not None and not isinstance(scope, str):
        yield 'default_scope', "it must be the name of a library, as 'mmdet', or None"
    if not dataloaders:
        return
    hooks = config.get('custom_hooks')
    if hooks is not None and not (isinstance(hooks, (list, tuple)) and all(isinstance(hook, dict) for hook in hooks)):
        yield 'custom_hooks', 'it must be a list of dicts, or None'
    for key in ('default_hooks', 'env_cfg', 'randomness', 'visualizer'):
        if not isinstance(config.get(key), (dict, type(None))):
            yield key, 'it must be a dict, or None'
    # mmengine builds a loop, or leaves it out, by all three.
    for part in ('val', 'test'):
        keys = [f'{part}_dataloader', f'{part}_cfg', f'{part}_evaluator']
        given = [key for key in keys if config.get(key) is not None]
        if given and len(given) < len(keys):
            lacking = [key for key in keys if key not in given]
            without = ' '.join(f'{key}=None' for key in given)
            yield lacking[0], f'give it with {" and ".join(given)}, or leave all out: --cfg-options {without}'
    yield from _odd_numbers(config, dataloaders)
    level = config.get('log_level')
    if level is not None and not isinstance(level, int) and not isinstance(logging.getLevelName(level), int):
        yield 'log_level', 'it must be DEBUG, INFO, WARNING, ERROR or CRITICAL'
    work_dir = config.get('work_dir')
    if not isinstance(work_dir, (str, type(None))):
        yield 'work_dir', 'it must be the path of a folder'


def _odd_numbers(config: Config, dataloaders: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    lowest = {f'{key}.num_workers': 0 for key in dataloaders} | {f'{key}.batch_size': 1 for key in dataloaders}
    for key in _LOADERS:
        if key in dataloaders and config.get(key) is not None:
            if not isinstance(config[key], dict):
                yield key, 'it must be a dict'
            elif 'dataset' not in config[key]:
                yield f'{key}.dataset', 'it is needed: a dict that names a data set'
    if 'train_dataloader' in dataloaders:
        lowest |= {f'train_cfg.{key}': 1 for key in ('max_epochs', 'max_iters', 'val_interval')}
    for key, least in lowest.items():
        part, _, name = key.partition('.')
        value = (config.get(part) or {}).get(name)
        if value is not None and not (_is_number(value) and value == int(value) and value >= least):
            yield key, f'it must be an integer of at least {least}'
    seed = (config.get('randomness') or {}).get('seed')
    if seed is not None and not (type(seed) is int and 0 <= seed < 2**32):
        yield 'randomness.seed', 'it must be an integer from 0 to 4294967295, or None'
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer')
    if 'train_dataloader' in dataloaders and isinstance(optimizer, dict):
        for name in _NUMBERS:
            if name in optimizer and not _is_number(optimizer[name]):
                yield f'optim_wrapper.optimizer.{name}', 'it must be a number'
    for name, hook in (config.get('default_hooks') or {}).items():
        interval = hook.get('interval') if isinstance(hook, dict) else None
        if interval is not None and not _is_number(interval):
            yield f'default_hooks.{name}.interval', 'it must be an integer'


def _is_number(value: object) -> bool:
    """Return whether a value is a finite number: neither text nor True."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float('inf')
