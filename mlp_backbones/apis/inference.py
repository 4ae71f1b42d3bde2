"""From pictures and a trained network to drawn pictures and JSON."""

import errno
import glob
import json
import re
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
import torch
from mmcv.transforms import LoadAnnotations
from mmengine.config import Config
from mmengine.dataset import BaseDataset, Compose, pseudo_collate
from mmengine.registry import DATASETS, VISUALIZERS
from mmengine.structures import BaseDataElement
from pycocotools import mask as coco_mask
from rich.console import Console
from rich.progress import Progress

from ..checkpoints import load_trained
from ..engine.data import describe, file_fault
from ..errors import UserError, printable
from .config import build_model, check_device
from .nodes import dicts, type_name

# What OpenCV reads, by name: the files of a folder that are taken for pictures.
SUFFIXES = (
    *('.avif', '.bmp', '.dib', '.exr', '.gif', '.hdr', '.jp2', '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.pic'),
    *('.png', '.pnm', '.ppm', '.pxm', '.ras', '.sr', '.tif', '.tiff', '.webp'),
)
TOP = 5
# How OpenCV, torch and the C++ library word it.
_NO_MEMORY = re.compile('insufficient memory|failed to allocate|allocate memory|out of memory|bad_alloc', re.IGNORECASE)
_BROKEN = 'broken, or of a format that OpenCV does not read'


class BadPicture(Exception):
    """A picture that is skipped; the text says why."""


