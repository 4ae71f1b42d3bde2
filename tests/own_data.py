"""Small data of all tasks in their own formats, from DigitScenes and scikit-learn's photographs."""

import json
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from sklearn.datasets import load_sample_image

from mlp_backbones.datasets.digit_scenes import CLASSES, SIZE, DigitScenes, Scene


@cache
def scene(number: int) -> Scene:
    return DigitScenes('train', number + 1)[number]


def scenes(count: int) -> list[Scene]:
    return [scene(number) for number in range(count)]


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def coco_content(found: list[Scene], first: int = 0, masks: bool = True) -> dict:
    """In COCO's format, without ``area`` and ``iscrowd``, which some tools leave out."""
    content = dict(images=[], annotations=[], categories=[dict(id=3 * i, name=name) for i, name in enumerate(CLASSES)])
    for number, scene in enumerate(found, first):
        content['images'].append(dict(id=number, file_name=f'{number}.png', width=SIZE, height=SIZE))
        for label, box, mask in zip(scene.labels, scene.boxes, scene.masks, strict=True):
            annotation = dict(id=len(content['annotations']) + 1, image_id=number, category_id=3 * label, bbox=[*box])
            if masks:
                rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
                annotation['segmentation'] = dict(rle, counts=rle['counts'].decode())
            content['annotations'].append(annotation)
    return content


def write_coco(folder: Path, count: int = 10, masks: bool = True) -> Path:
    """Images and one annotation file."""
    found = scenes(count)
    for number, scene in enumerate(found):
        save(folder / 'images' / f'{number}.png', scene.image)
    write(folder / 'annotations.json', json.dumps(coco_content(found, masks=masks)))
    return folder


def write_voc(folder: Path, count: int = 10) -> Path:
    """VOC's layout with its lists of a split; corners count from 1."""
    for number, scene in enumerate(scenes(count)):
        save(folder / 'JPEGImages' / f'{number}.png', scene.image)
        objects = ''.join(
            f'<object><name>{CLASSES[label]}</name><difficult>0</difficult><bndbox><xmin>{x + 1}</xmin>'
            f'<ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>'
            for label, (x, y, w, h) in zip(scene.labels, scene.boxes, strict=True)
        )
        write(folder / 'Annotations' / f'{number}.xml', f'<annotation>{objects}</annotation>')
    names = [f'{number}\n' for number in range(count)]
    write(folder / 'ImageSets' / 'Main' / 'train.txt', ''.join(names[1:]))
    write(folder / 'ImageSets' / 'Main' / 'val.txt', ''.join(names[:1]))
    return folder


def write_yolo(folder: Path, count: int = 10) -> Path:
    """YOLO's layout, ``train`` and ``val`` with ``images`` and ``labels``."""
    for number, scene in enumerate(scenes(count)):
        part = folder / ('train' if number else 'val')
        save(part / 'images' / f'{number}.png', scene.image)
        lines = [
            f'{label} {(x + w / 2) / SIZE} {(y + h / 2) / SIZE} {w / SIZE} {h / SIZE}\n'
            for label, (x, y, w, h) in zip(scene.labels, scene.boxes, strict=True)
        ]
        write(part / 'labels' / f'{number}.txt', ''.join(lines))
    write(folder / 'data.yaml', 'names:\n' + ''.join(f'  {i}: "{name}"\n' for i, name in enumerate(CLASSES)))
    return folder


def write_label_maps(folder: Path, count: int = 10, split: bool = False) -> Path:
    """Images, label maps (0 background, 1 to 10 the digits) and their names."""
    for number, scene in enumerate(scenes(count)):
        part = ('train' if number else 'val') if split else ''
        save(folder / 'images' / part / f'{number}.png', scene.image)
        save(folder / 'labels' / part / f'{number}.png', scene.label_map)
    write(folder / 'classes.txt', '\n'.join(['background', *CLASSES]))
    return folder


def write_class_folders(folder: Path, count: int = 10) -> Path:
    """Crops of two photographs, a folder for each."""
    for name in ('china', 'flower'):
        photograph = load_sample_image(f'{name}.jpg')
        for number in range(count // 2):
            top = 40 * number
            save(folder / name / f'{number}.jpg', photograph[top : top + 160, top : top + 200])
    return folder
