"""Compare the classes of the data, of the data set's metainfo and of the model's heads."""

import io
import json
import mmap
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.fileio import get, list_from_file
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from PIL import Image, UnidentifiedImageError
from torch import nn
from torch.utils.data import Dataset

from ...errors import UserError, printable
from ...registry import HOOKS
from ..nodes import dataset_class, places

OPTION = 'check_classes'
ESCAPE = f'--cfg-options {OPTION}=False turns this error into a warning'
SAMPLED_MAPS = 16
# A proposal network tells objects from background. FusedSemanticHead learns COCO's stuff beside the boxes, and
# STDCHead edges; a language model reads its classes from text; VGG has an attribute of that name in a backbone.
_OTHER_CLASSES = ('FusedSemanticHead', 'SCNetSemanticHead', 'STDCHead')
_OTHER_PARTS = {'backbone', 'neck', 'rpn_head', 'teacher', 'teacher_model'}
_CATEGORIES = re.compile(rb'"categories"\s*:\s*(?=\[)')


def check_categories(config: Config, dataloaders: Sequence[str]) -> None:
    """Compare the categories of COCO's annotation files with the classes of mmdet's CocoDataset and its heirs.

    Only the list of categories is read. Data sets that read their annotations in another way are not checked. The
    libraries of the config must be imported.

    Raises:
        UserError: if no category is a class, so that every box would be dropped, or if labels would get wrong names:
            CocoDataset numbers the categories in the order of the file.
    """
    for name in dataloaders:
        for place, node in places(config.get(name), name):
            if not (node.get('ann_file') and node.get('type')):
                continue
            names, numbers_categories = _class_names(node, config.get('default_scope') or 'mmengine')
            path = Path(node.get('data_root') or '', str(node.get('ann_file') or ''))
            if not names or not numbers_categories or path.suffix != '.json' or not path.is_file():
                continue
            categories = read_categories(path)
            if not categories:
                continue
            explicit = bool((node.get('metainfo') or {}).get('classes'))
            kept = [category for category in categories if category in names]
            line = f'{place}.metainfo=dict(classes={_tuple_text(categories)})'
            if not kept:
                _report(
                    config,
                    f'{path} has the categories {_listed(categories)}, and none of them is among the {len(names)} '
                    f'classes of {place} ({_listed(names)}), so that every box would be dropped: write {line}',
                )
            elif kept != list(names[: len(kept)]):
                lacking = [n for n in names if n not in categories]
                typo = [(n, m[0]) for n in lacking if (m := get_close_matches(n, set(categories) - set(kept), n=1))]
                hint = ''.join(f'; did you mean {printable(m)!r} by {printable(n)!r}?' for n, m in typo[:1])
                right = [*kept, *lacking] if explicit else categories
                _report(
                    config,
                    f'{path} lists its categories as {_listed(kept)}, and {place} its classes as {_listed(names)}; '
                    f'labels count the categories in the order of the file, so that they would get wrong names: write '
                    f'{place}.metainfo=dict(classes={_tuple_text(right)}){hint}',
                )
            elif len(kept) < len(categories) and (not explicit or len(kept) < len(names)):
                dropped = [category for category in categories if category not in kept]
                _warn(
                    f'{path}: boxes of {_listed(dropped)} are dropped, which {place} does not name among its classes; '
                    f'to keep them write {line}'
                )


def read_categories(path: Path) -> list[str]:
    """Return the categories of an annotation file of COCO's format without reading all of it; [] if there are none."""
    if path.stat().st_size == 0:
        return []
    with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for found in _CATEGORIES.finditer(content):
            # A list of categories is short; of a longer one the end is looked for farther away.
            for length in (1 << 20, len(content)):
                text = content[found.end() : found.end() + length].decode(errors='replace')
                try:
                    items, _ = json.JSONDecoder().raw_decode(text)
                except (json.JSONDecodeError, RecursionError):
                    continue
                if items and all(isinstance(item, dict) and 'id' in item and 'name' in item for item in items):
                    return [str(item['name']) for item in items]
                break
    return []