@dataclass(frozen=True)
class Picture:
    """A file that can be opened as a picture; what is in it, a pipeline or :meth:`decode` finds out."""

    path: Path

    def decode(self) -> np.ndarray:
        """Decodes any format of OpenCV as ``[H, W, 3]`` uint8, BGR, turned as its EXIF data say; alpha is dropped.

        Raises:
            BadPicture: if the file is not a picture, or needs more memory than there is.
        """
        with _explained(''), limited_memory():
            image = cv2.imdecode(np.frombuffer(self.path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise BadPicture(_BROKEN)
        return image


class Predictor:
    """A trained detector, segmentor or classifier, as a function of a picture.

    Args:
        config: of mmdet, mmseg or mmpretrain; its test pipeline loads and prepares the pictures, without its steps
            that load annotations.
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
        dataset = _test_dataset(config)
        if 'visualizer' not in config:
            raise UserError(f'{config.filename} has no visualizer, which draws: inherit from a default_runtime.py')
        self.score = score
        self.model = build_model(config)
        trained_on = (load_trained(self.model, checkpoint).get('meta') or {}).get('dataset_meta') or {}
        self.model.to(device).eval()
        self.steps = _steps(dataset.pipeline)
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
        classes = meta.get('classes')
        classes = [] if classes is None else [classes] if isinstance(classes, str) else list(classes)
        self.classes = [str(name) for name in classes]
        self.palette = _colours(meta.get('palette'))
        # Its backends would keep copies of the pictures.
        self.visualizer = VISUALIZERS.build(dict(config.visualizer, vis_backends=None))

    def __call__(self, picture: Picture | np.ndarray, name: str) -> tuple[dict, np.ndarray, np.ndarray | None]:
        """Runs the network on one picture.

        Args:
            picture: a file, which the config's own test pipeline loads; or an array ``[H, W, C]`` or ``[H, W]`` as
                the pipeline's loading step gives it, such as uint8, BGR.
            name: of the picture.

        Returns:
            What was found, as JSON takes it; the picture ``[H, W, 3]`` uint8, BGR, with it drawn; and the label map
            ``[H, W]`` of a segmentor, else None.

        Raises:
            UserError: if the network gives neither instances nor a label map nor classes.
            BadPicture: if the pipeline, the network or the drawing cannot take this picture.
        """
        with limited_memory():
            data, shown = self._prepare(picture, name)
            size = f'{shown.shape[1]}x{shown.shape[0]} pixels, '
            with _explained(f'{size}which the network cannot take'), torch.inference_mode():
                sample = self.model.test_step(pseudo_collate([data]))[0].cpu()
            with _explained(f'{size}which cannot be drawn'):
                return self._results(sample, shown, name)

    def _prepare(self, picture: Picture | np.ndarray, name: str) -> tuple[dict, np.ndarray]:
        """The data that the network takes, and the picture as it was loaded, fit to draw on."""
        data, steps, shown = dict(self.extra, img_id=0, sample_idx=0), self.steps, None
        if isinstance(picture, Picture):
            data['img_path'] = str(picture.path)
        else:
            shape = picture.shape[:2]
            data |= dict(img_path=name, img=picture, img_shape=shape, ori_shape=shape)
            steps, shown = steps[self.loader + 1 :], _displayable(picture)
        for i, step in enumerate(steps):
            size = '' if shown is None else f'{shown.shape[1]}x{shown.shape[0]} pixels, '
            what = f'{size}{type(step).__name__} of the test pipeline fails'
            if isinstance(picture, Picture) and i == self.loader and type(step).__name__ == 'LoadImageFromFile':
                what = _BROKEN
            with _explained(what):
                data = step(data)
                if data is None:
                    raise BadPicture(what)
                if shown is None and isinstance(data, dict) and 'img' in data:
                    shown = _displayable(data['img'])  # steps may change the picture in place
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
                f'{type(self.model).__name__} predicts {", ".join(sample.keys())}: pictures are drawn of detectors, '
                f'segmentors and classifiers'
            )
        rgb = np.ascontiguousarray(shown[..., ::-1])
        return found, self._draw(rgb, sample, max(found['labels'], default=0) + 1)[..., ::-1], labels

    def _draw(self, rgb: np.ndarray, sample: BaseDataElement, count: int) -> np.ndarray:
        """Draws a sample whose labels are below ``count``; classes without a name or colour get one."""
        count = max(count, len(self.classes))
        if isinstance(self.palette, str) and self.visualizer.__class__.__module__.startswith('mmdet.'):
            palette = self.palette  # mmdet knows names of palettes and colours
        else:
            known = [] if isinstance(self.palette, str) else self.palette
            palette = [*known, *np.random.RandomState(42).randint(0, 256, (count, 3)).tolist()[len(known) :]]
        classes = [self.name_of(label) for label in range(count)]
        self.visualizer.dataset_meta = dict(classes=classes, palette=palette)
        if 'pred_score' in sample:
            self.visualizer.visualize_cls(rgb, sample, classes, draw_gt=False)
            return self.visualizer.get_image()
        # The defaults of mmdet and mmseg are for photographs, and hide a small picture.
        self.visualizer.line_width = max(min(rgb.shape[:2]) / 200, 1)
        self.visualizer.alpha = 0.5
        options = dict(pred_score_thr=0.0) if 'pred_instances' in sample else dict(with_labels=False)
        self.visualizer.add_datasample('', rgb, sample, draw_gt=False, **options)
        return self.visualizer.get_image()

    def name_of(self, label: int) -> str:
        return self.classes[label] if label < len(self.classes) else f'class {label}'

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


def find_pictures(source: str, out: Path, suffixes: tuple[str, ...] = SUFFIXES) -> tuple[Path, list[Path]]:
    """The pictures that a user names: one, those of a folder and the folders in it, or those that match a pattern.

    Args:
        source: a file, a folder or a pattern such as ``'a/**/*.jpg'``.
        out: where results go; what lies below it is no input.
        suffixes: of the files of a folder that are taken for pictures; none: all. Default ``SUFFIXES``.

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
        found = (p for p in found if not p.name.startswith('.') and p.name.lower().endswith(suffixes or ''))
        nothing = f'{printable(source)} holds no picture, by the suffixes {" ".join(suffixes) or "(any)"}'
    else:
        fixed = re.split(r'[*?[]', source)[0]
        root, found = (
            Path(fixed) if fixed.endswith('/') else Path(fixed).parent,
            map(Path, glob.glob(source, recursive=True)),
        )
        nothing = f'{printable(source)} is no file, no folder, and no file matches it as a pattern'
    # A FIFO, a device or a broken link is skipped by name.
    found = sorted(p for p in found if not p.is_dir())
    pictures = [p for p in found if inside not in p.resolve().parents]
    if found and not pictures:
        raise UserError(f'all pictures lie below --out {out}: give another folder')
    if not pictures:
        raise UserError(f'{nothing}: give a picture, a folder of pictures, or a pattern in quotes')
    return root, pictures


def picture_suffixes(config: Config) -> tuple[str, ...]:
    """The suffixes of a config's pictures: those of OpenCV, or where a step of another name than LoadImageFromFile
    loads, the ``img_suffix`` of its data set, or any (an empty tuple).

    Raises:
        UserError: if the config has no test pipeline.
    """
    dataset = _test_dataset(config)
    own = dataset.get('img_suffix')
    own = (own.lower(),) if isinstance(own, str) and own else ()
    is_common = any(type_name(step) == 'LoadImageFromFile' for step in dataset.pipeline)
    return (*SUFFIXES, *own) if is_common else own


def read_picture(path: Path) -> Picture:
    """Checks that a file can be opened as a picture, without decoding it.

    Raises:
        BadPicture: if it is missing, empty, cut short (JPEG), or not a regular file.
    """
    fault = file_fault(path)
    if fault:
        raise BadPicture(fault)
    return Picture(Path(path))


@contextmanager
def limited_memory() -> Iterator[None]:
    """Makes an allocation fail that needs more memory than is free, instead of the system ending the process.

    It does so on Linux only. The heap of the process is counted, not the memory of a GPU.
    """
    if sys.platform != 'linux':
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = psutil.Process().memory_info().data + available_memory()
    for other in (soft, hard):
        limit = limit if other == resource.RLIM_INFINITY else min(limit, other)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def available_memory(cgroups: Path = Path('/sys/fs/cgroup')) -> int:
    """Bytes of memory that are free for this process: those of the machine, or of its container where that has less."""
    free = psutil.virtual_memory().available
    # Of cgroups 2 and 1; the files that are only cached can go.
    for folder, limit, used, cached in (
        (cgroups, 'memory.max', 'memory.current', 'inactive_file'),
        (cgroups / 'memory', 'memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'),
    ):
        try:
            number = (folder / limit).read_text().strip()
            if number == 'max':
                continue
            values = dict(line.split() for line in (folder / 'memory.stat').read_text().splitlines())
            free = min(free, int(number) - int((folder / used).read_text()) + int(values.get(cached, 0)))
        except FileNotFoundError:
            continue  # no group of this version
    return max(free, 0)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Raises what goes wrong inside as BadPicture: for lack of memory, or ``what`` and the reason."""
    try:
        yield
    except (BadPicture, UserError):
        raise
    except Exception as error:
        text = f'{type(error).__name__} {error}'
        if isinstance(error, MemoryError) or _NO_MEMORY.search(text):
            free = available_memory() / 2**30
            raise BadPicture(f'it needs more memory than there is ({free:.1f} GiB are free)') from error
        if 'CV_IO_MAX_IMAGE' in text:
            raise BadPicture('it has more pixels than OpenCV opens (OPENCV_IO_MAX_IMAGE_PIXELS)') from error
        if isinstance(error, OSError) and error.errno:
            raise BadPicture(f'cannot be read ({error.strerror})') from error
        raise BadPicture(f'{what} ({describe(error)})' if what else describe(error)) from error


def _test_dataset(config: Config) -> dict:
    dataset = next((node for node in dicts(config.get('test_dataloader')) if 'pipeline' in node), None)
    if dataset is None:
        raise UserError(f'{config.filename} has no test_dataloader with a pipeline, which prepares the pictures')
    return dataset


def _steps(pipeline: list[dict]) -> list[Callable[[dict], dict | None]]:
    """The steps of a test pipeline for files of this machine, which have no annotations."""
    # The files of the data set may lie in other storage.
    storage = ('backend_args', 'file_client_args')
    pipeline = [{key: value for key, value in step.items() if key not in storage} for step in pipeline]
    steps = Compose(step for step in pipeline if not re.match('Load.*Annotation', type_name(step))).transforms
    return [step for step in steps if not isinstance(step, LoadAnnotations)]


def _colours(palette: object) -> list[list[int]] | str:
    """A palette as a list of RGB from 0 to 255; a name stays one."""
    if palette is None or isinstance(palette, str):
        return palette or 'random'
    try:
        colours = np.asarray(palette, float)
        colours = colours[None] if colours.ndim == 1 and colours.size else colours
        if colours.size and (colours.ndim != 2 or colours.shape[1] != 3 or not np.isfinite(colours).all()):
            raise ValueError('not three numbers for each class')
    except (TypeError, ValueError) as error:
        raise UserError(
            f'palette={printable(palette)} is not valid ({describe(error)}): give red, green and blue, 0 to 255, for '
            f'each class in metainfo'
        ) from error
    return colours.clip(0, 255).astype(int).tolist()


def _displayable(image: np.ndarray) -> np.ndarray:
    """A loaded picture ``[H, W]`` or ``[H, W, C]`` of any type as a new ``[H, W, 3]`` uint8.

    Of more than three channels the first three are shown, of fewer the first one. Values from 0 to 255 stay, those
    from 0 to 1 are scaled by 255, and others, such as those of 16 bits, from the smallest to the largest.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise BadPicture(f'an array of shape {image.shape} was loaded, which is no picture: [H, W] or [H, W, C] is one')
    image = image[..., None] if image.ndim == 2 else image
    image = image[..., :3] if image.shape[2] >= 3 else image[..., :1]
    if image.dtype != np.uint8:
        image = np.nan_to_num(image.astype(np.float32), posinf=0, neginf=0)
        low, high = float(image.min()), float(image.max())
        if low >= 0 and high <= 1:
            image = image * 255
        elif low < 0 or high > 255:
            image = (image - low) * (255 / (high - low or 1))
        image = image.round().astype(np.uint8)
    return np.broadcast_to(image, (*image.shape[:2], 3)).copy()


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
                files = _encode(targets[path], path, found, drawn, labels)
                for file, data in files.items():
                    _write(file, data)
            except BadPicture as error:
                skipped.append(path)
                line = f'skipped {printable(path, 4096)}: {error}'
                progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
            except OSError as error:
                raise UserError(
                    f'cannot write to {printable(out)} ({error}): give a folder that you may write to'
                ) from error
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


def _encode(target: Path, path: Path, found: dict, drawn: np.ndarray, labels: np.ndarray | None) -> dict[Path, bytes]:
    images = {target: drawn}
    if labels is not None:
        images[_beside(target, path, '.labels.png')] = labels
    with _explained('its results cannot be encoded'), limited_memory():
        files = {file: cv2.imencode(file.suffix.lower(), image)[1].tobytes() for file, image in images.items()}
        files[_beside(target, path, '.json')] = json.dumps(found, allow_nan=False).encode()
    return files


def _write(target: Path, data: bytes) -> None:
    """Writes a file whole or not at all, without waiting for the disk: results can be had again."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if target.is_symlink() or (target.exists() and not target.is_file()):
            raise UserError(f'cannot write {printable(target)}: it is a link, folder, device or FIFO; remove it')
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise BadPicture('its name is too long for those of the results') from error
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
