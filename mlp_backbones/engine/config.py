"""From a config's name and a user's flags to a config that a Runner takes."""

import argparse
import ast
from collections.abc import Iterator
from difflib import get_close_matches
from importlib.util import find_spec
from inspect import signature
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from ..errors import UserError
from .provenance import config_hash
from .resume import newest_checkpoint

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
TTA_MODELS = dict(mmseg='SegTTAModel', mmpretrain='AverageClsScoreTTA')
# mmengine's loops, and those that resume exactly.
LOOPS = dict(EpochBasedTrainLoop='ResumableEpochLoop', IterBasedTrainLoop='ResumableIterLoop')
HOOKS = ('ProgressHook', 'InterruptHook', 'ResultHook')


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
    path = Path(name)
    if not path.is_file():
        names = {p.stem: p for p in sorted(configs.rglob('*.py')) if '_base_' not in p.parts}
        if path.stem not in names or len(path.parts) > 1:
            nearest = ', '.join(get_close_matches(path.stem, names, cutoff=0.5))
            hint = f', did you mean {nearest}?' if nearest else '.'
            raise UserError(f'unknown config {name!r}{hint} `python -m mlp_backbones zoo` lists them all')
        path = names[path.stem]
    config = Config.fromfile(path)
    try:
        config.merge_from_dict(options or {})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # mmengine's sentence may go on with all that the config holds there.
        reason = str(error.args[0]).partition(' [')[0]
        changes = ', '.join(f'{key}={value}' for key, value in options.items())
        raise UserError(
            f'{path.stem} has no place for one of the options {changes} ({reason}): give dotted keys of the config, '
            f'and for an item of a list its number'
        ) from error
    config.pop('provenance', None)  # of a config that was saved in a work directory
    config.provenance = dict(config=recipe(path), options=options or {}, config_hash=config_hash(config))
    return config


def recipe(path: Path) -> str:
    """The bare name of a config; of a front door, which only names another config, the name of that one."""
    statements = ast.parse(path.read_text()).body
    if len(statements) == 1 and isinstance(statements[0], ast.Assign) and isinstance(statements[0].value, ast.Constant):
        return Path(statements[0].value.value).stem
    return path.stem


def model_config(config: Config) -> dict:
    """The model of a config as mmengine's Runner builds it: a ``data_preprocessor`` beside the model belongs to it."""
    model = dict(config.model)
    if 'data_preprocessor' in config:
        model.setdefault('data_preprocessor', config.data_preprocessor)
    return model


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
    if config.get('randomness', {}).get('seed') is None:
        config.randomness = dict(config.get('randomness', {}), seed=0)
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
    if submission:
        from .submission import prepare_submission

        prepare_submission(config, submission)
    _prepare(config, work_dir, launcher, ('test_dataloader',), tensorboard)
    if tta:
        _augment(config)
    # Runner would load these over the checkpoint that is to be tested.
    config.load_from, config.resume = None, False
    scope = config.get('default_scope')
    if out:
        if Path(out).suffix not in ('.pkl', '.pickle'):
            raise UserError(f'--out {out}: predictions are saved as .pkl or .pickle, give a name that ends so')
        evaluators = config.test_evaluator if isinstance(config.test_evaluator, list) else [config.test_evaluator]
        dump = 'DumpDetResults' if scope == 'mmdet' else 'DumpResults'
        config.test_evaluator = [*evaluators, dict(type=dump, out_file_path=out)]
    if show_dir:
        hook = config.default_hooks.visualization
        folder = str(Path(show_dir).resolve())
        if scope == 'mmpretrain':
            hook.update(enable=True, interval=1, out_dir=folder)
        elif scope == 'mmseg':
            hook.update(draw=True, interval=1)
            config.visualizer.save_dir = folder
        else:
            hook.update(draw=True, interval=1, test_out_dir=folder)


def _prepare(
    config: Config, work_dir: str | None, launcher: str, dataloaders: tuple[str, ...], tensorboard: bool
) -> None:
    if tensorboard:
        _add_tensorboard(config)
    config.work_dir = work_dir or config.get('work_dir') or f'work_dirs/{Path(config.filename).stem}'
    config.launcher = launcher
    # A config that mmengine saved in a work directory names our hooks already.
    config.custom_hooks = [hook for hook in config.get('custom_hooks', []) if _name(hook) not in HOOKS]
    if not torch.cuda.is_available() or launcher == 'none':
        _revert_sync_batchnorm(config)
    if 'digit_scenes' in config:
        try:
            # Imported here: scikit-learn is needed for these scenes alone.
            from ..datasets import write_digit_scenes

            write_digit_scenes(**config.digit_scenes)
        except ModuleNotFoundError as error:
            raise UserError(
                f'the digit scenes need {error.name}, which is not installed: `pip install ".[digits]"`'
            ) from error
        except (FileExistsError, ValueError) as error:
            raise UserError(str(error)) from error
    for name in dataloaders:
        if config.get(name):
            for path in _data_paths(config[name].dataset, config.get('default_scope')):
                if not path.exists():
                    found = (text for part, text in LAYOUTS.items() if part in path.parts)
                    advice = next(found, 'put the data there, or set data_root with --cfg-options')
                    raise UserError(f'{path} is missing: {advice}; {OFFER}')


def _add_tensorboard(config: Config) -> None:
    if find_spec('tensorboard') is None:
        raise UserError('--tensorboard needs tensorboard, which is not installed: `pip install tensorboard`')
    visualizer = config.setdefault('visualizer', ConfigDict(type='Visualizer'))
    others = [backend for backend in visualizer.get('vis_backends') or [] if 'Tensorboard' not in _name(backend)]
    visualizer.vis_backends = [*(others or [dict(type='LocalVisBackend')]), dict(type='TensorboardVisBackend')]


def _augment(config: Config) -> None:
    scope = config.get('default_scope')
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
        sizes = [dict(type='Resize', scale_factor=r * resize.get('scale_factor', 1.0)) for r in TTA_RATIOS]
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
