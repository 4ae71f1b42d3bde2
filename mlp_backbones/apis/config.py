"""From a config's name and a user's flags to a config that a Runner takes."""

import argparse
import errno
import io
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from traceback import walk_tb

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.fileio import load
from mmengine.logging import print_log
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import nn

from ..checkpoints import install_loader
from ..engine.hooks.classes import check_categories
from ..engine.hooks.interrupt import newest_checkpoint
from ..engine.provenance import config_hash
from ..errors import UserError, printable
from .explain import explained, reason_of
from .values import check_values

OFFER = '`python tools/train.py configs/cyclemlp_maskrcnn_digits.py` needs no download'
LAYOUTS = {
    'coco': 'lay COCO 2017 out as data/coco/annotations/instances_{train,val}2017.json, data/coco/train2017/*.jpg '
    'and data/coco/val2017/*.jpg (links will do); --submission wants data/coco/annotations/'
    'image_info_test-dev2017.json and data/coco/test2017/*.jpg',
    'ade': 'lay ADE20K out as data/ade/ADEChallengeData2016/{images,annotations}/{training,validation}; '
    '--submission wants data/ade/ADEChallengeData2016/images/testing',
    'imagenet': 'lay ImageNet-1K out as data/imagenet/{train,val}/n01440764/*.JPEG, a folder for each class',
}
# The scales at which the papers report UperNet, relative to that of the test pipeline; each also flipped.
TTA_RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
TTA_MODELS = dict(mmseg='mmseg.SegTTAModel', mmpretrain='mmpretrain.AverageClsScoreTTA')
# What draws predictions, where a config has none of it: the hook and the visualizer.
DRAWING = dict(
    mmdet=('mmdet.DetVisualizationHook', 'mmdet.DetLocalVisualizer'),
    mmseg=('mmseg.SegVisualizationHook', 'mmseg.SegLocalVisualizer'),
    mmpretrain=('mmpretrain.VisualizationHook', 'mmpretrain.UniversalVisualizer'),
)
# mmengine's loops, and those that resume exactly.
LOOPS = dict(EpochBasedTrainLoop='ResumableEpochLoop', IterBasedTrainLoop='ResumableIterLoop')
HOOKS = ('ClassesHook', 'ProgressHook', 'InterruptHook', 'ResultHook')
# In these None says the same as nothing, and mmengine's Runner takes only nothing.
MAY_BE_NONE = ('custom_hooks', 'default_hooks', 'env_cfg', 'launcher', 'log_level', 'randomness', 'visualizer')
DATA_FILES = ('.json', '.yaml', '.yml')
# What JSON and YAML write as lists and the libraries want as tuples.
_PAIRS = re.compile('scale|size|range|ratio|pad')


def check_device(device: str) -> None:
    """Raises UserError where torch cannot use the device."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition('\n')[0]
        raise UserError(f'device={device!r} cannot be used ({reason}): give cpu, cuda or cuda:N') from error


class OptionsAction(DictAction):
    """mmengine's action, but what it cannot parse is one sentence."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        for value in values:
            try:
                super().__call__(parser, namespace, [value], option_string)
            except (ValueError, AssertionError):
                parser.error(
                    f'{option_string} {value}: give KEY=VALUE, as in train_cfg.max_epochs=3, and all brackets in pairs'
                )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that tools/train.py and tools/test.py share."""
    parser.add_argument('--work-dir', help='where logs, metrics and checkpoints go (default: work_dirs/NAME)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OptionsAction, metavar='KEY=VALUE', help='changes to the config'
    )
    parser.add_argument(
        '--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none', help='(default: none)'
    )
    parser.add_argument('--tensorboard', action='store_true', help='write to TensorBoard, beside the log')


def load_config(name: str, configs: Path, options: dict | None = None) -> Config:
    """Loads a config by path, or by the bare name of one in the folder ``configs``.

    Args:
        name: a path, or e.g. ``cyclemlp_maskrcnn_digits``.
        configs: where configs with bare names lie.
        options: ``--cfg-options``, by dotted key. Default None.

    Returns:
        The config, and under ``provenance`` what it is: its recipe's name, the options and a hash of both.

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
    _drop_none(config)
    return config


