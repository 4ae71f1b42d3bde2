"""Fit a recipe to a folder of the user's images: its data, classes, weights, batch, learning rate and schedule."""

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoints import CheckpointError, read_checkpoint
from ..engine.nodes import type_name
from ..errors import UserError, printable
from ..files import check_target, write_text, writing
from ..recipes import recipes_folder
from .config import library, load_config
from .edits import Edits, Place, plain
from .nearest import choose_weights
from .own_boxes import boxes
from .own_data import SPLIT, OwnData, list_files, read_names
from .own_labels import class_folders, label_maps
from .schedule import BEST, fit_schedule
from .stock import find_config
from .swap import LAYER_DECAY, Swap, reread

COMMAND = 'python -m mlp_backbones new-config'
LOADERS = dict(train='train_dataloader', val='val_dataloader', test='test_dataloader')
LAYER_DECAY_RATE = 0.9
OTHER_WEIGHTS_HINT = '--weights FILE takes weights of yours, and --weights none random ones'
# Parts whose num_classes is not that of the data.
OTHER_PARTS = {'backbone', 'neck', 'rpn_head', 'teacher'}


@dataclass(frozen=True)
class DataOptions:
    """What a user says of data and training.

    Attributes:
        data: folder of the images.
        annotations: files in COCO's format, for training, validation and test images. Default (): found in ``data``.
        names: file with the names of the classes. Default None: found in ``data``, or in the annotations.
        reduce_zero_label: whether label 0 of label maps is ignored. Default None: no, where all labels fit.
        split: folder for what is written of the data. Default None: ``split`` in ``data``.
        weights: a checkpoint's file or address, of a backbone or a whole model; the name of published weights; or
            'none'. Default None: those of the recipe, or the published ones of its backbone.
        epochs: passes over the training images. Default None: by their number.
        devices: that will train. Default 1.
    """

    data: Path
    annotations: Sequence[Path] = ()
    names: Path | None = None
    reduce_zero_label: bool | None = None
    split: Path | None = None
    weights: str | None = None
    epochs: int | None = None
    devices: int = 1


def new_config(recipe: str, options: DataOptions) -> tuple[Swap, OwnData]:
    """Make a config that trains a recipe on a folder of images. It writes nothing.

    Args:
        recipe: a config, as :func:`.swap_backbone` takes it, of mmdet, mmseg or mmpretrain.
        options: the folder, and what it does not tell.

    Returns:
        The config with its changes and notes, and what the folder holds.

    Raises:
        UserError: if there is no such recipe, or its data or the folder cannot be used; in one sentence.
        CheckpointError: if a file of ``weights`` cannot be read.
    """
    if options.epochs is not None and options.epochs < 1:
        raise UserError(f'--epochs {options.epochs}: give 1 or more')
    if options.devices < 1:
        raise UserError(f'--devices {options.devices}: give 1 or more')
    configs = recipes_folder() / 'configs'
    path, base = find_config(recipe, configs)
    config = load_config(str(path), configs)
    config.pop('provenance')
    scope = library(config)
    if scope not in BEST:
        raise UserError(f'{path.name} is of {scope!r}: own data train recipes of {", ".join(BEST)}')
    for key in ('train_dataloader', 'val_dataloader', 'train_cfg', 'optim_wrapper', 'val_evaluator'):
        if not config.get(key):
            raise UserError(f'{path.name} has no {key}: give a whole recipe')
    data = read_folder(scope, options)
    edits = Edits(config)
    result = Swap(config=edits.config, edits=edits, base=base, path=path, heading='', notes=[_summary(data)])
    result.heading = f'{path.stem} on {data.folder.name}, by `{COMMAND}`.'
    fitter = _Fitter(result, data, scope, options)
    fitter.place_data()
    fitter.place_classes()
    fitter.evaluate()
    fitter.load()
    result.notes += fit_schedule(edits, scope, data.counts['train'], options.devices, options.epochs)
    if fitter.is_tuned:
        fitter.decay()
    result.notes += data.notes
    return reread(result), data


