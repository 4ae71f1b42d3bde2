"""Boxes for mmdet in a folder of the user's: COCO's format, or Pascal VOC's and YOLO's, which are converted to it."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from PIL import Image

from ..engine.hooks.classes import read_categories
from ..errors import UserError, printable, reason_of
from .own_data import (
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
    read_names,
    read_text,
)

EXIF_ORIENTATION = 0x0112
SLACK = 1e-3  # of numbers that were rounded, in parts of the image
TURNED = (5, 6, 7, 8)  # orientations of images that mmcv shows with width and height exchanged


def boxes(
    folder: Path, files: Sequence[PurePosixPath], annotations: Sequence[Path], names: Path | None, split: Path
) -> OwnData:
    """Find images and boxes for mmdet.

    Args:
        folder: holds the images, and annotation files if none are given.
        files: in it.
        annotations: files in COCO's format for training, validation and test images, or one to split; empty: those
            in the folder.
        names: a file with the names of YOLO's classes. Default None: one in the folder.
        split: where annotations are written that were converted or split.

    Raises:
        UserError: in one sentence, for an unknown format, missing images, or annotations that cannot be read.
    """
    given = _named(annotations) if annotations else _find_coco(folder, files)
    if given and names:
        raise UserError("--names is for label maps and YOLO's classes, and COCO's format has names: leave it out")
    if given:
        return _coco(folder, files, given, split)
    xml = [path for path in files if path.suffix.lower() == '.xml']
    images = {key_of(p): p for p in files if is_image(p) and not TRUTH_FOLDERS & {*map(str.lower, p.parts[:-1])}}
    notes: list[str] = []
    texts = [
        path
        for path in files
        if path.suffix == '.txt'
        and 'ImageSets' not in path.parts
        and (key_of(path) in images or path.parent.name.lower() in TRUTH_FOLDERS)
    ]
    if xml:
        kind, items, classes = "Pascal VOC's boxes", *_voc(folder, xml, images, files)
        if idle := len(images) - len(items):
            notes.append(f'{idle} images without a list or an .xml file are left out')
    elif texts:
        kind, items, classes = "YOLO's boxes", *_yolo(folder, texts, images, read_names(folder, names))
    else:
        kinds = Counter(path.suffix.lower() or 'no suffix' for path in files)
        shown = ', '.join(f'{count} {suffix}' for suffix, count in kinds.most_common(5))
        raise UserError(
            f'--data {printable(folder)} has no boxes in a known format ({shown}): expected .json of COCO, .xml of '
            f'Pascal VOC, or .txt of YOLO; label maps and class folders need a recipe for segmentation or '
            f'classification'
        )
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(classes)]
    return _divided(folder, kind, items, categories, split, notes)


def _divided(
    folder: Path, kind: str, items: list[Item], categories: list[dict], split: Path, notes: list[str]
) -> OwnData:
    """All parts in COCO's format, with paths of images below the folder."""
    parts, _ = divide(items, notes)
    classes = _used(categories, parts, notes)
    settings, texts = {}, {}
    for part, of_part in parts.items():
        path = split / f'{part}.json'
        content = dict(images=[], annotations=[], categories=categories)
        for number, item in enumerate(of_part, 1):
            image, found = item.truth
            content['images'].append(dict(image, id=number, file_name=str(item.image)))
            for annotation in found:
                index = len(content['annotations']) + 1
                content['annotations'].append(dict(annotation, id=index, image_id=number))
        texts[path] = json.dumps(content, ensure_ascii=False) + '\n'
        settings[part] = dict(ann_file=path.as_posix(), data_prefix=dict(img=''))
    return _data(folder, kind, classes, settings, parts, texts, notes)


def _data(
    folder: Path, kind: str, classes: tuple, settings: dict, parts: dict[str, list[Item]], texts: dict, notes: list
) -> OwnData:
    found = [annotation for of_part in parts.values() for item in of_part for annotation in item.truth[1]]
    without = sum(not annotation.get('segmentation') for annotation in found)
    if 0 < without < len(found):
        notes.append(f'{without} of {len(found)} boxes have no mask, so that no masks are trained')
    dataset = dict(type='CocoDataset', data_root=folder.as_posix(), metainfo=dict(classes=classes))
    counts = {part: len(of_part) for part, of_part in parts.items()}
    return OwnData(folder, kind, classes, dataset, settings, counts, without == 0, texts, notes)