def _read(path: Path) -> Config:
    """mmengine's reader; what goes wrong in it is one sentence with the file and the line."""
    try:
        content = load(path) if path.suffix in DATA_FILES else {}
        if not isinstance(content, dict):
            raise UserError(f'config {printable(path)} holds a {type(content).__name__}, expected keys and values')
        config = Config.fromfile(path)
        # Classes that a pure Python config imports are looked up now.
        nodes = list(_dicts(config._cfg_dict))
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
        files = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
        at = [(Path(file).name, line) for file, line in files if file.endswith('.py') and _is_config(file, path)]
        place = f' ({printable(at[-1][0])}, line {at[-1][1]})' if at else ''
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


def _is_config(file: str, path: Path) -> bool:
    """Whether code of ``file`` is that of a config: it is the file itself, or lies in a folder of configs."""
    return Path(file).resolve() == path.resolve() or '_base_' in Path(file).parts or 'configs' in Path(file).parts


def _as_tuple(value: object) -> object:
    if not isinstance(value, list):
        return value
    numbers = all(isinstance(item, (int, float)) for item in value)
    return tuple(value) if numbers and len(value) > 1 else [_as_tuple(item) for item in value]


def _drop_none(config: Config) -> None:
    for key in MAY_BE_NONE:
        if key in config and config[key] is None:
            config.pop(key)


def _check_delete(config: Config, path: Path) -> None:
    """Refuse what mmengine leaves of ``_delete_``, which it would give to a constructor."""
    for place, node in _places(config._cfg_dict):
        if '_delete_' in node:
            raise UserError(
                f'{printable(path)}: {place or "the config"} has _delete_, and there is nothing below it to delete: '
                f'inherit from a base that has {place or "it"}, or take _delete_ out'
            )


def _places(node: object, place: str = '') -> Iterator[tuple[str, dict]]:
    """All dicts in a config, with their dotted keys."""
    if isinstance(node, dict):
        yield place, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in items:
        yield from _places(value, f'{place}.{key}'.lstrip('.'))


def recipe_name(path: Path, configs: Path) -> str:
    """The bare name of a config; for an alias, which stands at the top of ``configs``, that of the config it names."""
    is_alias = path.suffix == '.py' and path.resolve().parent == configs.resolve()
    bases = re.findall(r"^_base_ = '(.+)\.py'$", path.read_text(), re.MULTILINE) if is_alias else []
    return Path(bases[0]).name if bases else path.stem


def model_config(config: Config) -> dict:
    """The model of a config as mmengine's Runner builds it: a ``data_preprocessor`` beside the model belongs to it."""
    model = dict(config.model)
    if 'data_preprocessor' in config:
        model.setdefault('data_preprocessor', config.data_preprocessor)
    return model


def library(config: Config) -> str:
    """The package whose classes a config names: its ``default_scope``, or that of its model's type."""
    scope, kind = config.get('default_scope'), config.get('model', {}).get('type', '')
    if scope and scope != 'mmengine':
        return scope
    return (
        kind.partition('.')[0]
        if isinstance(kind, str) and '.' in kind
        else getattr(kind, '__module__', '').partition('.')[0]
    )


def import_libraries(config: Config) -> None:
    """Import the libraries that a config names, without what they print and warn of while they are imported.

    They announce optional packages on the standard output, whatever the level of the log.
    """
    scope = library(config)
    for name in (scope, *(other for other in DRAWING if other != scope and f'{other}.' in str(config._cfg_dict))):
        if name in DRAWING and find_spec(name) is not None:
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
    _revert_sync_batchnorm(config)
    with explained(Path(config.filename or 'config').name):
        return MODELS.build(model_config(config))