def read_folder(scope: str, options: DataOptions) -> OwnData:
    """Read the folder of ``options`` for a library: boxes, label maps or class folders."""
    folder = Path(os.path.abspath(options.data))
    split = Path(os.path.abspath(options.split)) if options.split else folder / SPLIT
    files = list_files(folder, split)
    if options.names and not options.names.is_file():
        raise UserError(f'--names {printable(options.names)} is missing: give a file with a name on each line')
    if options.reduce_zero_label is not None and scope != 'mmseg':
        raise UserError('--reduce-zero-label is for label maps: leave it out')
    if options.names and scope == 'mmpretrain':
        raise UserError('--names is for label maps and boxes, and class folders have names: leave it out')
    if scope == 'mmdet':
        return boxes(folder, files, options.annotations, options.names, split)
    if options.annotations:
        raise UserError('--annotations is for detectors: leave it out')
    if scope == 'mmseg':
        return label_maps(folder, files, read_names(folder, options.names), options.reduce_zero_label, split)
    return class_folders(folder, files, split)


def _summary(data: OwnData) -> str:
    counts = ', '.join(f'{count} {part}' for part, count in data.counts.items())
    names = ', '.join(data.classes[:8]) + (', ...' if len(data.classes) > 8 else '')
    return f'{data.kind}: {counts} images; {len(data.classes)} classes: {printable(names)}'