@HOOKS.register_module()
class ClassesHook(Hook):
    """Compare the classes of the data with the outputs of the model before the first iteration.

    It looks at every ``num_classes``, ``num_things_classes`` and ``num_stuff_classes`` of heads, losses and the data
    preprocessor that the config builds, at whether a detector has boxes to train on, and at the values of some label
    maps of a segmentor. Heads of multi-task and semi-supervised models, of proposal networks and of models that read
    their classes from text are not checked.

    Raises:
        UserError: naming what disagrees and the line to write. ``check_classes=False`` in the config makes it a
            warning, for a head that is larger than the data on purpose.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        self._check(runner, 'train_dataloader', runner.train_dataloader.dataset)
        if runner._val_loop is not None:
            self._check(runner, 'val_dataloader', runner.val_dataloader.dataset)
            check_zero_labels(runner.cfg, runner.train_dataloader.dataset, runner.val_dataloader.dataset)

    def before_test(self, runner: Runner) -> None:
        self._check(runner, 'test_dataloader', runner.test_dataloader.dataset)

    def _check(self, runner: Runner, dataloader: str, dataset: Dataset) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        check_heads(runner.cfg, model, getattr(dataset, 'metainfo', None) or {}, dataloader)
        if runner.rank == 0:
            leaves = list(_leaves(dataset))
            if dataloader == 'train_dataloader':
                check_boxes(runner.cfg, leaves)
            for leaf in leaves:
                check_label_maps(runner.cfg, model, leaf, dataloader)


def check_heads(config: Config, model: nn.Module, metainfo: dict, dataloader: str) -> None:
    """Compare the numbers of classes of an unwrapped model with the ``classes`` in the metainfo of a data set, if any.

    Raises:
        UserError: with the lines to write, if they differ and ``check_classes`` is not False.
    """
    classes = metainfo.get('classes')
    if not isinstance(classes, (list, tuple)) or not classes or hasattr(model, 'language_model'):
        return
    things, stuff = (len(metainfo.get(f'{part}_classes') or ()) for part in ('thing', 'stuff'))
    panoptic = bool(things and stuff)
    nodes = {'model': config.model, 'data_preprocessor': config.get('data_preprocessor')}
    wrong = []
    for name, module in model.named_modules():
        place = name.removeprefix('module.')
        place = place if place.startswith('data_preprocessor') and nodes['data_preprocessor'] else f'model.{place}'
        if _OTHER_PARTS & set(place.split('.')) or any(k.__name__ in _OTHER_CLASSES for k in type(module).__mro__):
            continue
        node = _built_by(nodes, place)
        if node is None or getattr(module, 'class_agnostic', False):
            continue
        parts = {f'num_{part}_classes': getattr(module, f'num_{part}_classes', None) for part in ('things', 'stuff')}
        # mmseg's query decoders take num_classes, and keep mmdet's two with their defaults.
        if None not in parts.values() and 'num_classes' not in node:
            if panoptic:
                wanted = dict(num_things_classes=things, num_stuff_classes=stuff)
            else:  # instances only
                wanted = dict(num_things_classes=len(classes) - parts['num_stuff_classes'])
        elif panoptic and '.roi_head.' in place:
            wanted = dict(num_classes=things)
        else:
            wanted = dict(num_classes=len(classes))
        for key, number in wanted.items():
            found = getattr(module, key, None)
            # A binary segmentor has one output, which separates foreground from background.
            binary = key == 'num_classes' and getattr(module, 'out_channels', None) == 1 and number <= 2
            if type(found) is int and found > 0 and found != number and not binary:
                wrong.append((f'{place}.{key}', found, number))
    if wrong:
        found = ' and '.join(dict.fromkeys(f'{key}={number}' for key, number, _ in wrong))
        write = ' '.join(dict.fromkeys(f'{key}={number}' for key, _, number in wrong))
        _report(
            config,
            f'{dataloader}.dataset has {len(classes)} classes ({_listed(classes)}), and the model {found}: '
            f'write {write}, or the classes into {dataloader}.dataset.metainfo',
        )


def check_label_maps(config: Config, model: nn.Module, dataset: Dataset, dataloader: str) -> None:
    """Compare the values of some label maps of an mmseg data set with its classes and its ``reduce_zero_label``.

    Raises:
        UserError: if a map has several channels, or a label that no class has, and ``check_classes`` is not False.
    """
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    if not classes or not hasattr(dataset, 'reduce_zero_label') or getattr(dataset, 'label_map', None):
        return
    count, reduce = len(classes), bool(dataset.reduce_zero_label)
    heads = [m for name, m in model.named_modules() if name.startswith(('decode_head', 'module.decode_head'))]
    ignored = {255, dataset.ignore_index, *(getattr(head, 'ignore_index', 255) for head in heads)}
    seen: set[int] = set()
    for index in sorted({round(i) for i in np.linspace(0, len(dataset) - 1, min(SAMPLED_MAPS, len(dataset)))}):
        path = dataset.get_data_info(index).get('seg_map_path')
        labels = _read_labels(path) if path else None
        if labels is None:
            continue
        if labels.ndim != 2:
            _report(config, f'{path} has {labels.shape[-1]} channels: a label map has one, with a class in each pixel')
            return
        values = {int(value) for value in np.unique(labels)}
        seen |= values
        least = int(reduce)
        wrong = sorted(value for value in values if value not in ignored and value > count - 1 + least)
        if wrong:
            low = min(values - ignored)
            hint = (
                f': write {dataloader}.dataset.reduce_zero_label=True if the labels count from 1'
                if not reduce and low == 1 and wrong[-1] == count
                else ': name all classes in metainfo, or give the classes values in this range'
            )
            _report(
                config,
                f'{path} holds the label {wrong[-1]}, and the {count} classes of {dataloader}.dataset '
                f'(reduce_zero_label={reduce}) have the labels {least} to {count - 1 + least}{hint}',
            )
            return
    valid = seen - ignored
    if reduce and valid == set(range(count)):
        _warn(
            f'the label maps of {dataloader}.dataset that were looked at hold the values 0 to {count - 1}, and '
            f'reduce_zero_label=True ignores 0 and counts the {count} classes from 1: write '
            f'{dataloader}.dataset.reduce_zero_label=False if 0 is a class'
        )
    elif seen and count > 1 and seen <= {0, *ignored} and seen & ignored:
        _warn(
            f'the label maps of {dataloader}.dataset that were looked at hold the values {_listed(sorted(seen))} only, '
            f'and {_listed(sorted(seen & ignored))} is ignored: give the {count} classes the values 0 to {count - 1}'
        )


def check_zero_labels(config: Config, train: Dataset, val: Dataset) -> None:
    """Refuse training and validation data of mmseg whose ``reduce_zero_label`` differ: their labels differ by one."""
    flags = [
        {bool(leaf.reduce_zero_label) for leaf in _leaves(d) if hasattr(leaf, 'reduce_zero_label')}
        for d in (train, val)
    ]
    if len(flags[0]) == len(flags[1]) == 1 and flags[0] != flags[1]:
        (flag,) = flags[0]
        _report(
            config,
            f'reduce_zero_label is {flag} in train_dataloader.dataset and {not flag} in val_dataloader.dataset, and '
            f'their labels differ by one: write the same, as val_dataloader.dataset.reduce_zero_label={flag}',
        )


def check_boxes(config: Config, leaves: list[Dataset]) -> None:
    """Refuse detection data in which no image has a box of any class."""
    instances = [leaf for leaf in leaves if len(leaf) and 'instances' in leaf.get_data_info(0)]
    if not instances or len(instances) < len(leaves):
        return
    if not any(leaf.get_data_info(i)['instances'] for leaf in leaves for i in range(len(leaf))):
        names = [str(name) for name in (leaves[0].metainfo.get('classes') or ())]
        _report(
            config,
            f'no image of train_dataloader.dataset has a box of its {len(names)} classes ({_listed(names)}): write '
            f'the names in your annotation files into metainfo=dict(classes=...)',
        )


def _leaves(dataset: Dataset) -> Iterator[Dataset]:
    """The data sets that read annotations, inside of wrappers."""
    inner = getattr(dataset, 'datasets', None)
    inner = inner if isinstance(inner, (list, tuple)) else [getattr(dataset, 'dataset', None)]
    inner = [part for part in inner if isinstance(part, Dataset)]
    for part in inner:
        yield from _leaves(part)
    if not inner and hasattr(dataset, 'get_data_info'):
        yield dataset


def _class_names(node: dict, scope: str) -> tuple[list[str], bool]:
    """The classes of a data set that is not built yet, and whether it numbers COCO's categories as CocoDataset does."""
    kind = dataset_class(node, scope)
    base = next((k for k in getattr(kind, '__mro__', ()) if k.__module__ == 'mmdet.datasets.coco'), None)
    same = base is not None and kind.load_data_list is base.load_data_list
    own = (node.get('metainfo') or {}).get('classes')
    names = own or getattr(kind, 'METAINFO', {}).get('classes') or ()
    if isinstance(names, str):
        names = list_from_file(names) if Path(names).is_file() else [names]
    return [str(name) for name in names], same


