"""Predict on images, and write the drawn images and JSON."""

import errno
import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from mmcv.transforms import LoadAnnotations
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose, pseudo_collate
from mmengine.registry import DATASETS
from mmengine.structures import BaseDataElement
from pycocotools import mask as coco_mask
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from ..checkpoints import load_trained
from ..drawing import Drawing, displayable
from ..engine.nodes import type_name
from ..errors import UserError, printable
from ..files import writing
from .config import build_model, check_device
from .exported import ExportedModel
from .images import (
    BROKEN,
    BadImage,
    ImageFile,
    find_images,
    image_dataset,
    image_suffixes,
    read_image,
    skipping,
)
from .memory import limited_memory

__all__ = ['BadImage', 'ImageFile', 'Predictor', 'find_images', 'image_suffixes', 'infer', 'read_image']
TOP = 5


class Predictor:
    """A trained detector, segmentor or classifier, as a function of an image.

    Args:
        config: of mmdet, mmseg or mmpretrain; its test pipeline loads and prepares the images, without its steps
            that load annotations.
        checkpoint: a file that tools/train.py wrote, with the whole model; read safely. Of an exported file: None.
        score: boxes below this score are left out, from 0 to 1. Default 0.3.
        device: as torch names it. Default 'cpu'.
        exported: the engine, and the file that tools/export.py wrote, which predicts in place of a checkpoint; boxes
            below the score threshold of the config are not in it. Default None.

    Raises:
        CheckpointError: if the checkpoint cannot be read or is not of this model.
        UserError: if the device or the score is not valid, or the config has no test pipeline.
    """

    def __init__(
        self,
        config: Config,
        checkpoint: str | None,
        score: float = 0.3,
        device: str = 'cpu',
        exported: tuple[str, Path] | None = None,
    ):
        if not 0 <= score <= 1:
            raise UserError(f'score={score} is not valid: give a number from 0 to 1')
        check_device(device)
        dataset = image_dataset(config)
        self.score = score
        if (checkpoint is None) == (exported is None):
            raise UserError('weights are of a checkpoint or of an exported file: give one of them')
        if exported and device != 'cpu':
            raise UserError(f'device={device!r}: {exported[0]} runs exported files on the CPU; leave it out')
        model, trained_on = build_model(config), {}
        if checkpoint is not None:
            trained_on = (load_trained(model, checkpoint).get('meta') or {}).get('dataset_meta') or {}
            model.to(device)
        model.eval()
        self.model = ExportedModel(model, *exported) if exported else model
        self.steps = pipeline_steps(dataset.pipeline)
        # The leading step loads, where none is named so.
        names = [type(step).__name__ for step in self.steps]
        self.loader = next((i for i, name in enumerate(names) if name.startswith('LoadImage')), 0)
        # What mmseg's data sets give beside the path.
        self.extra = dict(reduce_zero_label=bool(dataset.get('reduce_zero_label')), seg_fields=[])
        # A string in metainfo is the name of a file with a line for each class; `classes` is mmpretrain's.
        given = BaseDataset._load_metainfo(
            {key: dataset[key] for key in ('classes',) if dataset.get(key)} | dict(dataset.get('metainfo') or {})
        )
        meta = {**getattr(DATASETS.get(type_name(dataset)), 'METAINFO', {}), **trained_on, **given}
        self.draw = Drawing(meta)

    def __call__(self, image: ImageFile | np.ndarray, name: str) -> tuple[dict, np.ndarray, np.ndarray | None]:
        """Run the network on one image.

        Args:
            image: a file, which the config's own test pipeline loads; or an array ``[H, W, C]`` or ``[H, W]`` as
                the pipeline's loading step gives it, such as uint8, BGR.
            name: of the image.

        Returns:
            The predictions as JSON takes them; the picture of them, uint8, BGR, whose size is that of
            :class:`mlp_backbones.drawing.Drawing`; and the label map ``[H, W]`` of a segmentor, else None.

        Raises:
            UserError: if the network gives neither instances nor a label map nor classes.
            BadImage: if the pipeline, the network or the drawing cannot take this image.
        """
        with limited_memory():
            data, shown = self._prepare(image, name)
            size = f'{shown.shape[1]}x{shown.shape[0]} pixels, '
            with skipping(f'{size}which the network cannot take'), torch.inference_mode():
                sample = self.model.test_step(pseudo_collate([data]))[0].cpu()
            with skipping(f'{size}which cannot be drawn'):
                return self._results(sample, shown, name)

    def _prepare(self, image: ImageFile | np.ndarray, name: str) -> tuple[dict, np.ndarray]:
        """Return the input of the network, and the loaded image to draw on."""
        data, steps, shown = dict(self.extra, img_id=0, sample_idx=0), self.steps, None
        if isinstance(image, ImageFile):
            data['img_path'] = str(image.path)
        else:
            shape = image.shape[:2]
            data |= dict(img_path=name, img=image, img_shape=shape, ori_shape=shape)
            steps = steps[self.loader + 1 :]
            with skipping(''):
                shown = displayable(image)
        for i, step in enumerate(steps):
            size = '' if shown is None else f'{shown.shape[1]}x{shown.shape[0]} pixels, '
            what = f'{size}{type(step).__name__} of the test pipeline fails'
            if isinstance(image, ImageFile) and i == self.loader and type(step).__name__ == 'LoadImageFromFile':
                what = BROKEN
            with skipping(what):
                data = step(data)
                if data is None:
                    raise BadImage(what)
                if shown is None and isinstance(data, dict) and 'img' in data:
                    shown = displayable(data['img'])  # steps may change the image in place
        if shown is None:
            raise UserError('the test pipeline gives no `img`, which is what it loads and what is drawn on')
        return data, shown

    def _results(self, sample: BaseDataElement, shown: np.ndarray, name: str) -> tuple:
        # Boxes and label maps have the size that the loading step calls the original one.
        height, width = sample.metainfo.get('ori_shape', shown.shape)[:2]
        if shown.shape[:2] != (height, width):
            shown = cv2.resize(shown, (width, height))
        found, labels = dict(picture=name, width=width, height=height), None
        if 'pred_instances' in sample:
            instances = sample.pred_instances
            instances = instances[instances.scores >= self.score]
            sample.pred_instances = instances = instances[instances.scores.argsort(descending=True, stable=True)]
            found |= self._instances(instances)
        elif 'pred_sem_seg' in sample:
            labels = sample.pred_sem_seg.data[0].numpy()
            labels = labels.astype(np.uint8 if labels.max() < 256 else np.uint16)
            found |= self._shares(labels)
        elif 'pred_score' in sample:
            found |= self._ranking(sample)
        else:
            raise UserError(
                f'{type(self.model).__name__} predicts {", ".join(sample.keys())}: images are drawn of detectors, '
                f'segmentors and classifiers'
            )
        rgb = np.ascontiguousarray(shown[..., ::-1])
        return found, self.draw(rgb, sample)[..., ::-1], labels

    def _instances(self, instances: BaseDataElement) -> dict:
        labels = instances.labels.tolist()
        found = dict(
            boxes=instances.bboxes.tolist(),
            scores=instances.scores.tolist(),
            labels=labels,
            classes=[self.draw.name_of(label) for label in labels],
        )
        if 'masks' in instances:
            found['masks'] = [_rle(mask) for mask in instances.masks.numpy()]
        return found

    def _shares(self, labels: np.ndarray) -> dict:
        numbers, counts = np.unique(labels, return_counts=True)
        order = np.argsort(-counts, kind='stable')
        return dict(
            labels=numbers[order].tolist(),
            classes=[self.draw.name_of(label) for label in numbers[order].tolist()],
            shares=(counts[order] / labels.size).tolist(),
        )

    def _ranking(self, sample: BaseDataElement) -> dict:
        scores, labels = sample.pred_score.topk(min(TOP, len(sample.pred_score)))
        classes = [self.draw.name_of(label) for label in labels.tolist()]
        return dict(labels=labels.tolist(), classes=classes, scores=scores.tolist())