class _Fitter:
    """The parts of a new config, which share what is known of the data."""

    def __init__(self, result: Swap, data: OwnData, scope: str, options: DataOptions):
        self.edits, self.notes = result.edits, result.notes
        self.data, self.scope, self.options = data, scope, options
        self.old = result.edits.old
        self.is_tuned = False
        steps = [node for _, node in _nodes(self.old.train_dataloader, ())]
        self._trains_masks = any(type_name(step) == 'LoadAnnotations' and step.get('with_mask') for step in steps)
        if any(type_name(step) == 'LoadPanopticAnnotations' for step in steps):
            raise UserError('panoptic recipes take no folder: give one for instances or label maps')

    def place_data(self) -> None:
        for part, loader in LOADERS.items():
            place: Place = (loader, 'dataset')
            node = self.edits.get(place)
            if node is None and part == 'test':
                continue
            if not node or 'pipeline' not in node:
                raise UserError(f'{loader}.dataset of the recipe has no pipeline of its own: give a plain recipe')
            part = part if part in self.data.parts else 'val'
            settings = {**self.data.dataset, **self.data.parts[part]}
            why = f'{self.data.kind}, {self.data.counts[part]} images'
            if self.scope == 'mmpretrain':  # its data sets take different arguments
                self.edits.set(place, dict(settings, pipeline=plain(node.pipeline)), why)
                continue
            for key, value in settings.items():
                if key == 'data_prefix':
                    for name in dict(node.get(key) or {}, **value):
                        self.edits.set((*place, key, name), value.get(name, ''), why)
                elif value != '' or node.get(key):
                    self.edits.set((*place, key), value, why)
        if type_name(self.edits.get(('train_dataloader', 'sampler'), {})) == 'RepeatAugSampler':
            sampler = dict(type='DefaultSampler', shuffle=True)
            self.edits.set(('train_dataloader', 'sampler'), sampler, 'each image once in an epoch')
        if self.edits.get(('digit_scenes',)):
            self.edits.set(('digit_scenes',), None, 'nothing is drawn')
        if self.scope == 'mmseg':
            self._load_labels()
        if self.scope == 'mmdet' and not self.data.has_masks:
            self._drop_masks()

    def _load_labels(self) -> None:
        reduce = self.data.dataset['reduce_zero_label']
        for key in (*LOADERS.values(), 'test_pipeline', 'tta_pipeline'):
            for step, node in _nodes(self.edits.get((key,)), (key,)):
                if type_name(node) == 'LoadAnnotations' and 'reduce_zero_label' in node:
                    self.edits.set((*step, 'reduce_zero_label'), reduce, f'as the data: reduce_zero_label={reduce}')

    def _drop_masks(self) -> None:
        head = self.edits.get(('model', 'roi_head')) or {}
        why = 'the data have no masks'
        if self._trains_masks and not head.get('mask_head'):
            raise UserError('the data have no masks, which this recipe trains: give one for boxes, such as RetinaNet')
        if head.get('mask_head'):
            self.notes.append('the mask head is left out, as the data have no masks')
        for key in ('mask_roi_extractor', 'mask_head'):
            if head.get(key):
                self.edits.set(('model', 'roi_head', key), None, why)
        for loader in LOADERS.values():
            for step, node in _nodes(self.edits.get((loader,)), (loader,)):
                if type_name(node) == 'LoadAnnotations' and node.get('with_mask'):
                    self.edits.set((*step, 'with_mask'), False, why)

    def place_classes(self) -> None:
        count = len(self.data.classes)
        why = f'{count} classes in the data'
        for key in ('model', 'data_preprocessor'):
            for place, node in list(_nodes(self.edits.get((key,)), (key,))):
                if OTHER_PARTS & {str(part) for part in place}:
                    continue
                old = node.get('num_classes') or sum(node.get(f'num_{part}_classes', 0) for part in ('things', 'stuff'))
                for name, number in (('num_classes', count), ('num_things_classes', count), ('num_stuff_classes', 0)):
                    if type(node.get(name)) is int:
                        self.edits.set((*place, name), number, why)
                self._weigh(place, node, old, count)

    def _weigh(self, place: Place, node: dict, old: int, count: int) -> None:
        """Losses that weigh each class: those of the new ones are equal."""
        for inner, loss in list(_nodes(node, place)):
            weights = loss.get('class_weight')
            if isinstance(weights, (list, tuple)) and old and len(weights) in (old, old + 1):
                same = len(set(weights[:old])) == 1
                new = [weights[0]] * count + list(weights[old:]) if same else None
                self.edits.set((*inner, 'class_weight'), new, f'weights of {old} other classes')

    def evaluate(self) -> None:
        for part in ('val', 'test'):
            place = (f'{part}_evaluator',)
            if self.edits.get((LOADERS[part],)) is None:
                continue
            if self.scope == 'mmdet':
                part = part if part in self.data.parts else 'val'
                file = Path(self.data.folder, self.data.parts[part]['ann_file']).as_posix()
                metric = ['bbox', 'segm'] if self._trains_masks and self.data.has_masks else ['bbox']
                evaluator: dict[str, Any] = dict(type='CocoMetric', ann_file=file, metric=metric)
                why = 'average precision on these data'
            elif self.scope == 'mmseg':
                evaluator, why = dict(type='IoUMetric', iou_metrics=['mIoU']), 'mean IoU'
            else:
                evaluator = dict(type='Accuracy', topk=(1, 5) if len(self.data.classes) > 5 else (1,))
                why = f'accuracy among {len(self.data.classes)} classes'
            old = self.edits.get(place)
            if isinstance(old, dict) and type_name(old) == evaluator['type']:
                for key, value in evaluator.items():
                    self.edits.set((*place, key), old['type'] if key == 'type' else value, why)
            else:
                self.edits.set(place, evaluator, why)

    def load(self) -> None:
        """The weights to start from: of the backbone, or of a whole model."""
        place: Place = ('model', 'backbone')
        node = self.edits.get(place)
        inside = node.get('init_cfg')
        inside = inside if isinstance(inside, dict) and type_name(inside) == 'Pretrained' else None
        arch = node.get('arch')
        variant = f'{type_name(node).lower()}_{arch}' if isinstance(arch, str) else ''
        given = self.options.weights
        if given is None and inside:
            self.is_tuned = True
            self.notes.append(f'fine-tuning, from the weights of the recipe: {inside["checkpoint"]}')
            return
        checkpoint, known = choose_weights(variant, given)
        if not checkpoint:
            if inside:
                self.edits.set((*place, 'init_cfg'), None, 'random weights')
            if given is None:
                page = f'; those of {known.address} need --weights {known.name}' if known else ''
                self.notes.append(f'training from random weights, as none are linked{page}: --weights FILE loads yours')
            return
        self.is_tuned = True
        if known.name != variant if known else self._is_whole(checkpoint):
            self.edits.set(('load_from',), checkpoint, 'a whole model; layers for other classes start afresh')
            if inside:
                self.edits.set((*place, 'init_cfg'), None, 'load_from has the backbone')
        else:
            init = dict(type='Pretrained', checkpoint=checkpoint)
            self.edits.set((*place, 'init_cfg'), init, 'weights to fine-tune')
        self.notes.append(f'fine-tuning, from {checkpoint}')

    def _is_whole(self, checkpoint: str) -> bool:
        """Whether a file holds other parts of this model than its backbone."""
        if not Path(checkpoint).is_file():
            return False
        content = read_checkpoint(checkpoint)
        state = content.get('state_dict', content)
        parts = {key for key, node in self.old.model.items() if isinstance(node, (dict, list))} - {'backbone'}
        return bool(parts & {str(name).partition('.')[0] for name in state})

    def decay(self) -> None:
        if self.old.optim_wrapper.get('constructor'):
            return
        why = 'earlier layers of the backbone learn more slowly'
        self.edits.set(('optim_wrapper', 'constructor'), LAYER_DECAY, why)
        paramwise = plain(self.edits.get(('optim_wrapper', 'paramwise_cfg')) or {})
        if paramwise:
            self.edits.set(('optim_wrapper', 'paramwise_cfg', 'layer_decay_rate'), LAYER_DECAY_RATE, why)
        else:
            self.edits.set(('optim_wrapper', 'paramwise_cfg'), dict(layer_decay_rate=LAYER_DECAY_RATE), why)
        self.notes.append(f'layer decay {LAYER_DECAY_RATE}; no part of the backbone is frozen')


