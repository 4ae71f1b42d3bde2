"""Draw the predictions of a test beside the truth, and sheets of the worst ones."""

import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from mmengine.dist import all_gather_object, is_main_process
from mmengine.fileio import get
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, InstanceData

from ...drawing import Drawing, contact_sheet, displayable, pair
from ...drawing.sample import KINDS, boxes_of, label_map
from ...drawing.text import percent, text_size
from ...errors import UserError
from ...files import write_text
from ...registry import HOOKS

PAIRS, COLUMNS, SHEETS = 12, 3, 5
CELL = 320  # pixels of the longer side
METRICS = dict(instances='F1', sem_seg='mean IoU', score='score of the true class')


@dataclass(frozen=True, order=True)
class Cell:
    """An image of a sheet, ordered so that a heap drops the best one."""

    goodness: float
    name: str
    labels: tuple[int, ...]
    png: bytes


@HOOKS.register_module()
class ContactSheetHook(Hook):
    """Draw each image of a test with its truth beside its prediction, and sheets of the worst ones.

    The folder gets a picture for each image; ``worst_1.png`` to at most ``worst_5.png``, with 12 images each; and
    ``scores.json`` with the score of each image, the worst one first. The score of an image is

    - of a detector, F1 of its boxes: one counts as found if an unused truth of its class has an IoU of at least 0.5;
    - of a segmentor, the mean IoU of the classes of its truth and its prediction;
    - of a classifier, the score of the true class.

    Args:
        out_dir: folder for the files.
        score_thr: boxes below this score are not drawn and not counted. Default 0.3.
        backend_args: of the files, as the data set has them. Default None.

    Raises:
        UserError: in the test, if the model predicts neither instances, label maps nor classes.
    """

    def __init__(self, out_dir: str, score_thr: float = 0.3, backend_args: dict | None = None):
        self.out = Path(out_dir)
        self.score_thr = score_thr
        self.backend_args = backend_args
        self.scores: dict[str, float | None] = {}
        self.worst: list[Cell] = []
        self.metric = ''

    def before_test(self, runner: Runner) -> None:
        dataset = runner.test_dataloader.dataset
        self.drawing = Drawing(getattr(dataset, 'metainfo', {}))
        prefixes = getattr(dataset, 'data_prefix', None) or {}
        self.folders = [Path(folder) for folder in prefixes.values() if isinstance(folder, str) and folder]
        names = [type(step).__name__ for step in getattr(getattr(dataset, 'pipeline', None), 'transforms', ())]
        loading = next((i for i, name in enumerate(names) if name.startswith('Load') and 'Annotation' in name), -1)
        # Boxes that were loaded before a resize have its size, others that of the file.
        self.is_truth_resized = loading >= 0 and any('Resize' in name for name in names[loading:])

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: Sequence = ()) -> None:
        for i, sample in enumerate(outputs):
            sample = sample.cpu()
            rgb = self._image(sample, data_batch, i)
            name = self._name(sample, f'{batch_idx}_{i}.png')
            self._prepare(sample)
            score = self.scores[name] = self._score(sample, rgb.shape[:2])
            title = self._title(name, sample, score)
            self._write(self.out / name, self._pair(rgb, sample, title))
            # Without a truth the sheets show the first images.
            cell = Cell(-score if score is not None else -len(self.scores), name, (), b'')
            if len(self.worst) < PAIRS * SHEETS or cell > self.worst[0]:
                size = max(11, text_size(CELL, CELL))
                drawn = self._pair(rgb, sample, title, CELL, size)
                labels = self._labels(sample, rgb.shape[:2])
                cell = Cell(cell.goodness, name, labels, cv2.imencode('.png', drawn[..., ::-1])[1].tobytes())
                (heapq.heappush if len(self.worst) < PAIRS * SHEETS else heapq.heapreplace)(self.worst, cell)

    def after_test_epoch(self, runner: Runner, metrics=None) -> None:
        gathered = all_gather_object((self.scores, self.worst))
        if not is_main_process():
            return
        # A sampler gives several processes the same image to make their shares equal.
        scores = {name: score for part, _ in gathered for name, score in part.items()}
        cells = {cell.name: cell for _, part in gathered for cell in part}.values()
        cells = sorted(cells, key=lambda cell: (-cell.goodness, cell.name))[: PAIRS * SHEETS]
        for first in range(0, len(cells), PAIRS):
            part = cells[first : first + PAIRS]
            size = 16
            pictures = [cv2.imdecode(np.frombuffer(c.png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for c in part]
            title = f'images {first + 1} to {first + len(part)} of {len(scores)}'
            title += f', worst first by {self.metric}' if self.metric else ''
            columns = COLUMNS if any(p.shape[1] > 1.5 * CELL for p in pictures) else 2 * COLUMNS  # pairs or not
            width = min(columns, len(part)) * (max(p.shape[1] for p in pictures) + size) + size
            labels = sorted({label for cell in part for label in cell.labels})
            below = [self.drawing.legend(labels, width, size)] if labels else []
            sheet = contact_sheet(pictures, columns, title, size, *below)
            self._write(self.out / f'worst_{first // PAIRS + 1}.png', sheet)
        for number in range(-(-len(cells) // PAIRS) + 1, SHEETS + 1):  # of an earlier test with more images
            (self.out / f'worst_{number}.png').unlink(missing_ok=True)
        ranked = sorted(scores, key=lambda name: (scores[name] is not None, scores[name], name))
        text = json.dumps([dict(image=name, score=scores[name]) for name in ranked], indent=1)
        write_text(self.out / 'scores.json', text)
        runner.logger.info(f'{len(scores)} pictures in {self.out}; worst_1.png shows the worst of them')

    def _image(self, sample: BaseDataElement, data_batch: dict, number: int) -> np.ndarray:
        """The image that boxes and label maps belong to, RGB: that of the file, or else of the network."""
        path, image = sample.get('img_path'), None
        if path:
            # Turned by its EXIF data, as mmcv does.
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
            image = cv2.imdecode(np.frombuffer(get(path, self.backend_args), np.uint8), flags)
        if image is None:
            image = data_batch['inputs'][number].permute(1, 2, 0).cpu().numpy()
        image = displayable(image)
        height, width = sample.get('ori_shape', image.shape)[:2]
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height))
        return np.ascontiguousarray(image[..., ::-1])

    def _name(self, sample: BaseDataElement, otherwise: str) -> str:
        path = Path(sample.get('img_path') or otherwise)
        inside = next((path.relative_to(folder) for folder in self.folders if folder in path.parents), None)
        name = inside or Path(path.name)
        return str(name if name.suffix.lower() in ('.jpg', '.jpeg', '.png') else name.with_name(f'{name.name}.png'))

    def _prepare(self, sample: BaseDataElement) -> None:
        """Leave out weak boxes, and bring boxes of the truth to the size of the file."""
        if 'pred_instances' in sample:
            found = sample.pred_instances
            sample.pred_instances = found[found.scores >= self.score_thr]
        if 'gt_instances' in sample:
            truth = sample.gt_instances
            boxes = boxes_of(truth)
            if self.is_truth_resized and 'scale_factor' in sample:
                boxes = boxes / np.tile(sample.scale_factor, 2)[:4]
            truth.bboxes = boxes

    def _title(self, name: str, sample: BaseDataElement, score: float | None) -> str:
        if score is None:
            return name
        if self.metric == METRICS['score']:
            names = ', '.join(map(self.drawing.name_of, sample.gt_label.tolist()))
            return f'{name}   truth: {names} {percent(score)}'
        return f'{name}   {self.metric} {percent(score)}'

    def _pair(self, rgb: np.ndarray, sample: BaseDataElement, title: str, side: int | None = None, size=None):
        has_truth = any(f'gt_{kind}' in sample for kind in KINDS if kind != 'label')
        drawn = [
            self.drawing(rgb, sample, side, of, with_legend=side is None or 'pred_score' in sample)
            if of == 'pred' or has_truth
            else None
            for of in ('gt', 'pred')
        ]
        return pair(*drawn, title, size)

    def _score(self, sample: BaseDataElement, shape: tuple[int, int]) -> float | None:
        kind = next((kind for kind in METRICS if f'pred_{kind}' in sample), None)
        score = None
        if kind == 'instances' and 'gt_instances' in sample:
            score = f1(sample.gt_instances, sample.pred_instances)
        elif kind == 'sem_seg' and 'gt_sem_seg' in sample:
            score = mean_iou(*(label_map(sample, of, 'sem_seg', shape)[0] for of in ('gt', 'pred')))
        elif kind == 'score' and 'gt_label' in sample:
            score = float(sample.pred_score[sample.gt_label].max())
        self.metric = METRICS[kind] if score is not None else self.metric
        return score

    def _labels(self, sample: BaseDataElement, shape: tuple[int, int]) -> tuple[int, ...]:
        kinds = [
            (of, kind) for of in ('gt', 'pred') for kind in ('sem_seg', 'panoptic_seg') if f'{of}_{kind}' in sample
        ]
        maps = [label_map(sample, of, kind, shape)[0] for of, kind in kinds]
        return tuple(sorted({label for labels in maps for label in np.unique(labels[labels >= 0]).tolist()}))

    @staticmethod
    def _write(file: Path, rgb: np.ndarray) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            file.write_bytes(cv2.imencode(file.suffix.lower(), rgb[..., ::-1])[1].tobytes())
        except OSError as error:
            raise UserError(f'{file} cannot be written ({error.strerror}): give another --show-dir') from error


def f1(truth: InstanceData, found: InstanceData, min_iou: float = 0.5) -> float:
    """Return ``2 TP / (2 TP + FP + FN)`` of boxes; the best ones first take the truth of their class that fits best."""
    if not len(truth) and not len(found):
        return 1.0
    wanted, boxes = boxes_of(truth), boxes_of(found)
    low, high = np.maximum(wanted[None, :, :2], boxes[:, None, :2]), np.minimum(wanted[None, :, 2:], boxes[:, None, 2:])
    shared = (high - low).clip(0).prod(-1)
    areas = [(b[:, 2:] - b[:, :2]).clip(0).prod(-1) for b in (boxes, wanted)]
    iou = shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)
    iou[found.labels.numpy()[:, None] != np.asarray(truth.labels)[None]] = 0
    hits = 0
    for i in found.scores.argsort(descending=True, stable=True).tolist():
        if iou.shape[1] and iou[i].max() >= min_iou:
            hits += 1
            iou[:, iou[i].argmax()] = 0
    return 2 * hits / (len(truth) + len(found))


def mean_iou(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the mean IoU of the classes in either label map, where the truth is labelled (not -1)."""
    found, truth = found[truth >= 0], truth[truth >= 0]
    labels = np.union1d(truth, found)
    ious = [((truth == i) & (found == i)).sum() / ((truth == i) | (found == i)).sum() for i in labels]
    return float(np.mean(ious)) if ious else 1.0
