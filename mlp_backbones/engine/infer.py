"""From pictures and a trained network to drawn pictures and JSON."""

import glob
import json
import re
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DATASETS, MODELS, VISUALIZERS, init_default_scope
from mmengine.structures import BaseDataElement
from pycocotools import mask as coco_mask
from rich.console import Console
from rich.progress import Progress

from ..checkpoints import load_trained
from .config import UserError, _dicts, _name, _revert_sync_batchnorm, check_device, model_config

# What OpenCV reads, by name: the files of a folder that are taken for pictures.
SUFFIXES = (
    *('.avif', '.bmp', '.dib', '.exr', '.gif', '.hdr', '.jp2', '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.pic'),
    *('.png', '.pnm', '.ppm', '.pxm', '.ras', '.sr', '.tif', '.tiff', '.webp'),
)
TOP = 5


class BadPicture(Exception):
    """A picture that is skipped; the text says why."""


class Predictor:
    """A trained detector, segmentor or classifier, as a function of a picture.

    Args:
        config: of mmdet, mmseg or mmpretrain; its test pipeline prepares the pictures.
        checkpoint: a file that tools/train.py wrote, with the whole model; read safely.
        score: boxes below this score are left out, from 0 to 1. Default 0.3.
        device: as torch names it. Default 'cpu'.

    Raises:
        CheckpointError: if the checkpoint cannot be read or is not of this model.
        UserError: if the device or the score is not valid, or the config has no test pipeline.
    """

    def __init__(self, config: Config, checkpoint: str, score: float = 0.3, device: str = 'cpu'):
        if not 0 <= score <= 1:
            raise UserError(f'score={score} is not valid: give a number from 0 to 1')
        check_device(device)
        dataset = next((node for node in _dicts(config.get('test_dataloader')) if 'pipeline' in node), None)
        if dataset is None:
            raise UserError(f'{config.filename} has no test_dataloader with a pipeline, which prepares the pictures')
        if 'visualizer' not in config:
            raise UserError(f'{config.filename} has no visualizer, which draws: inherit from a default_runtime.py')
        self.score = score
        init_default_scope(config.get('default_scope', 'mmengine'))
        _revert_sync_batchnorm(config)
        self.model = MODELS.build(model_config(config))
        trained_on = load_trained(self.model, checkpoint).get('meta', {}).get('dataset_meta') or {}
        self.model.to(device).eval()
        # The picture comes from us, and has no annotations.
        steps = [step for step in dataset.pipeline if not _name(step).startswith(('LoadImage', 'LoadAnnotations'))]
        self.pipeline = Compose(steps)
        meta = {**getattr(DATASETS.get(_name(dataset)), 'METAINFO', {}), **trained_on, **dataset.get('metainfo', {})}
        self.classes = meta.get('classes')
        # Its backends would keep copies of the pictures.
        self.visualizer = VISUALIZERS.build(dict(config.visualizer, vis_backends=None))
        self.visualizer.dataset_meta = dict(meta, palette=meta.get('palette') or 'random')

    def __call__(self, image: np.ndarray, name: str) -> tuple[dict, np.ndarray, np.ndarray | None]:
        """Runs the network on one picture.

        Args:
            image: ``[H, W, 3]`` uint8, BGR.
            name: of the picture.

        Returns:
            What was found, as JSON takes it; the picture ``[H, W, 3]`` uint8, BGR, with it drawn; and the label map
            ``[H, W]`` of a segmentor, else None.

        Raises:
            UserError: if the network gives neither instances nor a label map nor classes.
            BadPicture: if the pipeline cannot prepare this picture.
        """
        height, width = image.shape[:2]
        try:
            data = self.pipeline(
                dict(img=image, img_path=name, img_id=0, img_shape=image.shape[:2], ori_shape=image.shape[:2])
            )
        except cv2.error as error:
            raise BadPicture(f'{width}x{height} pixels, which the test pipeline cannot resize') from error
        with torch.inference_mode():
            sample = self.model.test_step(pseudo_collate([data]))[0].cpu()
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
                f'{type(self.model).__name__} predicts {", ".join(sample.keys())}: pictures are drawn of detectors, '
                f'segmentors and classifiers'
            )
        return found, self._draw(np.ascontiguousarray(image[..., ::-1]), sample)[..., ::-1], labels

    def _draw(self, rgb: np.ndarray, sample: BaseDataElement) -> np.ndarray:
        if 'pred_score' in sample:
            self.visualizer.visualize_cls(rgb, sample, self.classes, draw_gt=False)
            return self.visualizer.get_image()
        # The defaults of mmdet and mmseg are for photographs, and hide a small picture.
        self.visualizer.line_width = max(min(rgb.shape[:2]) / 200, 1)
        self.visualizer.alpha = 0.5
        options = dict(pred_score_thr=0.0) if 'pred_instances' in sample else dict(with_labels=False)
        self.visualizer.add_datasample('', rgb, sample, draw_gt=False, **options)
        return self.visualizer.get_image()

    def name_of(self, label: int) -> str:
        return str(self.classes[label]) if self.classes and label < len(self.classes) else f'class {label}'

    def _instances(self, instances: BaseDataElement) -> dict:
        labels = instances.labels.tolist()
        found = dict(
            boxes=instances.bboxes.tolist(),
            scores=instances.scores.tolist(),
            labels=labels,
            classes=[self.name_of(label) for label in labels],
        )
        if 'masks' in instances:
            found['masks'] = [_rle(mask) for mask in instances.masks.numpy()]
        return found

    def _shares(self, labels: np.ndarray) -> dict:
        numbers, counts = np.unique(labels, return_counts=True)
        order = np.argsort(-counts, kind='stable')
        return dict(
            labels=numbers[order].tolist(),
            classes=[self.name_of(label) for label in numbers[order].tolist()],
            shares=(counts[order] / labels.size).tolist(),
        )

    def _ranking(self, sample: BaseDataElement) -> dict:
        scores, labels = sample.pred_score.topk(min(TOP, len(sample.pred_score)))
        classes = [self.name_of(label) for label in labels.tolist()]
        return dict(labels=labels.tolist(), classes=classes, scores=scores.tolist())