def pipeline_steps(pipeline: list[dict]) -> list[Callable[[dict], dict | None]]:
    """Build the steps of a test pipeline for local files without annotations."""
    # The files of the data set may lie in other storage.
    storage = ('backend_args', 'file_client_args')
    pipeline = [{key: value for key, value in step.items() if key not in storage} for step in pipeline]
    steps = Compose(step for step in pipeline if not re.match('Load.*Annotation', type_name(step))).transforms
    return [step for step in steps if not isinstance(step, LoadAnnotations)]


def infer(predictor: Predictor, root: Path, images: list[Path], out: Path, console: Console) -> list[Path]:
    """Write the predictions for every ``a/b.jpg`` below ``root`` and return the images that were skipped.

    The files are ``a/b.jpg``, the drawing; ``a/b.jpg.json``; and for a segmentor ``a/b.jpg.labels.png``. Images of
    other formats than JPEG and PNG are drawn as ``b.tif.png``.

    Args:
        predictor: runs the network.
        root: the folder that the images lie below.
        images: their paths.
        out: a folder, created if it is missing.
        console: shows progress, and names images that cannot be read or written.

    Raises:
        UserError: if the folder cannot be written, or results would overwrite an image or each other.
    """
    targets = _targets(root, images, out)
    skipped = []
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        for path in progress.track(images, description='images'):
            try:
                with writing(out):
                    found, drawn, labels = predictor(read_image(path), str(path.relative_to(root)))
                    for file, data in _encode(targets[path], path, found, drawn, labels).items():
                        _write(file, data)
            except BadImage as error:
                skipped.append(path)
                line = f'skipped {printable(path, 4096)}: {error}'
                progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
    return skipped


