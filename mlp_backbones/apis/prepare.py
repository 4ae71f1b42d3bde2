"""Put the flags of tools/train.py and tools/test.py into a config, and check its data."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from inspect import signature
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict

from ..engine.hooks.checkpoint import newest_checkpoint
from ..engine.hooks.classes import check_categories
from ..engine.nodes import dataset_class, dicts, strings, type_name
from ..errors import UserError, printable, reason_of
from .config import TRACKERS, drop_none, import_libraries, library, revert_sync_batchnorm
from .submission import prepare_submission
from .values import check_values

DATA_LAYOUT_HINTS = {
    'coco': 'lay COCO 2017 out as data/coco/annotations/instances_{train,val}2017.json, data/coco/train2017/*.jpg '
    'and data/coco/val2017/*.jpg (links will do); --submission wants data/coco/annotations/'
    'image_info_test-dev2017.json and data/coco/test2017/*.jpg',
    'ade': 'lay ADE20K out as data/ade/ADEChallengeData2016/{images,annotations}/{training,validation}; '
    '--submission wants data/ade/ADEChallengeData2016/images/testing',
    'imagenet': 'lay ImageNet-1K out as data/imagenet/{train,val}/n01440764/*.JPEG, a folder for each class',
}
NO_DATA_HINT = '`python -m mlp_backbones train cyclemlp_maskrcnn_digits` needs no download'
# The scales at which the papers report UperNet, relative to that of the test pipeline; each also flipped.
TTA_RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
TTA_MODELS = dict(mmseg='mmseg.SegTTAModel', mmpretrain='mmpretrain.AverageClsScoreTTA')
# mmengine's loops, and those that resume exactly.
LOOPS = dict(EpochBasedTrainLoop='ResumableEpochLoop', IterBasedTrainLoop='ResumableIterLoop')
TRAINING_HOOKS = ('ClassesHook', 'ProgressHook', 'InterruptHook', 'ResultHook')
SHEETS = 'ContactSheetHook'
OURS = (*TRAINING_HOOKS, SHEETS)


@dataclass(frozen=True)
class TrainOptions:
    """The flags of tools/train.py.

    Attributes:
        work_dir: folder for results. Default None: that of the config, or else ``work_dirs/<name of the config>``.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'. Default 'none'.
        amp: train in mixed precision, which needs a GPU. Default False.
        resume: 'auto' (the newest checkpoint of the work directory) or a path. Default None: as the config has it.
        tensorboard: the same as 'tensorboard' in ``log_to``. Default False.
        log_to: trackers that get losses and metrics as well, of ``TRACKERS``. Default (): none.
    """

    work_dir: str | None = None
    launcher: str = 'none'
    amp: bool = False
    resume: str | None = None
    tensorboard: bool = False
    log_to: Sequence[str] = ()


@dataclass(frozen=True)
class TestOptions:
    """The flags of tools/test.py.

    Attributes:
        work_dir: as in :class:`TrainOptions`.
        launcher: as there.
        tensorboard: as there.
        log_to: as there.
        out: a .pkl file for the predictions. Default None: not saved.
        show_dir: a folder for pictures of predictions beside the truth, and sheets. Default None: not drawn.
        tta: test-time augmentation, of the config or, for a segmentor, at ``TTA_RATIOS`` with flips. Default False.
        submission: a folder for the files of an evaluation server, in place of metrics. Default None: not written.
    """

    __test__ = False  # not a test case of pytest

    work_dir: str | None = None
    launcher: str = 'none'
    out: str | None = None
    show_dir: str | None = None
    tensorboard: bool = False
    tta: bool = False
    submission: Path | None = None
    log_to: Sequence[str] = ()


def prepare_train(config: Config, *args, **kwargs) -> None:
    """Put the flags of tools/train.py into a config, and check its data.

    Args:
        config: changed in place.
        args: one :class:`TrainOptions`, or
        kwargs: its fields.

    Raises:
        UserError: if data, a GPU for mixed precision, the checkpoint to resume from or a tracker's package are
            missing.
    """
    options = _options(TrainOptions, args, kwargs)
    check_values(config, ('train_dataloader', 'val_dataloader'))
    _prepare(config, options, ('train_dataloader', 'val_dataloader'))
    if options.amp:
        config.optim_wrapper.type = 'AmpOptimWrapper'
        config.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if type_name(config.optim_wrapper) == 'AmpOptimWrapper' and not torch.cuda.is_available():
        advice = 'leave --amp out' if options.amp else 'add --cfg-options optim_wrapper.type=OptimWrapper'
        raise UserError(
            f'training in mixed precision needs a GPU, and torch sees none: {advice}, or install a torch built for '
            'your GPU'
        )
    if options.resume:
        path = newest_checkpoint(config.work_dir) if options.resume == 'auto' else options.resume
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
    kind = type_name(loop) or ('EpochBasedTrainLoop' if loop.get('by_epoch') else 'IterBasedTrainLoop')
    if kind in LOOPS:
        loop.pop('by_epoch', None)
        loop.type = f'mlp_backbones.{LOOPS[kind]}'
    # Without an entry mmengine has a CheckpointHook, too; None is none.
    hooks = config.setdefault('default_hooks', ConfigDict())
    checkpoint = hooks.setdefault('checkpoint', ConfigDict(type='CheckpointHook', interval=1))
    if checkpoint and type_name(checkpoint) == 'CheckpointHook':
        checkpoint.type = 'mlp_backbones.KeepingCheckpointHook'
    config.custom_hooks += [dict(type=f'mlp_backbones.{name}') for name in TRAINING_HOOKS]


def prepare_test(config: Config, *args, **kwargs) -> None:
    """Put the flags of tools/test.py into a config, and check its data.

    Args:
        config: changed in place.
        args: one :class:`TestOptions`, or
        kwargs: its fields.

    Raises:
        UserError: if data or a tracker's package are missing, ``out`` does not end in .pkl, the config cannot be
            augmented, or no server accepts its results.
    """
    options = _options(TestOptions, args, kwargs)
    check_values(config, ('test_dataloader',))
    if options.submission:
        prepare_submission(config, options.submission)
    _prepare(config, options, ('test_dataloader',))
    if options.tta:
        _augment(config)
    # Runner would load these over the checkpoint that is to be tested.
    config.load_from, config.resume = None, False
    scope = library(config)
    if out := options.out:
        if Path(out).suffix not in ('.pkl', '.pickle'):
            raise UserError(f'--out {out}: predictions are saved as .pkl or .pickle, give a name that ends so')
        check_folder(Path(out).parent, '--out')
        evaluators = config.test_evaluator if isinstance(config.test_evaluator, list) else [config.test_evaluator]
        dump = 'mmdet.DumpDetResults' if scope == 'mmdet' else 'DumpResults'
        config.test_evaluator = [*evaluators, dict(type=dump, out_file_path=out)]
    if options.show_dir:
        check_folder(options.show_dir, '--show-dir')
        own = (config.get('default_hooks') or {}).get('visualization') or {}
        kept = {key: own[key] for key in ('score_thr', 'backend_args') if key in own}
        config.custom_hooks.append(dict(type=f'mlp_backbones.{SHEETS}', out_dir=options.show_dir, **kept))


def _options(kind: type, args: tuple, kwargs: dict):
    return replace(args[0], **kwargs) if len(args) == 1 and isinstance(args[0], kind) else kind(*args, **kwargs)


def _prepare(config: Config, options: TrainOptions | TestOptions, dataloaders: tuple[str, ...]) -> None:
    drop_none(config)
    for name in dict.fromkeys([*(['tensorboard'] if options.tensorboard else []), *options.log_to]):
        _add_tracker(config, name)
    config.work_dir = options.work_dir or config.get('work_dir') or f'work_dirs/{config.provenance.config}'
    config.launcher = options.launcher
    # A config that mmengine saved in a work directory names our hooks already.
    config.custom_hooks = [hook for hook in config.get('custom_hooks', []) if type_name(hook) not in OURS]
    if not torch.cuda.is_available() or options.launcher == 'none':
        revert_sync_batchnorm(config)
    if config.get('digit_scenes'):
        try:
            # A late import: scikit-learn is needed only for these scenes.
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
            for path in data_paths(config[name].dataset, config.get('default_scope')):
                if not path.exists():
                    found = (text for part, text in DATA_LAYOUT_HINTS.items() if part in path.parts)
                    advice = next(found, 'put the data there, or set data_root with --cfg-options')
                    raise UserError(f'{path} is missing: {advice}; {NO_DATA_HINT}')
    import_libraries(config)
    check_categories(config, dataloaders)
    check_folder(config.work_dir, '--work-dir')


def check_folder(folder: str | Path, option: str) -> None:
    """Make a folder for results, and write and remove a file there; ``option`` is the flag that names another folder.

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