def find_pictures(source: str, out: Path) -> tuple[Path, list[Path]]:
    """The pictures that a user names: one, those of a folder and the folders in it, or those that match a pattern.

    Args:
        source: a file, a folder or a pattern such as ``'a/**/*.jpg'``.
        out: where results go; what lies below it is no input.

    Returns:
        The folder that the pictures lie below, and the pictures in order.

    Raises:
        UserError: if there is none, or none outside of ``out``.
    """
    path, inside = Path(source), out.resolve()
    if path.is_file():
        return path.parent, [path]
    if path.is_dir():
        root, found = path, path.rglob('*')
        found = (p for p in found if p.suffix.lower() in SUFFIXES and not p.name.startswith('.'))
        nothing = f'{source} holds no picture, by the suffixes {" ".join(SUFFIXES)}'
    else:
        fixed = re.split(r'[*?[]', source)[0]
        root, found = (
            Path(fixed) if fixed.endswith('/') else Path(fixed).parent,
            map(Path, glob.glob(source, recursive=True)),
        )
        nothing = f'{source} is no file, no folder, and no file matches it as a pattern'
    found = sorted(p for p in found if p.is_file())
    pictures = [p for p in found if inside not in p.resolve().parents]
    if found and not pictures:
        raise UserError(f'all pictures lie below --out {out}: give another folder')
    if not pictures:
        raise UserError(f'{nothing}: give a picture, a folder of pictures, or a pattern in quotes')
    return root, pictures


def read_picture(path: Path) -> np.ndarray:
    """Reads any format of OpenCV as ``[H, W, 3]`` uint8, BGR, turned as its EXIF data say; alpha is dropped.

    Raises:
        BadPicture: if the file is not a picture.
    """
    broken = 'broken, or of a format that OpenCV does not read'
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except OSError as error:
        raise BadPicture(f'cannot be read ({error.strerror})') from error
    except cv2.error as error:
        raise BadPicture(broken) from error
    if image is None:
        raise BadPicture(broken)
    return image


def infer(predictor: Predictor, root: Path, pictures: list[Path], out: Path, console: Console) -> list[Path]:
    """Writes for every ``a/b.jpg`` below ``root``: ``a/b.jpg`` with what was found drawn on it, ``a/b.jpg.json``, and
    for a segmentor ``a/b.jpg.labels.png``.

    Pictures of other formats than JPEG and PNG are drawn as ``b.tif.png``.

    Args:
        predictor: runs the network.
        root: the folder that the pictures lie below.
        pictures: their paths.
        out: a folder, made where it is missing.
        console: shows progress, and names pictures that cannot be read or written.

    Returns:
        The pictures that were skipped.

    Raises:
        UserError: if the folder cannot be written, or results would overwrite a picture or each other.
    """
    targets = _targets(root, pictures, out)
    skipped = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        for path in progress.track(pictures, description='pictures'):
            try:
                found, drawn, labels = predictor(read_picture(path), str(path.relative_to(root)))
            except BadPicture as error:
                skipped.append(path)
                progress.console.print(f'skipped {path}: {error}', markup=False, highlight=False, soft_wrap=True)
                continue
            target = targets[path]
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                _write_picture(target, drawn)
                if labels is not None:
                    _write_picture(_beside(target, path, '.labels.png'), labels)
                _beside(target, path, '.json').write_text(json.dumps(found))
            except OSError as error:
                raise UserError(f'cannot write to {out} ({error}): give a folder that you may write to') from error
    return skipped


def _targets(root: Path, pictures: list[Path], out: Path) -> dict[Path, Path]:
    targets: dict[Path, Path] = {}
    for path in pictures:
        target = out / path.relative_to(root)
        if target.suffix.lower() not in ('.jpg', '.jpeg', '.png'):
            target = target.with_name(f'{target.name}.png')
        targets[path] = target
    inputs = {path.resolve() for path in pictures}
    taken: dict[Path, Path] = {}
    for path, target in targets.items():
        for file in (target, _beside(target, path, '.labels.png')):
            other = taken.setdefault(file, path)
            if other != path:
                raise UserError(f'{other} and {path} would both be drawn as {file}: rename one')
        if target.resolve() in inputs:
            raise UserError(f'{target} would be drawn over: give an --out that holds none of the pictures')
    return targets


def _beside(target: Path, path: Path, suffix: str) -> Path:
    return target.with_name(path.name + suffix)


def _write_picture(path: Path, image: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())


def _rle(mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=rle['size'], counts=rle['counts'].decode())