def _used(categories: list[dict], parts: dict[str, list[Item]], notes: list[str]) -> tuple[str, ...]:
    """The names of the categories that have boxes."""
    used = frozenset().union(*(item.classes for of_part in parts.values() for item in of_part))
    names = [category['name'] for category in categories]
    if not used:
        raise UserError('no image has a box: add annotations')
    if idle := [name for name in names if name not in used]:
        notes.append(f'categories without a box are no classes: {printable(", ".join(idle))}')
    return tuple(name for name in names if name in used)


def _named(annotations: Sequence[Path]) -> dict[str, Path]:
    for path in annotations:
        if not path.is_file():
            raise UserError(f'--annotations {printable(path)} is missing: give a .json file in the format of COCO')
    if len(annotations) == 1:
        return {'': annotations[0]}
    return dict(zip(('train', 'val', 'test'), annotations, strict=False))


def _find_coco(folder: Path, files: Sequence[PurePosixPath]) -> dict[str, Path]:
    """Annotation files in COCO's format by their parts; '' for a single one of no part."""
    found: dict[str, list[PurePosixPath]] = {}
    for path in files:
        if path.suffix.lower() == '.json' and read_categories(folder / path):
            found.setdefault(part_of(path), []).append(path)
    if '' in found and len(found) > 1:
        rest = found.pop('')
        found.setdefault('train', rest)
    for part, paths in found.items():
        instances = [path for path in paths if path.stem.startswith('instances')] or paths
        if len(instances) > 1:
            shown = ', '.join(map(str, paths[:4]))
            raise UserError(f'{shown} hold annotations: name those of training and validation with --annotations')
        found[part] = instances
    return {part: folder / paths[0] for part, paths in found.items()}


def _coco(folder: Path, files: Sequence[PurePosixPath], given: dict[str, Path], split: Path) -> OwnData:
    images = {str(path) for path in files if is_image(path)}
    items, settings, categories = [], {}, {}
    complete = True
    for part, path in given.items():
        content = _read_coco(path)
        names = [image['file_name'] for image in content['images']]
        prefix = _prefix(folder, path, part, names, images)
        settings[part] = dict(ann_file=path.resolve().as_posix(), data_prefix=dict(img=prefix))
        categories[part] = content['categories']
        complete &= _complete(content['annotations'])
        by_image: dict[object, list[dict]] = {image['id']: [] for image in content['images']}
        shown = {category['id']: category['name'] for category in content['categories']}
        for annotation in content['annotations']:
            if annotation['image_id'] not in by_image or annotation['category_id'] not in shown:
                raise UserError(
                    f'{printable(path)}: annotation {annotation.get("id")} names image {annotation["image_id"]} and '
                    f'category {annotation["category_id"]}, and one of them is not in the file'
                )
            by_image[annotation['image_id']].append(annotation)
        for image in content['images']:
            found = by_image[image['id']]
            classes = frozenset(shown[annotation['category_id']] for annotation in found)
            place = PurePosixPath(prefix, image['file_name'])
            items.append(Item(place, (image, found), classes, part))
    first = categories.get('train') or next(iter(categories.values()))
    for part, others in categories.items():
        if [(c['id'], c['name']) for c in others] != [(c['id'], c['name']) for c in first]:
            raise UserError(
                f'{printable(given[part])} and the annotations of training images list different categories: '
                f'{printable(", ".join(c["name"] for c in others))} and '
                f'{printable(", ".join(c["name"] for c in first))}, by id and order: make them the same'
            )
    if len(given) == 1 or not complete:
        if len(given) == 1:
            items = [Item(item.image, item.truth, item.classes) for item in items]
        return _divided(folder, "COCO's format", items, first, split, [])
    notes: list[str] = []
    parts, _ = divide(items, notes)
    if 'val' not in given:
        settings['val'] = settings.pop('test')
    classes = _used(first, parts, notes)
    return _data(folder, "COCO's format", classes, settings, parts, {}, notes)


