"""Data sets that report a fault in one sentence with the file, from a worker process, too."""

import json
import math
import stat
from functools import partial
from pathlib import Path
from traceback import extract_tb

import cv2
import numpy as np
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset, Compose
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS
from torch.utils.data import DataLoader

from ..errors import UserError, describe, printable
from .nodes import dataset_class, strings

_MISSING = 'is missing'
_ADVICE = 'restore the file, or take it out of the data set'


class DataError(UserError):
    """A fault in the data; the text is one sentence.

    torch raises an error of a worker process again with the worker's whole traceback as its text; only the last line,
    which is the sentence, is kept.
    """

    def __init__(self, text: str):
        lines = text.strip().splitlines() or ['']
        super().__init__(lines[-1].rpartition(f'{type(self).__name__}: ')[2] if len(lines) > 1 else text)


class CheckedData:
    """A mix-in for mmengine's runners: faults of data sets and annotation files are raised as :class:`DataError`."""

    def build_dataloader(self, dataloader: DataLoader | dict, *args, **kwargs) -> DataLoader:
        if isinstance(dataloader, dict) and isinstance(dataloader.get('dataset'), dict):
            dataloader = dataloader.copy()
            dataloader['dataset'] = _checked(dataloader['dataset'])
        return super().build_dataloader(dataloader, *args, **kwargs)

    def build_evaluator(self, evaluator: dict | list | Evaluator) -> Evaluator:
        try:
            return super().build_evaluator(evaluator)
        except Exception as error:
            nodes = evaluator if isinstance(evaluator, list) else [evaluator]
            for node in nodes:
                path = node.get('ann_file') if isinstance(node, dict) else None
                if fault := _fault(path, error):
                    raise DataError(f'{printable(path)} {fault}; the evaluator needs it: {_ADVICE}') from error
            raise


def build_dataset(config: dict) -> object:
    """Build a data set of mmdet, mmseg or mmpretrain, or a wrapper of some, which reports faults as :class:`DataError`.

    Annotations are checked when they are read: numbers in boxes, labels and folders of classes, and that there are
    images. While training or testing, each file that cannot be prepared, and the size and labels of each label map, are
    reported. Data sets that are not mmengine's ``BaseDataset`` are built without checks.

    Raises:
        DataError: if its annotations cannot be read, or are not valid.
    """
    config = config.copy()
    for key in ('dataset', 'datasets'):
        inner = config.get(key)
        if isinstance(inner, (list, tuple)):
            config[key] = [_checked(node) for node in inner]
        elif inner:
            config[key] = _checked(inner)
    with DATASETS.switch_scope_and_registry(config.get('_scope_')):
        kind = dataset_class(config)
        if not (isinstance(kind, type) and issubclass(kind, BaseDataset)):
            return DATASETS.build(config)
        arguments = {key: value for key, value in config.items() if key not in ('type', '_scope_')}
        dataset = kind.__new__(kind)
        # The constructor reads the annotations, so that the checks must be there before. Nothing of them stays: they
        # could not be sent to a worker process that is spawned.
        checks = dict(load_data_list=_load, filter_data=_filter, parse_data_info=_parse)
        for name, check in checks.items():
            setattr(dataset, name, partial(check, dataset, getattr(dataset, name)))
        dataset.__init__(**arguments)
        dataset.full_init()
        for name in checks:
            delattr(dataset, name)
    if type(dataset.pipeline) is Compose:
        classes = dataset.metainfo.get('classes')
        dataset.pipeline = _CheckedPipeline(
            dataset.pipeline, len(classes) if classes is not None else None, getattr(dataset, 'ignore_index', 255)
        )
    return dataset


def file_fault(path: str | Path) -> str | None:
    """Describe the fault of a local file, or None: missing, not a regular file, empty, or a JPEG that is cut short."""
    if '://' in str(path):
        return None
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            return 'is a folder'
        if not stat.S_ISREG(status.st_mode):
            return 'is a device, FIFO or socket'
        if status.st_size == 0:
            return 'is empty'
        return 'is a JPEG that is cut short' if _is_cut_jpeg(path) else None
    except FileNotFoundError:
        return _MISSING
    except (OSError, ValueError) as error:
        return f'cannot be read ({getattr(error, "strerror", None) or error})'