def prepare_train(
    config: Config, work_dir: str | None, launcher: str, amp: bool, resume: str | None, tensorboard: bool = False
) -> None:
    """Puts the flags of tools/train.py into a config, and checks its data.

    Args:
        config: changed in place.
        work_dir: where results go. None: ``work_dirs/<name of the config>``.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        amp: train in mixed precision (a GPU is needed).
        resume: None (as the config says), 'auto' (the newest checkpoint of the work directory) or a path.
        tensorboard: write scalars to TensorBoard too. Default False.

    Raises:
        UserError: if data, the GPU that ``amp`` needs, the checkpoint to resume from or TensorBoard are missing.
    """
    check_values(config, ('train_dataloader', 'val_dataloader'))
    _prepare(config, work_dir, launcher, ('train_dataloader', 'val_dataloader'), tensorboard)
    if amp:
        if not torch.cuda.is_available():
            raise UserError(
                '--amp needs a GPU, and torch sees none: leave it out, or install a torch built for your GPU'
            )
        config.optim_wrapper.type = 'AmpOptimWrapper'
        config.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if resume:
        path = newest_checkpoint(config.work_dir) if resume == 'auto' else resume
        if not path or not Path(path).is_file():
            raise UserError(
                f'nothing to resume from: {path or "a checkpoint in " + config.work_dir} is missing; '
                f'leave --resume out to begin, or give the path of a checkpoint'
            )
        config.resume, config.load_from = True, path
    # The order of the data follows from the seed, and a resumed run must find the same.
    randomness = config.get('randomness') or {}
    if randomness.get('seed') is None:
        config.randomness = dict(randomness, seed=0)
    loop = config.train_cfg
    kind = _name(loop) or ('EpochBasedTrainLoop' if loop.get('by_epoch') else 'IterBasedTrainLoop')
    if kind in LOOPS:
        loop.pop('by_epoch', None)
        loop.type = f'mlp_backbones.{LOOPS[kind]}'
    # Without an entry mmengine has a CheckpointHook, too; None is none.
    hooks = config.setdefault('default_hooks', ConfigDict())
    checkpoint = hooks.setdefault('checkpoint', ConfigDict(type='CheckpointHook', interval=1))
    if checkpoint and _name(checkpoint) == 'CheckpointHook':
        checkpoint.type = 'mlp_backbones.KeepingCheckpointHook'
    config.custom_hooks += [dict(type=f'mlp_backbones.{name}') for name in HOOKS]


def prepare_test(
    config: Config,
    work_dir: str | None,
    launcher: str,
    out: str | None,
    show_dir: str | None,
    tensorboard: bool = False,
    tta: bool = False,
    submission: Path | None = None,
) -> None:
    """Puts the flags of tools/test.py into a config, and checks its data.

    Args:
        config: changed in place.
        work_dir: where results go. None: ``work_dirs/<name of the config>``.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        out: a .pkl file for the predictions. None: not saved.
        show_dir: a folder for pictures of predictions beside the truth. None: not drawn.
        tensorboard: write metrics to TensorBoard too. Default False.
        tta: test-time augmentation, of the config or, for a segmentor, at ``TTA_RATIOS`` with flips. Default False.
        submission: a folder for the files that an evaluation server takes, in place of metrics. None: not written.

    Raises:
        UserError: if data or TensorBoard are missing, ``out`` does not end in .pkl, the config cannot be augmented, or
            no server takes its results.
    """
    check_values(config, ('test_dataloader',))
    if submission:
        from .submission import prepare_submission

        prepare_submission(config, submission)
    _prepare(config, work_dir, launcher, ('test_dataloader',), tensorboard)
    if tta:
        _augment(config)
    # Runner would load these over the checkpoint that is to be tested.
    config.load_from, config.resume = None, False
    scope = library(config)
    if out:
        if Path(out).suffix not in ('.pkl', '.pickle'):
            raise UserError(f'--out {out}: predictions are saved as .pkl or .pickle, give a name that ends so')
        check_folder(Path(out).parent, '--out')
        evaluators = config.test_evaluator if isinstance(config.test_evaluator, list) else [config.test_evaluator]
        dump = 'mmdet.DumpDetResults' if scope == 'mmdet' else 'DumpResults'
        config.test_evaluator = [*evaluators, dict(type=dump, out_file_path=out)]
    if show_dir:
        check_folder(show_dir, '--show-dir')
        hook = _drawing_hook(config, scope)
        folder = str(Path(show_dir).resolve())
        if scope == 'mmpretrain':
            hook.update(enable=True, interval=1, out_dir=folder)
        elif scope == 'mmseg':
            hook.update(draw=True, interval=1)
            config.visualizer.save_dir = folder
        else:
            hook.update(draw=True, interval=1, test_out_dir=folder)


