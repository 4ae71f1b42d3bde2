"""Label maps for mmseg and class folders for mmpretrain, in a folder of the user's."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ..errors import UserError, printable, reason_of
from .own_data import (
    IMAGE_FOLDERS,
    PART_NAMES,
    TRUTH_FOLDERS,
    UNREADABLE,
    Item,
    OwnData,
    divide,
    folder_part,
    is_image,
    key_of,
    part_of,
    read_lists,
)

MAX_MAPS = 1000  # label maps that are read
IGNORED = 255
NOT_FOUND = {'.tiff', '.webp'}  # suffixes that mmpretrain reads from a list only


def label_maps(
    folder: Path, files: Sequence[PurePosixPath], names: tuple[str, ...], reduce_zero_label: bool | None, split: Path
) -> OwnData:
    """Find images and label maps for mmseg.

    Args:
        folder: holds images and label maps in two folders with the same names below them, such as ``images/`` and
            ``labels/``.
        files: in it.
        names: of the classes.
        reduce_zero_label: whether label 0 is ignored and class 1 has label 1. Default None: no, where all labels fit.
        split: where lists are written.

    Raises:
        UserError: in one sentence, for a folder without label maps, a missing map, several channels, labels without
            a name, or images with several suffixes.
    """
    found: dict[bool, dict[str, PurePosixPath]] = {True: {}, False: {}}
    for path in filter(is_image, files):
        kinds = [name.lower() for name in path.parts[:-1] if name.lower() in IMAGE_FOLDERS | TRUTH_FOLDERS]
        if kinds:
            found[kinds[-1] in IMAGE_FOLDERS][key_of(path)] = path
    images, maps = found[True], found[False]
    if not images or not maps:
        raise UserError(
            f'--data {printable(folder)} has no {"label maps" if images else "images"}: expected two folders such as '
            f'images/ and labels/ with files of the same names'
        )
    if not names:
        raise UserError(f'no names of classes: list them in {printable(folder)}/classes.txt, or give --names FILE')
    first = next(iter(images))
    ends = sorted((key[len(first) :] for key in maps if key.startswith(first)), key=len)
    end = ends[0] if ends else ''
    missing = next((path for key, path in images.items() if key + end not in maps), None)
    if missing:
        raise UserError(f'{missing} has no label map of the same name in {printable(folder)}: add it, or take it out')
    pairs = {path: maps[key + end] for key, path in images.items()}
    suffixes = [sorted({path.suffix for path in paths}) for paths in (pairs, pairs.values())]
    if max(map(len, suffixes)) > 1:
        several = next(group for group in suffixes if len(group) > 1)
        raise UserError(f'files end in {" and ".join(several)}, and mmseg takes one: convert those of the other format')
    lists = read_lists(folder, files)
    items = []
    looked = {*list(pairs)[:: -(-len(pairs) // MAX_MAPS)]}
    values: dict[PurePosixPath, frozenset] = {p: _labels(folder / pairs[p]) for p in pairs if p in looked}
    reduce = _zero_label(values, pairs, names, reduce_zero_label)
    for path, truth in pairs.items():
        part = lists.get(path.stem, '') if lists else folder_part(path)
        # Of a sample, a class may seem to be only in validation images.
        labels = values[path] if len(looked) == len(pairs) else ()
        classes = frozenset(names[label - reduce] for label in labels if label >= reduce)
        items.append(Item(path, truth, classes, part))
    notes = [f'label 0 is {"ignored (reduce_zero_label=True)" if reduce else f"the class {names[0]!r}"}']
    if len(looked) < len(pairs):
        notes.append(f'{len(looked)} of the {len(pairs)} label maps were read')
    parts, made = divide(items, notes)
    settings: dict[str, dict] = {}
    texts = {}
    for part, of_part in parts.items():
        places = {(_top(item.image), _top(item.truth)) for item in of_part}
        if len(places) > 1:
            raise UserError(
                f'images of {part} are in several folders ({", ".join(sorted(str(a) for a, _ in places))}): put them '
                f'below one'
            )
        ((top, truth_top),) = places
        settings[part] = dict(data_prefix=dict(img_path=str(top), seg_map_path=str(truth_top)), ann_file='')
        if made or lists:
            texts[split / f'{part}.txt'] = _lines(item.image.relative_to(top).with_suffix('') for item in of_part)
            settings[part]['ann_file'] = (split / f'{part}.txt').as_posix()
    dataset = dict(
        type='BaseSegDataset',
        data_root=folder.as_posix(),
        img_suffix=suffixes[0][0],
        seg_map_suffix=PurePosixPath(end).name + suffixes[1][0],
        reduce_zero_label=reduce,
        metainfo=dict(classes=names),
    )
    counts = {part: len(of_part) for part, of_part in parts.items()}
    return OwnData(folder, 'label maps', names, dataset, settings, counts, files=texts, notes=notes)


def _top(path: PurePosixPath) -> PurePosixPath:
    """The folder of a kind and a part, below which images and label maps have the same names."""
    count = max(
        i + 1
        for i, name in enumerate(path.parts[:-1])
        if name.lower() in IMAGE_FOLDERS | TRUTH_FOLDERS or part_of(PurePosixPath(name, '_'))
    )
    return PurePosixPath(*path.parts[:count])


def _outermost(path: PurePosixPath) -> str:
    return str(path).partition('/')[0]


def _lines(items: Iterable[object]) -> str:
    return ''.join(f'{item}\n' for item in items)


def _labels(path: Path) -> frozenset[int]:
    try:
        with Image.open(path) as image:
            labels = np.asarray(image)
    except UNREADABLE as error:
        raise UserError(f'cannot read the label map {printable(path)}: {reason_of(error)}') from error
    if labels.ndim != 2:
        raise UserError(
            f'{printable(path)} has {labels.shape[-1]} channels: a label map has one, with the label of a class in '
            f'each pixel'
        )
    return frozenset(int(value) for value in np.unique(labels)) - {IGNORED}


def _zero_label(values: dict, pairs: dict, names: tuple[str, ...], given: bool | None) -> bool:
    labels = frozenset().union(*values.values())
    count = len(names)
    if not labels or (labels == {0} and count > 1):
        raise UserError(
            f'the label maps hold only {"0 and " if labels else ""}{IGNORED}, which is ignored: give the {count} '
            f'classes the labels 0 to {count - 1}'
        )
    top = count - 1 + bool(given)
    worst = max(labels)
    if worst <= top and (given is not None or 0 in labels):
        return bool(given)
    path = next(pairs[path] for path, found in values.items() if worst in found)
    if given is None and worst <= count and (worst == count or 0 not in labels):
        raise UserError(
            f'the label maps hold the labels {min(labels)} to {worst} ({path}), and there are {count} names: give '
            f'--reduce-zero-label yes if 0 is unlabelled and the first name has label 1, or '
            f'--reduce-zero-label no if the first name has label 0'
            + (' and add the name that is missing' if worst == count else '')
        )
    raise UserError(
        f'{path} holds the label {worst}, and the {count} names have the labels {int(bool(given))} to {top}: add the '
        f'names that are missing'
    )


def class_folders(folder: Path, files: Sequence[PurePosixPath], split: Path) -> OwnData:
    """Find a folder of images for each class, for mmpretrain, or ``train`` and ``val`` with such folders.

    Args:
        folder: holds them.
        files: in it.
        split: where lists are written.

    Raises:
        UserError: in one sentence, for images without a class, or a single class.
    """
    images = [path for path in files if is_image(path)]
    # Where a folder is called train, the outermost folders are parts; else they are classes.
    parts_of = {path: PART_NAMES.get(_outermost(path).lower(), '') for path in images}
    has_parts = 'train' in parts_of.values()
    items = []
    for path, part in parts_of.items():
        part = part if has_parts else ''
        if has_parts and not part:  # beside train and val
            items.append(Item(path, '', frozenset()))
            continue
        inner = path.relative_to(_outermost(path)) if part else path
        if len(inner.parts) < 2:
            expected = printable(folder / path.parent)
            raise UserError(f'{path} is in no folder of a class: expected {expected}/CLASS/{path.name}')
        items.append(Item(path, _outermost(inner), frozenset({_outermost(inner)}), part))
    notes: list[str] = []
    parts, made = divide(items, notes)
    names = tuple(sorted({str(item.truth) for item in parts['train']}))
    if len(names) < 2:
        raise UserError(
            f'{printable(folder)} has one class only ({", ".join(names)}): give the folder that holds a folder for '
            f'each class, or train/ and val/ with such folders'
        )
    settings, texts = {}, {}
    for part, of_part in parts.items():
        tops = {_outermost(item.image) for item in of_part}
        # mmpretrain numbers all folders that it finds, empty and hidden ones too, and does not find all suffixes.
        seen = {entry.name for top in tops for entry in os.scandir(folder / top) if entry.is_dir()}
        same = {str(item.truth) for item in of_part} == set(names) == seen
        if made or len(tops) > 1 or not same or {item.image.suffix.lower() for item in of_part} & NOT_FOUND:
            path = split / f'{part}.txt'
            texts[path] = _lines(f'{item.image} {names.index(str(item.truth))}' for item in of_part)
            settings[part] = dict(ann_file=path.as_posix(), data_prefix='')
        else:
            settings[part] = dict(data_prefix=tops.pop())
    dataset = dict(type='CustomDataset', data_root=folder.as_posix(), metainfo=dict(classes=names))
    counts = {part: len(of_part) for part, of_part in parts.items()}
    return OwnData(folder, 'class folders', names, dataset, settings, counts, files=texts, notes=notes)
