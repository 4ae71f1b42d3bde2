"""Load a config by name with options, and build its model."""

import argparse
import errno
import io
import re
import warnings
from contextlib import redirect_stdout
from copy import copy
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from traceback import walk_tb

import torch
from mmengine.config import Config, DictAction
from mmengine.fileio import load
from mmengine.logging import print_log
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from ..checkpoints import install_loader
from ..engine.nodes import dicts, places, type_name
from ..engine.provenance import config_hash
from ..errors import UserError, printable, reason_of
from .explain import explained
from .values import check_values

# None means that these keys are not given, and mmengine's Runner does not accept None.
MAY_BE_NONE = ('custom_hooks', 'default_hooks', 'env_cfg', 'launcher', 'log_level', 'randomness', 'visualizer')
# mmengine's backends of experiment trackers, and the package that each needs.
TRACKERS = dict(
    tensorboard=('TensorboardVisBackend', 'tensorboard'),
    wandb=('WandbVisBackend', 'wandb'),
    mlflow=('MLflowVisBackend', 'mlflow'),
    clearml=('ClearMLVisBackend', 'clearml'),
    neptune=('NeptuneVisBackend', 'neptune'),
    aim=('AimVisBackend', 'aim'),
    dvclive=('DVCLiveVisBackend', 'dvclive'),
)
LIBRARIES = ('mmdet', 'mmseg', 'mmpretrain')
DATA_FILES = ('.json', '.yaml', '.yml')
# What JSON and YAML write as lists and the libraries want as tuples.
_PAIRS = re.compile('scale|size|range|ratio|pad')


_formatted: dict[str, str] = {}


class FormattedOnce(Config):
    """A config whose text is formatted once for each content.

    yapf needs half a second, and mmengine asks for the text for the log, for two files and for each checkpoint.
    """

    @classmethod
    def fromfile(cls, path: Path) -> 'FormattedOnce':
        """As mmengine's, which makes its own class."""
        config = cls.__new__(cls)
        config.__setstate__(Config.fromfile(path).__getstate__())
        return config

    @property
    def pretty_text(self) -> str:
        plain = copy(self)
        object.__setattr__(plain, '_format_python_code', False)
        text = super(FormattedOnce, plain).pretty_text
        if text not in _formatted:
            _formatted[text] = super().pretty_text
        return _formatted[text]