class _CheckedPipeline(Compose):
    """A pipeline that reports the sample, the step and the fault; ``classes`` is their number, or None."""

    def __init__(self, pipeline: Compose, classes: int | None, ignore_index: int):
        self.transforms = pipeline.transforms
        self.classes = classes
        self.ignore_index = ignore_index

    def __call__(self, data: dict) -> dict | None:
        if not isinstance(data, dict):
            return super().__call__(data)
        paths = [*strings(data.get('img_path')), *strings(data.get('seg_map_path'))]
        for path in paths:
            # Some decoders fill the rest of a JPEG with gray, without an error, and a FIFO would never end. What is
            # missing may lie in an archive, which the loading step knows.
            fault = file_fault(path)
            if fault and fault != _MISSING:
                raise DataError(f'{printable(path)} {fault}: {_ADVICE}')
        is_checked = False
        for step in self.transforms:
            try:
                data = step(data)
            except UserError:
                raise
            except Exception as error:
                raise DataError(_sentence(paths, step, error)) from error
            if data is None:
                return None
            if not is_checked and isinstance(data, dict) and 'gt_seg_map' in data:
                is_checked = True
                self._check_labels(data)
        return data

    def _check_labels(self, data: dict) -> None:
        labels, shape = data['gt_seg_map'], data.get('ori_shape')
        path = printable(data.get('seg_map_path'))
        # The image may be resized already.
        if shape is not None and tuple(labels.shape[:2]) != tuple(shape[:2]):
            raise DataError(
                f'{path} has {labels.shape[1]}x{labels.shape[0]} pixels, and its image {printable(data["img_path"])} '
                f'{shape[1]}x{shape[0]}: a label map needs the size of its image'
            )
        # Only mmseg has this key: label maps of mmdet hold other things, too.
        if self.classes is None or 'reduce_zero_label' not in data or labels.dtype.kind not in 'iu':
            return
        wrong = (labels >= self.classes) & (labels != self.ignore_index)
        if wrong.any():
            after = ' after reduce_zero_label' if data['reduce_zero_label'] else ''
            raise DataError(
                f'{path} holds the label {labels[wrong].max()}{after}, and the data set has {self.classes} classes, '
                f'0 to {self.classes - 1} ({self.ignore_index} is ignored): correct the label map or the classes in '
                f'metainfo'
            )


def _checked(config: object) -> object:
    """Return a config from which mmengine calls :func:`build_dataset`; what is no config stays."""
    return ConfigDict(type=build_dataset, config=config) if isinstance(config, dict) else config


def _load(dataset: BaseDataset, original) -> list[dict]:
    source = _source(dataset)
    try:
        found = original()
    except UserError:
        raise
    except Exception as error:
        if getattr(dataset, 'download', False) and isinstance(error, (OSError, RuntimeError)):
            raise DataError(
                f'{type(dataset).__name__} cannot be downloaded to {source} ({describe(error)}): put its files there '
                f'by hand, or set data_root to where they are'
            ) from error
        fault = _fault(dataset.ann_file, error)
        if fault:
            raise DataError(f'{source} {fault}: {_ADVICE}') from error
        raise DataError(
            f'{source} cannot be read as {type(dataset).__name__} ({describe(error)}): correct it, or the data set in '
            f'the config'
        ) from error
    if not found:
        suffixes = getattr(dataset, 'extensions', None) or getattr(dataset, 'img_suffix', '')
        named = f' with the suffix {" ".join(strings(suffixes))}' if suffixes and not dataset.ann_file else ''
        raise DataError(f'{source} holds no image{named}: give another path, or add images')
    _check_classes(dataset, found, source)
    return found


def _check_classes(dataset: BaseDataset, found: list[dict], source: str) -> None:
    classes = dataset.metainfo.get('classes')
    count = math.inf if classes is None else len(classes)
    used = set()
    for sample in found:
        label = sample.get('gt_label')
        if label is not None:
            labels = [label] if isinstance(label, (int, np.integer)) else list(label)
            used.update(labels)
        else:
            labels = [instance.get('bbox_label', 0) for instance in sample.get('instances') or ()]
        for number in labels:
            if number >= count or (label is not None and number < 0):
                raise DataError(
                    f'{source} gives {printable(sample.get("img_path", "an image"))} the label {number}, and the data '
                    f'set has {count} classes, 0 to {count - 1}: correct the label, or the classes in metainfo'
                )
    for name, number in (getattr(dataset, 'folder_to_idx', None) or {}).items():
        if number not in used:
            raise DataError(
                f'{printable(Path(dataset.img_prefix, name))} is the folder of a class and holds no image '
                f'({" ".join(dataset.extensions)}): add images, or remove the folder'
            )