def _read_coco(path: Path) -> dict:
    try:
        content = json.loads(read_text(path))
        lists = [content[key] for key in ('images', 'annotations', 'categories')]
        for image in lists[0]:
            _ = image['file_name'] + '', 0 + image['width'] + image['height']
        if len({image['id'] for image in lists[0]}) < len(lists[0]):
            raise ValueError('several images have the same id')
        for annotation in lists[1]:
            _ = hash((annotation['image_id'], annotation['category_id']))
            _, _, width, height = (0.0 + number for number in annotation['bbox'])
            if not all(map(math.isfinite, annotation['bbox'])) or width < 0 or height < 0:
                raise ValueError(f'annotation {annotation.get("id")} has the bbox {annotation["bbox"]}')
        _ = {category['id'] for category in lists[2]}
        names = Counter(category['name'] + '' for category in lists[2])
    except (ValueError, RecursionError, TypeError, KeyError) as error:
        raise UserError(f'{printable(path)} is not in the format of COCO: {reason_of(error)}') from error
    if twice := [name for name, count in names.items() if count > 1]:
        raise UserError(f'{printable(path)} has several categories {twice[0]!r}: give each another name')
    if not lists[0]:
        raise UserError(f'{printable(path)} lists no images')
    return content


def _complete(annotations: list[dict]) -> bool:
    """Fill what mmdet and pycocotools need and some tools leave out; return whether nothing lacked."""
    lacking = [a for a in annotations if 'area' not in a or 'iscrowd' not in a or 'id' not in a]
    for annotation in lacking:
        annotation.setdefault('area', annotation['bbox'][2] * annotation['bbox'][3])
        annotation.setdefault('iscrowd', 0)
    return not lacking


def _prefix(folder: Path, path: Path, part: str, names: list[str], images: set[str]) -> str:
    """The folder below which the images of an annotation file are."""
    by_name: dict[str, list[str]] = {}
    for image in images:
        by_name.setdefault(PurePosixPath(image).name, []).append(image)
    below = {
        image[: -len(name)]
        for name in names[:20]
        for image in by_name.get(PurePosixPath(name).name, ())
        if f'/{image}'.endswith(f'/{name}')
    }
    left = {prefix: sum(prefix + name not in images for name in names) for prefix in below}
    # Of several, the one whose name says the part.
    order = sorted(below, key=lambda prefix: (left[prefix], part_of(PurePosixPath(prefix, '_')) != part, prefix))
    if order and left[order[0]] == 0:
        return order[0]
    missing = [name for name in names if f'{order[0] if order else ""}{name}' not in images]
    raise UserError(
        f'{printable(path)} names {len(missing)} images that are not in {printable(folder)}, as '
        f'{printable(missing[0])}: add them, or take them out of the file'
    )


def _voc(
    folder: Path, xml: list[PurePosixPath], images: dict[str, PurePosixPath], files: Sequence[PurePosixPath]
) -> tuple[list[Item], list[str]]:
    """Pascal VOC's boxes, whose corners are pixels counted from 1 (the development kit's documentation)."""
    lists = read_lists(folder, files)
    found = []
    for path in xml:
        if lists and path.stem not in lists:
            continue
        image = images.get(key_of(path))
        if image is None:
            raise UserError(f'{path} describes an image that is not in {printable(folder)}: add it, or remove the file')
        shapes = []
        try:
            root = ElementTree.parse(folder / path).getroot()
            for node in root.iter('object'):
                box = [float(node.findtext(f'bndbox/{key}', '')) for key in ('xmin', 'ymin', 'xmax', 'ymax')]
                name = (node.findtext('name') or '').strip()
                if not name:
                    raise ValueError('an object has no name')
                if not all(map(math.isfinite, box)) or box[2] < box[0] or box[3] < box[1]:
                    raise ValueError(f'{name} has the corners {box}')
                shapes.append((name, box, node.findtext('difficult', '0').strip() == '1'))
        except (ElementTree.ParseError, ValueError, OSError) as error:
            raise UserError(f'{path} is not in the format of Pascal VOC: {reason_of(error)}') from error
        found.append((image, shapes, lists.get(path.stem, '') if lists else folder_part(path)))
    classes = sorted({name for _, shapes, _ in found for name, _, _ in shapes})
    items = []
    for image, shapes, part in found:
        size = _size(folder / image)
        # Difficult objects are neither trained nor counted, as COCO's crowds.
        annotations = [
            _annotation(classes.index(name), (left - 1, top - 1, right, bottom), size, int(difficult))
            for name, (left, top, right, bottom), difficult in shapes
        ]
        items.append(_item(image, size, annotations, classes, part))
    return items, classes


