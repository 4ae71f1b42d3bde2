"""Write the files that the evaluation servers of COCO and ADE20K accept, and check their format."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from PIL import Image
from pycocotools import mask as coco_mask

from ..engine.nodes import type_name
from ..errors import UserError, printable
from ..files import atomic_file


def prepare_submission(config: Config, folder: Path) -> None:
    """Make a test write predictions of the servers' images in place of metrics of the validation images.

    ``instances_val2017.json`` and ``val2017`` become ``image_info_test-dev2017.json`` and ``test2017``;
    ``images/validation`` becomes ``images/testing``. Annotations are not loaded.

    Args:
        config: changed in place.
        folder: for the files, empty or missing.

    Raises:
        UserError: if the folder holds something, or the config has no CocoMetric or IoUMetric.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f'--submission {folder}: it is not empty; give a new folder, so that old files are not sent')
    kind, dataset = _kind(config), config.test_dataloader.dataset
    if kind == 'CocoMetric':
        if Path(dataset.ann_file).name == 'instances_val2017.json':
            dataset.ann_file = dataset.ann_file.replace('instances_val2017', 'image_info_test-dev2017')
            dataset.data_prefix.img = dataset.data_prefix.img.replace('val2017', 'test2017')
        annotations = Path(dataset.get('data_root') or '', dataset.ann_file)
        results = dict(ann_file=str(annotations), outfile_prefix=str(folder / 'results'))
    else:
        dataset.data_prefix.pop('seg_map_path', None)
        if dataset.data_prefix.img_path == 'images/validation':
            dataset.data_prefix.img_path = 'images/testing'
        results = dict(output_dir=str(folder / 'predictions'))
    config.test_evaluator = ConfigDict(type=kind, format_only=True, **results)
    dataset.pipeline = _without_annotations(dataset.pipeline)
    if config.get('tta_pipeline'):
        config.tta_pipeline = _without_annotations(config.tta_pipeline)


def finish_submission(config: Config, dataset: BaseDataset, folder: Path) -> None:
    """Name, check and pack the files of a test as the servers require, and print what was written.

    COCO: ``bbox/detections_SET_NAME_results.json`` and ``.zip`` with it inside, and ``segm/...`` of masks. ADE20K:
    ``predictions/*.png`` and ``predictions.zip``.

    Args:
        config, folder: as :func:`prepare_submission` got them.
        dataset: that was tested.

    Raises:
        UserError: if a server would refuse a file (then it is not packed), or a file cannot be read or written.
    """
    try:
        _finish(config, dataset, folder)
    except OSError as error:
        raise UserError(
            f'cannot write {printable(error.filename or folder)} ({error.strerror or error}): free space or give '
            f'another --submission'
        ) from error


def _finish(config: Config, dataset: BaseDataset, folder: Path) -> None:
    if _kind(config) == 'CocoMetric':
        annotations = Path(dataset.ann_file)
        images = annotations.stem.removeprefix('image_info_').removeprefix('instances_')
        # Underscores part the fields of the file's name.
        name = Path(config.filename).stem.replace('_', '-')
        for task in ('bbox', 'segm'):
            written = folder / f'results.{task}.json'
            if written.exists():
                path = folder / task / f'detections_{images}_{name}_results.json'
                path.parent.mkdir()
                written.rename(path)
                summary = check_detections(path, annotations, masks=task == 'segm')
                print(f'{_pack(path.with_suffix(".zip"), [path])}: {summary}')
    else:
        predictions = folder / 'predictions'
        images = [Path(dataset.get_data_info(i)['img_path']) for i in range(len(dataset))]
        first = int(dataset.metainfo['reduce_zero_label'])
        summary = check_label_maps(predictions, images, first, first + len(dataset.metainfo['classes']) - 1)
        print(f'{_pack(folder / "predictions.zip", sorted(predictions.iterdir()))}: {summary}')


def check_detections(path: Path, annotations: Path, masks: bool) -> str:
    """Check a JSON file in COCO's results format and return a short summary.

    Args:
        path: the file.
        annotations: the annotation file of the images, which may hold no annotations.
        masks: whether each detection must have a mask.

    Raises:
        UserError: naming the first detection that a server would refuse, and why.
    """
    known, found = json.loads(annotations.read_text()), json.loads(path.read_text())
    sizes = {image['id']: [image['height'], image['width']] for image in known['images']}
    categories = {category['id'] for category in known['categories']}
    if not isinstance(found, list) or not found:
        raise UserError(f'{path} holds no detections, expected a list with at least one')
    for i, item in enumerate(found):
        problem = _problem(item, sizes, categories, masks)
        if problem:
            raise UserError(f'{path}: detection {i} {problem}; a server would refuse the file')
    seen = len({item['image_id'] for item in found})
    return f'{len(found):,} detections in {seen:,} of {len(sizes):,} images, format checked'