def _targets(root: Path, images: list[Path], out: Path) -> dict[Path, Path]:
    targets: dict[Path, Path] = {}
    for path in images:
        target = out / path.relative_to(root)
        if target.suffix.lower() not in ('.jpg', '.jpeg', '.png'):
            target = target.with_name(f'{target.name}.png')
        targets[path] = target
    inputs = {path.resolve() for path in images}
    taken: dict[Path, Path] = {}
    for path, target in targets.items():
        for file in (target, _beside(target, path, '.labels.png')):
            other = taken.setdefault(file, path)
            if other != path:
                raise UserError(f'{other} and {path} would both be drawn as {file}: rename one')
        if target.resolve() in inputs:
            raise UserError(f'{target} would be drawn over: give an --out that holds none of the images')
    return targets


def _beside(target: Path, path: Path, suffix: str) -> Path:
    return target.with_name(path.name + suffix)


def _encode(target: Path, path: Path, found: dict, drawn: np.ndarray, labels: np.ndarray | None) -> dict[Path, bytes]:
    images = {target: drawn}
    if labels is not None:
        images[_beside(target, path, '.labels.png')] = labels
    with skipping('its results cannot be encoded'), limited_memory():
        files = {file: cv2.imencode(file.suffix.lower(), image)[1].tobytes() for file, image in images.items()}
        files[_beside(target, path, '.json')] = json.dumps(found, allow_nan=False).encode()
    return files


def _write(target: Path, data: bytes) -> None:
    """Write a file whole or not at all, without waiting for the disk: results can be had again."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if target.is_symlink() or (target.exists() and not target.is_file()):
            raise UserError(f'cannot write {printable(target)}: it is a link, folder, device or FIFO; remove it')
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise BadImage('its name is too long for those of the results') from error
        raise
    partial = target.with_name(f'.{target.name[:50]}.partial')
    partial.unlink(missing_ok=True)
    try:
        with partial.open('xb') as file:
            file.write(data)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _rle(mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=rle['size'], counts=rle['counts'].decode())