def _add_tracker(config: Config, name: str) -> None:
    if name not in TRACKERS:
        raise UserError(f'--log-to {name}: give one of {", ".join(TRACKERS)}')
    backend, package = TRACKERS[name]
    if find_spec(package) is None:
        raise UserError(f'--log-to {name} needs {package}, which is not installed: `pip install {package}`')
    visualizer = config.setdefault('visualizer', ConfigDict(type='Visualizer'))
    others = [node for node in visualizer.get('vis_backends') or [] if type_name(node) != backend]
    visualizer.vis_backends = [*(others or [dict(type='LocalVisBackend')]), dict(type=backend)]


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
            f'--tta: {config.filename} lacks {missing}, which vary an image and merge the results; only '
            f'segmentors have a default'
        )
    dataset.pipeline = pipeline
    config.model = ConfigDict(**model, module=config.model)


def _multi_scale_and_flip(pipeline: list[ConfigDict]) -> list[dict]:
    """A segmentor's test pipeline at all of ``TTA_RATIOS``, as it is and flipped; the truth keeps its size."""
    load, *others = pipeline
    resize = next((step for step in others if type_name(step) == 'Resize'), {})
    others = [step for step in others if step is not resize]
    if 'scale' in resize:
        sizes = [dict(resize, scale=tuple(round(side * r) for side in resize.scale)) for r in TTA_RATIOS]
    else:
        kind, factor = resize.get('type', 'Resize'), resize.get('scale_factor', 1.0)
        sizes = [dict(type=kind, scale_factor=r * factor) for r in TTA_RATIOS]
    flips = [dict(type='RandomFlip', prob=float(flip), direction='horizontal') for flip in (False, True)]
    return [load, dict(type='TestTimeAug', transforms=[sizes, flips, *([step] for step in others)])]


def data_paths(dataset: ConfigDict, scope: str | None = None) -> Iterator[Path]:
    """The annotation files and folders that a dataset, or those inside it, will read and cannot download."""
    for node in dicts(dataset):
        root = node.get('data_root') or ''
        parts = [*strings(node.get('ann_file')), *strings(node.get('data_prefix'))]
        for part in parts or strings(root):
            if '://' not in f'{root}{part}':
                path = Path(root, part) if parts else Path(root)
                if path.exists() or not _downloads(node, scope):
                    yield path


def _downloads(node: ConfigDict, scope: str | None) -> bool:
    """Return whether a data set downloads missing files, as mmpretrain's CIFAR10 does by default."""
    kind = dataset_class(node, scope)
    for base in kind.__mro__ if isinstance(kind, type) else ():
        # A subclass may hand the argument on as one of its **kwargs.
        download = signature(base.__init__).parameters.get('download')
        if download is not None:
            return bool(node.get('download', download.default))
    return False