def _yolo(
    folder: Path, texts: list[PurePosixPath], images: dict[str, PurePosixPath], names: tuple[str, ...]
) -> tuple[list[Item], list[str]]:
    """YOLO's boxes or polygons; an image without a text has none."""
    if not names:
        raise UserError(f"no names of YOLO's classes: list them in {printable(folder)}/data.yaml, or give --names FILE")
    by_key = {key_of(path): path for path in texts}
    for key, path in by_key.items():
        if key not in images:
            raise UserError(f'{path} describes an image that is not in {printable(folder)}: add it, or remove the file')
    items = []
    for key, image in images.items():
        size = _size(folder / image)
        annotations = list(_yolo_lines(folder, by_key[key], size, len(names))) if key in by_key else []
        items.append(_item(image, size, annotations, names, folder_part(image)))
    return items, list(names)


def _yolo_lines(folder: Path, path: PurePosixPath, size: tuple[int, int], count: int) -> Iterator[dict]:
    for number, line in enumerate(read_text(folder / path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            label, *numbers = map(float, line.split())
        except ValueError:
            numbers, label = [], 0.0
        if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
            raise UserError(f'{path}, line {number} is not in the format of YOLO: expected CLASS X Y WIDTH HEIGHT')
        if not label.is_integer() or not 0 <= label < count:
            raise UserError(f'{path}, line {number} has the class {label:g}, and there are {count} names, from 0')
        if not all(-SLACK <= value <= 1 + SLACK for value in numbers):
            raise UserError(f'{path}, line {number} has numbers outside of 0 to 1: divide pixels by the image size')
        scaled = [value * size[i % 2] for i, value in enumerate(numbers)]
        if len(numbers) == 4:
            x, y, w, h = scaled
            yield _annotation(int(label), (x - w / 2, y - h / 2, x + w / 2, y + h / 2), size)
        else:
            xs, ys = scaled[::2], scaled[1::2]
            turns = zip(xs, ys, [*xs[1:], xs[0]], [*ys[1:], ys[0]], strict=True)
            area = abs(sum(a * d - b * c for a, b, c, d in turns)) / 2
            found = _annotation(int(label), (min(xs), min(ys), max(xs), max(ys)), size)
            yield dict(found, segmentation=[scaled], area=area)


def _annotation(label: int, corners: Sequence[float], size: tuple[int, int], iscrowd: int = 0) -> dict:
    """A box, cut at the borders of its image."""
    left, top, right, bottom = (min(max(value, 0), size[i % 2]) for i, value in enumerate(corners))
    box = [round(number, 3) for number in (left, top, right - left, bottom - top)]
    return dict(category_id=label + 1, bbox=box, area=round(box[2] * box[3], 3), iscrowd=iscrowd)


def _item(
    image: PurePosixPath, size: tuple[int, int], annotations: list[dict], names: Sequence[str], part: str
) -> Item:
    classes = frozenset(names[annotation['category_id'] - 1] for annotation in annotations)
    return Item(image, (dict(width=size[0], height=size[1]), annotations), classes, part)


def _size(path: Path) -> tuple[int, int]:
    """Width and height of an image as mmcv shows it, from its header."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(EXIF_ORIENTATION) in TURNED
            return (image.height, image.width) if turned else image.size
    except UNREADABLE as error:
        raise UserError(f'cannot read the image {printable(path)}: {reason_of(error)}') from error