def _drawing_hook(config: Config, scope: str) -> ConfigDict:
    """The hook that draws predictions; a config without one, or without a visualizer, gets those of its library."""
    hooks = config.get('default_hooks') or {}
    if not (hooks.get('visualization') and config.get('visualizer')) and scope not in DRAWING:
        raise UserError(
            f'--show-dir: {config.filename} lacks default_hooks.visualization or visualizer, which draw: add those of '
            f'your library'
        )
    if not hooks.get('visualization'):
        config.default_hooks = dict(hooks, visualization=dict(type=DRAWING[scope][0]))
    if not config.get('visualizer'):
        config.visualizer = dict(type=DRAWING[scope][1], vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
    return config.default_hooks.visualization


def _prepare(
    config: Config, work_dir: str | None, launcher: str, dataloaders: tuple[str, ...], tensorboard: bool
) -> None:
    _drop_none(config)
    if tensorboard:
        _add_tensorboard(config)
    config.work_dir = work_dir or config.get('work_dir') or f'work_dirs/{config.provenance.config}'
    config.launcher = launcher
    # A config that mmengine saved in a work directory names our hooks already.
    config.custom_hooks = [hook for hook in config.get('custom_hooks', []) if _name(hook) not in HOOKS]
    if not torch.cuda.is_available() or launcher == 'none':
        _revert_sync_batchnorm(config)
    if config.get('digit_scenes'):
        try:
            # Imported here: scikit-learn is needed for these scenes alone.
            from ..datasets import write_digit_scenes

            write_digit_scenes(**config.digit_scenes)
        except ModuleNotFoundError as error:
            raise UserError(
                f'the digit scenes need {error.name}, which is not installed: `pip install ".[digits]"`'
            ) from error
        except (OSError, TypeError, ValueError) as error:
            raise UserError(f'the digit scenes cannot be written: {reason_of(error)}') from error
    for name in dataloaders:
        if config.get(name):
            for path in _data_paths(config[name].dataset, config.get('default_scope')):
                if not path.exists():
                    found = (text for part, text in LAYOUTS.items() if part in path.parts)
                    advice = next(found, 'put the data there, or set data_root with --cfg-options')
                    raise UserError(f'{path} is missing: {advice}; {OFFER}')
    import_libraries(config)
    check_categories(config, dataloaders)
    check_folder(config.work_dir, '--work-dir')


def check_folder(folder: str | Path, option: str) -> None:
    """Make a folder for results, and write and remove a file there.

    Args:
        folder: the folder.
        option: that names another one.

    Raises:
        UserError: if that is impossible: a file is in its place, the disk is full or read-only, the path is too long.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except (OSError, RecursionError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f'cannot write to the folder {printable(folder)} ({reason}): give another {option}') from error


def _add_tensorboard(config: Config) -> None:
    if find_spec('tensorboard') is None:
        raise UserError('--tensorboard needs tensorboard, which is not installed: `pip install tensorboard`')
    visualizer = config.setdefault('visualizer', ConfigDict(type='Visualizer'))
    others = [backend for backend in visualizer.get('vis_backends') or [] if 'Tensorboard' not in _name(backend)]
    visualizer.vis_backends = [*(others or [dict(type='LocalVisBackend')]), dict(type='TensorboardVisBackend')]


def _augment(config: Config) -> None:
    scope = library(config)
    model = config.get('tta_model') or (dict(type=TTA_MODELS[scope]) if scope in TTA_MODELS else None)
    dataset = config.test_dataloader.dataset
    pipeline = config.get('tta_pipeline')
    if scope == 'mmseg' and not pipeline and 'pipeline' in dataset:
        pipeline = _multi_scale_and_flip(dataset.pipeline)
    missing = ' and '.join(key for key, value in dict(tta_model=model, tta_pipeline=pipeline).items() if not value)
    if missing:
        raise UserError(
            f'--tta: {config.filename} lacks {missing}, which say how to vary a picture and merge what is found; only '
            f'segmentors have a default'
        )
    dataset.pipeline = pipeline
    config.model = ConfigDict(**model, module=config.model)


def _multi_scale_and_flip(pipeline: list[ConfigDict]) -> list[dict]:
    """A segmentor's test pipeline at all of ``TTA_RATIOS``, as it is and flipped; the truth keeps its size."""
    load, *others = pipeline
    resize = next((step for step in others if _name(step) == 'Resize'), {})
    others = [step for step in others if step is not resize]
    if 'scale' in resize:
        width, height = resize.scale
        sizes = [dict(resize, scale=(round(width * r), round(height * r))) for r in TTA_RATIOS]
    else:
        sizes = [
            dict(type=resize.get('type', 'Resize'), scale_factor=r * resize.get('scale_factor', 1.0))
            for r in TTA_RATIOS
        ]
    flips = [dict(type='RandomFlip', prob=float(flip), direction='horizontal') for flip in (False, True)]
    return [load, dict(type='TestTimeAug', transforms=[sizes, flips, *([step] for step in others)])]


def _revert_sync_batchnorm(config: Config) -> None:
    count = 0
    for node in _dicts(config.model):
        if _name(node) == 'SyncBN':
            node['type'] = 'BN'
            count += 1
    if count:
        print_log(
            f'SyncBN runs only on GPUs in several processes (--launcher): it is BN here, in {count} places',
            logger='current',
        )


def _dicts(node: object) -> Iterator[ConfigDict]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from _dicts(item)


def _name(node: dict) -> str:
    """The class that a config dict names, without its scope or module."""
    kind = node.get('type', '')
    return (kind if isinstance(kind, str) else kind.__name__).rpartition('.')[2]


def _data_paths(dataset: ConfigDict, scope: str | None = None) -> Iterator[Path]:
    """The annotation files and folders that a dataset, or those inside it, will read and cannot download."""
    for node in _dicts(dataset):
        root = node.get('data_root') or ''
        parts = [*_strings(node.get('ann_file')), *_strings(node.get('data_prefix'))]
        for part in parts or _strings(root):
            if '://' not in f'{root}{part}':
                path = Path(root, part) if parts else Path(root)
                if path.exists() or not _downloads(node, scope):
                    yield path


def _downloads(node: ConfigDict, scope: str | None) -> bool:
    """Whether a config is of a dataset that downloads what is missing, as mmpretrain's CIFAR10 does by default."""
    kind = node.get('type')
    if isinstance(kind, str):
        with DATASETS.switch_scope_and_registry(node.get('_scope_') or scope) as registry:
            kind = registry.get(kind)
    for base in kind.__mro__ if isinstance(kind, type) else ():
        # A subclass may hand the argument on as one of its **kwargs.
        download = signature(base.__init__).parameters.get('download')
        if download is not None:
            return bool(node.get('download', download.default))
    return False


def _strings(node: object) -> Iterator[str]:
    if isinstance(node, str) and node:
        yield node
    elif isinstance(node, (dict, list, tuple)):
        for item in node.values() if isinstance(node, dict) else node:
            yield from _strings(item)