def _nodes(node: Any, place: Place) -> Any:
    """All dicts in a config with their places."""
    if isinstance(node, dict):
        yield place, node
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, (list, tuple)) else ()
    for key, value in items:
        yield from _nodes(value, (*place, key))


def add_data_arguments(parser: argparse.ArgumentParser, is_required: bool) -> None:
    """Add the flags that describe a folder of images, which tools/train.py and tools/new_config.py share."""
    group = parser.add_argument_group('own data')
    group.add_argument(
        '--data',
        type=Path,
        metavar='FOLDER',
        required=is_required,
        help='boxes of COCO, Pascal VOC or YOLO; images/ and labels/ with label maps; or a folder for each class',
    )
    group.add_argument(
        '--annotations', type=Path, nargs='+', default=(), metavar='JSON', help='COCO files: training, validation, test'
    )
    group.add_argument('--names', type=Path, metavar='FILE', help='names of the classes, one on each line')
    group.add_argument('--reduce-zero-label', choices=('yes', 'no'), help='whether label 0 of label maps is ignored')
    group.add_argument(
        '--split', type=Path, metavar='FOLDER', help='where a split is written (default: split in --data)'
    )
    group.add_argument('--weights', metavar='FILE|NAME|none', help='to start from (default: those of the recipe)')
    group.add_argument('--epochs', type=int, metavar='N', help='(default: by the number of images)')


def data_options(args: argparse.Namespace, devices: int) -> DataOptions:
    """The values of :func:`add_data_arguments`."""
    given = {name: getattr(args, name) for name in ('data', 'annotations', 'names', 'split', 'weights', 'epochs')}
    reduce = None if args.reduce_zero_label is None else args.reduce_zero_label == 'yes'
    return DataOptions(**given, reduce_zero_label=reduce, devices=devices)


def write_new_config(recipe: str, options: DataOptions, output: Path) -> list[str]:
    """Write what a new config needs of the data, then the config.

    Returns:
        What was decided, in sentences.

    Raises:
        UserError, CheckpointError: as :func:`new_config`, or if a file cannot be written.
    """
    try:
        result, data = new_config(recipe, options)
    except CheckpointError as error:
        raise UserError(str(error)) from error
    if output.resolve() == result.path.resolve():
        raise UserError(f'{printable(output)} is the recipe, from which the new config inherits: give another -o')
    text = result.text(output.parent)
    with writing(output):
        check_target(output)
    data.write()
    with writing(output):
        write_text(output, text)
    written = [f'written to {path}' for path in data.files]
    return [*result.notes, *written, f'{output} has each decision with its reason']


def config_for_training(args: argparse.Namespace) -> str:
    """The config that tools/train.py trains: the given one, or with ``--data`` a new one in the work directory.

    Raises:
        UserError: as :func:`write_new_config`, or for a flag that needs ``--data``.
    """
    if args.data is None:
        given = ('annotations', 'names', 'reduce_zero_label', 'split', 'weights', 'epochs')
        flags = ', '.join(f'--{name.replace("_", "-")}' for name in given if getattr(args, name))
        if flags:
            raise UserError(f'{flags} needs --data FOLDER')
        return args.config
    name = f'{Path(args.config).stem}_{re.sub("[^A-Za-z0-9_-]", "-", Path(os.path.abspath(args.data)).name)}'
    if args.work_dir is None:
        args.work_dir = f'work_dirs/{name}'
    output = Path(args.work_dir, 'new_config', f'{name}.py')  # the runner writes the whole config beside this folder
    processes = os.environ.get('WORLD_SIZE') or os.environ.get('SLURM_NTASKS') or '1'
    devices = int(processes) if args.launcher != 'none' and processes.isdigit() else 1
    notes = write_new_config(args.config, data_options(args, devices), output)
    if os.environ.get('RANK', os.environ.get('SLURM_PROCID', '0')) == '0':
        print('\n'.join(notes))
    return str(output)
