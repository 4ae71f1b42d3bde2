"""What a folder of the user's holds: images and their truth, parts and names of classes; and a split if it has none."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from PIL import Image

from ..errors import UserError, printable, reason_of
from ..files import write_text, writing

IMAGES = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif', '.tiff', '.webp')
# What Pillow raises for files that are no images, are broken, or have too many pixels.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
SPLIT = 'split'  # folder for what is written
VAL_SHARE = 0.2
MAX_VAL_SHARE = 0.3  # where each class needs an image
PARTS = ('train', 'val', 'test')
# Names of folders and words in names of files.
PART_NAMES = dict(train='train', training='train', val='val', valid='val', validation='val', dev='val')
PART_NAMES |= dict(test='test', testing='test')
# Folders that hold images beside folders that hold their truth.
IMAGE_FOLDERS = {'images', 'image', 'imgs', 'img', 'jpegimages', 'img_dir'}
TRUTH_FOLDERS = {'labels', 'label', 'annotations', 'annotation', 'masks', 'mask', 'ann_dir', 'segmentationclass'}
NAME_FILES = [f'{name}.{suffix}' for name in ('classes', 'names', 'labels') for suffix in ('txt', 'json', 'yaml')]
NAME_FILES += ['data.yaml', 'dataset.yaml', 'obj.names']


@dataclass(frozen=True)
class Item:
    """An image and its truth.

    Attributes:
        image: path of the image below the folder.
        truth: a list of boxes in COCO's format, the path of a label map below the folder, or the name of a class.
        classes: names, or labels, of what is in it.
        part: 'train', 'val', 'test', or '' where the folder does not tell.
    """

    image: PurePosixPath
    truth: Any
    classes: frozenset
    part: str = ''


@dataclass
class OwnData:
    """What a folder holds, as settings of data sets.

    Attributes:
        folder: the folder, absolute.
        kind: what was found, for a message.
        classes: names, in the order of the labels.
        dataset: settings that all parts share.
        parts: settings of 'train', 'val' and perhaps 'test'.
        counts: images of each part.
        has_masks: whether all boxes have masks. Default False.
        files: texts to write, by path: annotations in COCO's format, or lists of a split. Default none.
        notes: what a user should know.
    """

    folder: Path
    kind: str
    classes: tuple[str, ...]
    dataset: dict
    parts: dict[str, dict]
    counts: dict[str, int]
    has_masks: bool = False
    files: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def write(self) -> None:
        """Write ``files``; one that is there already must be the same.

        Raises:
            UserError: if one differs, or the folder cannot be written.
        """
        for path, text in self.files.items():
            if path.is_file() and path.read_bytes() != text.encode():
                raise UserError(
                    f'{printable(path)} is not what would be written for these data, which changed since, or it was '
                    f'edited: remove {printable(path.parent)} to make the split anew, or name another folder with '
                    f'--split'
                )
        for path, text in self.files.items():
            if not path.is_file():
                with writing(path, 'name a folder that you may write to with --split'):
                    write_text(path, text)


def list_files(folder: Path, split: Path) -> list[PurePosixPath]:
    """All files below a folder, sorted, without hidden ones and the folder of a split.

    Raises:
        UserError: if there is no such folder, it holds no image, or the name of one cannot be written in a list.
    """
    if not folder.is_dir():
        raise UserError(f'--data {printable(folder)} is {"no folder" if folder.exists() else "missing"}: give a folder')
    found, seen = [], set()
    for top, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(top)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(('.', '__')) and Path(top, name) not in (folder / SPLIT, split)
        ]
        below = Path(top).relative_to(folder).as_posix()
        found += [PurePosixPath(below, name) for name in names if not name.startswith('.')]
    images = [path for path in found if is_image(path)]
    if not images:
        raise UserError(f'--data {printable(folder)} holds no images: expected files that end in {", ".join(IMAGES)}')
    if odd := [path for path in images if re.search('[\n\r\ud800-\udfff]', str(path))]:
        raise UserError(f'{printable(odd[0])} in {printable(folder)} is not UTF-8 text on one line: rename it')
    return sorted(found)


def is_image(path: PurePosixPath) -> bool:
    return path.suffix.lower() in IMAGES


def part_of(path: PurePosixPath) -> str:
    """The part that a path names: 'train', 'val', 'test' or ''."""
    for name in reversed((*path.parts[:-1], path.stem)):
        for word in re.findall('[a-z]+', name.lower()):
            if word in PART_NAMES:
                return PART_NAMES[word]
    return ''


def folder_part(path: PurePosixPath) -> str:
    """The part that the folders of a path name."""
    return part_of(path.parent / '_')


def key_of(path: PurePosixPath) -> str:
    """What an image and its truth share: the path without its suffix and the folder of its kind."""
    kinds = IMAGE_FOLDERS | TRUTH_FOLDERS
    return PurePosixPath(*(name for name in path.parts[:-1] if name.lower() not in kinds), path.stem).as_posix()


def read_lists(folder: Path, files: Iterable[PurePosixPath]) -> dict[str, str]:
    """The part of each stem that lists as ``ImageSets/Main/train.txt`` name; empty where there are none."""
    lists = [path for path in files if 'ImageSets' in path.parts and path.stem in PARTS and path.suffix == '.txt']
    return {
        line.split()[0]: path.stem
        for path in lists
        for line in read_text(folder / path).splitlines()
        if line.strip() and line.split()[-1] != '-1'
    }


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'cannot read {printable(path)}: {reason_of(error)}') from error


def read_names(folder: Path, given: Path | None) -> tuple[str, ...]:
    """Names of classes, in the order of their labels.

    Args:
        folder: searched for ``NAME_FILES`` if no file is given.
        given: a file with a name on each line, or JSON or YAML: a list, a dict of labels, or one of both under
            ``names``.

    Returns:
        The names; empty if no file is given or found.

    Raises:
        UserError: if the file cannot be read, or does not hold different names.
    """
    path = given or next((folder / name for name in NAME_FILES if (folder / name).is_file()), None)
    if path is None:
        return ()
    text = read_text(path)
    found: object = [line.strip() for line in text.splitlines() if line.strip()]
    if path.suffix in ('.json', '.yaml', '.yml'):
        try:
            # Names stay as they are written; the safe loader makes no and on false and true.
            found = yaml.load(text, Loader=yaml.BaseLoader)
        except (yaml.YAMLError, RecursionError) as error:
            raise UserError(f'cannot read {printable(path)}: {reason_of(error)}') from error
        found = found.get('names', found) if isinstance(found, dict) else found
        if isinstance(found, dict):
            labels = {str(key): name for key, name in found.items()}
            if set(labels) != {str(i) for i in range(len(labels))}:
                raise UserError(f'{printable(path)} numbers its names by {", ".join(labels)}: number them from 0')
            found = [labels[str(i)] for i in range(len(labels))]
    names = [str(name) for name in found] if isinstance(found, list) else []
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if not names or twice is not None:
        fault = f'{twice!r} twice' if names else 'no list of names'
        raise UserError(f'{printable(path)} holds {fault}: give one name of a class on each line')
    return tuple(names)


def divide(items: Sequence[Item], notes: list[str]) -> tuple[dict[str, list[Item]], bool]:
    """Divide images into parts: as the folder does, or a fifth of the training images for validation.

    The choice depends only on the names and classes: a class with two or more images is in both parts where that is
    possible, and none is only in the second.

    Returns:
        The images of each part, and whether a split was made.

    Raises:
        UserError: if there are no images, or none or only one for training, or a class is only in validation or test
            images.
    """
    if not items:
        raise UserError('no image has a truth: the lists of ImageSets name none of those that have one')
    parts = {part: [item for item in items if item.part == part] for part in PARTS}
    rest = [item for item in items if not item.part]
    if not any(parts.values()):
        parts['train'] = rest
    elif rest:
        notes.append(f'{len(rest)} images belong to no part and are left out, as {rest[0].image}')
    if not parts['train']:
        raise UserError(f'no training images: {len(items)} images, as {items[0].image}, are all of other parts')
    made = not parts['val'] and not parts['test']
    if made:
        parts['train'], parts['val'] = _split(parts['train'])
    elif not parts['val']:
        parts['val'], parts['test'] = parts['test'], []
        notes.append('the images of test also serve for validation, as there are none for it')
    known = frozenset().union(*(item.classes for item in parts['train']))
    for part in ('val', 'test'):
        for item in parts[part]:
            if item.classes - known:
                name = min(item.classes - known)
                raise UserError(
                    f'class {printable(name)} is only in {part} ({item.image}), and in no training image: move some '
                    f'of its images to train'
                )
    return {part: found for part, found in parts.items() if found}, made


def _split(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    order = sorted(items, key=lambda item: hashlib.sha256(str(item.image).encode()).hexdigest())
    wanted = max(1, round(VAL_SHARE * len(order)))
    left = Counter(name for item in order for name in item.classes)
    # One image of each class first, then as many as there should be.
    most = {True: max(wanted, round(MAX_VAL_SHARE * len(order))), False: wanted}
    covered, chosen = set(), set()
    for covers in (True, False):
        for item in order:
            helps = not item.classes <= covered if covers else item.image not in chosen
            if helps and len(chosen) < most[covers] and all(left[name] > 1 for name in item.classes):
                chosen.add(item.image)
                covered |= item.classes
                left.subtract(item.classes)
    val = [item for item in items if item.image in chosen]
    train = [item for item in items if item.image not in chosen]
    if not val or not train:
        raise UserError(
            f'{len(items)} images ({items[0].image}) cannot be split so that each class stays in training: add images, '
            f'or make folders train and val'
        )
    return train, val