def _built_by(nodes: dict, place: str) -> dict | None:
    """The dict of a config that a module, by its dotted name, is built from; heads in a list may share one."""
    node: object = nodes
    for key in place.split('.'):
        if isinstance(node, dict) and key in node:
            node = node[key]
        elif isinstance(node, (list, tuple)) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        elif not (isinstance(node, dict) and key.isdigit()):
            return None
    return node if isinstance(node, dict) else None


def _read_labels(path: str) -> np.ndarray | None:
    """A label map as mmseg reads it: the indices of a palette are values. None: a step of the user's own reads it."""
    try:
        with Image.open(io.BytesIO(get(path))) as image:
            return np.asarray(image)
    except UnidentifiedImageError:
        return None


def _report(config: Config, sentence: str) -> None:
    if config.get(OPTION, True):
        raise UserError(f'{sentence}; {ESCAPE}')
    _warn(sentence)


def _warn(sentence: str) -> None:
    print_log(sentence, logger='current', level=30)


def _listed(names: Sequence) -> str:
    shown = ', '.join(printable(name, 40) for name in islice(names, 6))
    return shown if len(names) <= 6 else f'{shown}, ... ({len(names)})'


def _tuple_text(names: Sequence[str]) -> str:
    """As Python writes it; of many names the first ones."""
    shown = [printable(name, 40) for name in names]
    return repr(tuple(shown)) if len(shown) <= 20 else f'{repr(tuple(shown[:20]))[:-1]}, ...)'