def check_label_maps(folder: Path, images: Iterable[Path], lowest: int, highest: int) -> str:
    """Check label maps in ADE20K's format and return a short summary.

    A folder holds one 8-bit PNG file of one channel for each image and of its size, with labels from ``lowest`` to
    ``highest``.

    Raises:
        UserError: naming the first file that a server would refuse, and why.
    """
    expected = {f'{path.stem}.png': path for path in images}
    found = {path.name: path for path in folder.iterdir()}
    for name in expected.keys() ^ found.keys():
        which = 'is missing' if name in expected else 'belongs to no image'
        raise UserError(f'{folder / name} {which}: expected one PNG file for each of the {len(expected)} images')
    for name, path in found.items():
        with Image.open(path) as label_map, Image.open(expected[name]) as image:
            if (label_map.format, label_map.mode) not in (('PNG', 'L'), ('PNG', 'P')):
                raise UserError(f'{path} is {label_map.format} {label_map.mode}, expected PNG of one channel of 8 bits')
            if label_map.size != image.size:
                sizes = ['x'.join(map(str, opened.size)) for opened in (label_map, image)]
                raise UserError(f'{path} is {sizes[0]} pixels, its image {expected[name]} is {sizes[1]}')
            values = np.asarray(label_map)
            if values.min() < lowest or values.max() > highest:
                raise UserError(
                    f'{path} holds labels from {values.min()} to {values.max()}, expected {lowest} to {highest}'
                )
    return f'{len(found):,} label maps, format checked'


def _problem(item: dict, sizes: dict[int, list[int]], categories: set[int], masks: bool) -> str | None:
    lacks = {'image_id', 'category_id', 'bbox', 'score', *(['segmentation'] if masks else [])} - item.keys()
    if lacks:
        return f'lacks {", ".join(sorted(lacks))}'
    if item['image_id'] not in sizes:
        return f'has image_id {item["image_id"]!r}, which the annotation file has not'
    if item['category_id'] not in categories:
        return f'has category_id {item["category_id"]!r}, which the annotation file has not'
    box, score = item['bbox'], item['score']
    # A side of 0 is useless, and still valid: mmdet gives it to a box that lies outside of the image.
    if len(box) != 4 or not all(map(math.isfinite, box)) or min(box[2:]) < 0:
        return f'has bbox {box}, expected finite [x, y, width, height] in pixels'
    if not 0 <= score <= 1:
        return f'has score {score}, expected 0 to 1'
    if masks:
        rle, size = item['segmentation'], sizes[item['image_id']]
        if rle.get('size') != size:
            return f'has a mask of {rle.get("size")} pixels (height, width), its image is {size}'
        try:
            coco_mask.decode(rle)
        except (KeyError, TypeError, ValueError):
            return 'has a mask that pycocotools cannot read'
    return None


def _kind(config: Config) -> str:
    evaluators = config.get('test_evaluator')
    names = [type_name(node) for node in (evaluators if isinstance(evaluators, (list, tuple)) else [evaluators or {}])]
    kind = next((name for name in names if name in ('CocoMetric', 'IoUMetric')), None)
    if kind is None:
        raise UserError(
            f'--submission: {config.filename} is tested with {", ".join(names)}; there are servers for CocoMetric '
            f'(COCO) and IoUMetric (ADE20K)'
        )
    return kind


def _without_annotations(pipeline: list) -> list:
    """Return a test pipeline, or the lists of one for test-time augmentation, without the steps that load the truth."""
    kept = []
    for step in pipeline:
        if isinstance(step, (list, tuple)):
            step = _without_annotations(step)
        elif 'transforms' in step:
            step = dict(step, transforms=_without_annotations(step['transforms']))
        if step and not (isinstance(step, dict) and type_name(step) == 'LoadAnnotations'):
            kept.append(step)
    return kept


def _pack(path: Path, files: Iterable[Path]) -> Path:
    with atomic_file(path) as aside, ZipFile(aside, 'w', ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return path