def _filter(dataset: BaseDataset, original) -> list[dict]:
    count = len(dataset.data_list)
    found = original()
    if not found:
        raise DataError(
            f'{_source(dataset)}: filter_cfg={dict(dataset.filter_cfg or {})} leaves none of {count} images; are the '
            f'classes of metainfo those of the annotations?'
        )
    return found


def _parse(dataset: BaseDataset, original, raw: dict) -> dict | list[dict]:
    image = raw.get('raw_img_info', raw) if isinstance(raw, dict) else {}
    image = image if isinstance(image, dict) else {}
    name = printable(
        next((image[key] for key in ('file_name', 'img_path', 'id', 'img_id') if key in image), 'an image')
    )
    try:
        # COCO gives a corner and the sizes, mmengine's own format two corners.
        for key, is_corner_and_size in (('raw_ann_info', True), ('instances', False)):
            for annotation in raw.get(key) or ():
                if 'bbox' in annotation and not annotation.get('ignore'):
                    _check_box(annotation, is_corner_and_size, name, _source(dataset))
        return original(raw)
    except UserError:
        raise
    except Exception as error:
        raise DataError(
            f'{_source(dataset)}: the entry of {name} is not valid ({describe(error)}): correct or remove it'
        ) from error


def _check_box(annotation: dict, is_corner_and_size: bool, image: str, source: str) -> None:
    box = annotation['bbox']
    is_valid = isinstance(box, (list, tuple)) and len(box) == 4
    is_valid = is_valid and all(isinstance(number, (int, float)) and math.isfinite(number) for number in box)
    right, bottom = box[:2] if is_valid and not is_corner_and_size else (0, 0)
    if not is_valid or box[2] < right or box[3] < bottom:
        wanted = 'x, y, width, height' if is_corner_and_size else 'x1, y1, x2, y2'
        which = f' {printable(annotation["id"])}' if 'id' in annotation else ''
        raise DataError(
            f'{source}: annotation{which} of {image} has the bbox {printable(box)}: give {wanted} as finite numbers, '
            f'with no negative size'
        )


def _source(dataset: BaseDataset) -> str:
    """Name the file or folder from which a data set reads its list of images."""
    prefixes = dataset.data_prefix.values() if isinstance(dataset.data_prefix, dict) else [dataset.data_prefix]
    return printable(dataset.ann_file or next((p for p in prefixes if p), None) or dataset.data_root)


def _sentence(paths: list[str], step: object, error: Exception) -> str:
    for path in paths:
        fault = file_fault(path) or _image_fault(path)
        if fault:
            return f'{printable(path)} {fault}: {_ADVICE}'
    place = extract_tb(error.__traceback__)[-1]
    return (
        f'{printable(" and ".join(paths) or "a sample", 400)} cannot be prepared: {type(step).__name__} of the '
        f'pipeline fails ({describe(error)}; {Path(place.filename).name}, line {place.lineno}): correct the file or '
        f'its annotations, or the pipeline'
    )


def _image_fault(path: str) -> str | None:
    if '://' in path or (not cv2.haveImageReader(path) and not path.lower().endswith(('.jpg', '.jpeg', '.png'))):
        return None
    try:
        if cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED) is not None:
            return None
    except cv2.error as error:
        return f'cannot be decoded ({describe(error)})'
    return 'is broken, or of a format that OpenCV does not read'


def _fault(path: str | None, error: Exception) -> str | None:
    """Describe what is wrong with an annotation file that raised an error."""
    fault = file_fault(path) if path else None
    if fault or not (isinstance(error, json.JSONDecodeError) and str(path).endswith('.json')):
        return fault
    return f'is not valid JSON (line {error.lineno}, column {error.colno}: {error.msg})'


def _is_cut_jpeg(path: str | Path) -> bool:
    """Return whether a file begins as a JPEG and lacks its end; a file that cannot be opened is not one."""
    try:
        with open(path, 'rb') as file:
            if file.read(3) != b'\xff\xd8\xff':
                return False
            file.seek(-2, 2)
            if file.read() == b'\xff\xd9':
                return False
            file.seek(0)
            data = file.read()
    except OSError:
        return False  # its reader reports the reason
    # Bytes may follow the end, and a thumbnail, which has an end of its own, lies in the segments before the scan.
    place = 2
    while data[place : place + 1] == b'\xff' and data[place + 1 : place + 2] not in (b'\xda', b''):
        place += 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
    return data.find(b'\xff\xd9', place) < 0