def check_device(device: str) -> None:
    """Raise UserError where torch cannot use the device."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition('\n')[0]
        raise UserError(f'device={device!r} cannot be used ({reason}): give cpu, cuda or cuda:N') from error


class OptionsAction(DictAction):
    """mmengine's action, which reports in one sentence what it cannot parse."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        for value in values:
            try:
                super().__call__(parser, namespace, [value], option_string)
            except (ValueError, AssertionError, RecursionError):
                parser.error(
                    f'{option_string} {value}: give KEY=VALUE, as in train_cfg.max_epochs=3, and all brackets in pairs'
                )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that tools/train.py and tools/test.py share."""
    parser.add_argument('--work-dir', help='where logs, metrics and checkpoints go (default: work_dirs/NAME)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OptionsAction, metavar='KEY=VALUE', help='changes to the config'
    )
    parser.add_argument(
        '--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none', help='(default: none)'
    )
    parser.add_argument('--tensorboard', action='store_true', help='short for --log-to tensorboard')
    parser.add_argument(
        '--log-to',
        nargs='+',
        choices=TRACKERS,
        default=[],
        metavar='NAME',
        help=f'write losses and metrics to {", ".join(TRACKERS)} as well',
    )


def load_config(name: str, configs: Path, options: dict | None = None) -> Config:
    """Load a config by path, or by the bare name of one in the folder ``configs``.

    Args:
        name: a path, or e.g. ``cyclemlp_maskrcnn_digits``.
        configs: folder of the configs with bare names.
        options: ``--cfg-options``, by dotted key. Default None.

    Returns:
        The config, with the name of its recipe, the options and a hash of both under ``provenance``.

    Raises:
        UserError: if there is no such config (the sentence names the nearest ones), or it has no place for an option.
    """
    install_loader()
    path = Path(name)
    try:
        kind = 'a file' if path.is_file() else 'a folder' if path.is_dir() else 'missing' if not path.exists() else ''
    except OSError as error:
        raise UserError(f'config {printable(name)}: {error.strerror}; give the path of a config') from error
    if kind == 'missing':
        names = {p.stem: p for p in sorted(configs.rglob('*.py')) if '_base_' not in p.parts}
        if path.stem not in names or len(path.parts) > 1:
            nearest = ', '.join(get_close_matches(path.stem, names, cutoff=0.5))
            hint = f', did you mean {nearest}?' if nearest else '.'
            raise UserError(f"unknown config '{printable(name)}'{hint} `python -m mlp_backbones zoo` lists them all")
        path = names[path.stem]
    elif kind != 'a file':
        raise UserError(f'config {printable(name)!r} is {kind or "no regular file"}: give a .py, .yaml or .json file')
    config = _read(path)
    try:
        config.merge_from_dict(options or {})
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, AssertionError) as error:
        # mmengine's sentence may go on with all that the config holds there.
        reason = reason_of(error).partition(' [')[0]
        changes = ', '.join(f'{key}={value}' for key, value in options.items())
        raise UserError(
            f'{path.stem} has no place for one of the options {printable(changes)} ({reason}): give dotted keys of the '
            f'config, and for an item of a list its number'
        ) from error
    _check_delete(config, path)
    config.pop('provenance', None)  # of a config that was saved in a work directory
    config.provenance = dict(config=recipe_name(path, configs), options=options or {}, config_hash=config_hash(config))
    drop_none(config)
    return config


def _read(path: Path) -> Config:
    """Read a config with mmengine, and report an error in one sentence with the file and the line."""
    try:
        content = load(path) if path.suffix in DATA_FILES else {}
        if not isinstance(content, dict):
            raise UserError(f'config {printable(path)} holds a {type(content).__name__}, expected keys and values')
        config = FormattedOnce.fromfile(path)
        # Classes that a pure Python config imports are looked up now.
        nodes = list(dicts(config._cfg_dict))
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        # mmengine puts the whole search path into the text of an import that failed.
        cause = error.__cause__ if isinstance(error, ImportError) and error.__cause__ else error
        if isinstance(cause, RecursionError) or (isinstance(cause, OSError) and cause.errno == errno.EMFILE):
            reason = 'its bases lead back to itself, or its brackets are nested too deeply'
        elif isinstance(cause, SystemExit):
            reason = 'it ends the program (SystemExit)'
        else:
            reason = reason_of(cause).replace('(<unknown>, ', '(')
        files = [(Path(frame.f_code.co_filename), line) for frame, line in walk_tb(error.__traceback__)]
        # The file itself, or one in a folder of configs.
        at = [
            f'{printable(file.name)}, line {line}'
            for file, line in files
            if file.suffix == '.py' and (file.resolve() == path.resolve() or {'_base_', 'configs'} & {*file.parts})
        ]
        place = f' ({at[-1]})' if at else ''
        kind = type(cause).__name__
        kind = '' if isinstance(cause, (SystemExit, OSError, RecursionError)) or reason == kind else f'{kind}: '
        advice = '; put the folder of your module on PYTHONPATH' if isinstance(error, ImportError) else ''
        raise UserError(f'cannot read config {printable(path)}: {kind}{reason}{place}{advice}') from error
    if path.suffix in DATA_FILES:
        for node in nodes:
            for key, value in node.items():
                if _PAIRS.search(str(key)):
                    node[key] = _as_tuple(value)
    return config


def _as_tuple(value: object) -> object:
    if not isinstance(value, list):
        return value
    numbers = all(isinstance(item, (int, float)) for item in value)
    return tuple(value) if numbers and len(value) > 1 else [_as_tuple(item) for item in value]


def drop_none(config: Config) -> None:
    for key in MAY_BE_NONE:
        if key in config and config[key] is None:
            config.pop(key)


def _check_delete(config: Config, path: Path) -> None:
    """Refuse a ``_delete_`` that mmengine left over, which it would give to a constructor."""
    for place, node in places(config._cfg_dict):
        if '_delete_' in node:
            raise UserError(
                f'{printable(path)}: {place or "the config"} has _delete_, and there is nothing below it to delete: '
                f'inherit from a base that has {place or "it"}, or take _delete_ out'
            )


def recipe_name(path: Path, configs: Path) -> str:
    """Return the bare name of a config, or of the config that it names if it is an alias at the top of ``configs``."""
    is_alias = path.suffix == '.py' and path.resolve().parent == configs.resolve()
    bases = re.findall(r"^_base_ = '(.+)\.py'$", path.read_text(), re.MULTILINE) if is_alias else []
    return Path(bases[0]).name if bases else path.stem


def model_config(config: Config) -> dict:
    """Return the model of a config as mmengine's Runner builds it, with a ``data_preprocessor`` beside the model."""
    model = dict(config.model)
    if 'data_preprocessor' in config:
        model.setdefault('data_preprocessor', config.data_preprocessor)
    return model


def library(config: Config) -> str:
    """Return the package whose classes a config names: its ``default_scope``, or that of its model's type."""
    scope, kind = config.get('default_scope'), config.get('model', {}).get('type', '')
    if scope and scope != 'mmengine':
        return scope
    module = getattr(kind, '__module__', '') if not isinstance(kind, str) else kind if '.' in kind else ''
    return module.partition('.')[0]


def import_libraries(config: Config) -> None:
    """Import the libraries that a config names, without the output and warnings about optional packages."""
    scope = library(config)
    for name in (scope, *(other for other in LIBRARIES if other != scope and f'{other}.' in str(config._cfg_dict))):
        if name in LIBRARIES and find_spec(name) is not None:
            with redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter('ignore')
                try:
                    for part in ('datasets', 'models', 'evaluation', 'engine', 'visualization'):
                        if find_spec(f'{name}.{part}') is not None:
                            import_module(f'{name}.{part}')
                except Exception as error:
                    raise UserError(f'{name} is installed and cannot be imported: {reason_of(error)}') from error


def build_model(config: Config) -> nn.Module:
    """Build the model of a config, as mmengine's Runner does, without SyncBN.

    Raises:
        UserError: if the config has no model, or it cannot be built; the sentence names the class and the cause.
    """
    check_values(config, ())
    import_libraries(config)
    init_default_scope(config.get('default_scope') or 'mmengine')
    revert_sync_batchnorm(config)
    with explained(Path(config.filename or 'config').name):
        return MODELS.build(model_config(config))


def revert_sync_batchnorm(config: Config) -> None:
    count = 0
    for node in dicts(config.model):
        if type_name(node) == 'SyncBN':
            node['type'] = 'BN'
            count += 1
    if count:
        print_log(
            f'SyncBN runs only on GPUs in several processes (--launcher): BN takes its place in {count} places',
            logger='current',
        )
