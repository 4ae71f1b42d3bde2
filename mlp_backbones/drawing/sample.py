"""Draw a truth or a prediction on its image."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData

from ..errors import UserError
from .legend import legend, ranking, stacked
from .plates import draw_plates
from .text import INK, Colour, class_colours, contrasting, percent, text_size

# A smaller image is drawn enlarged, so that text on it can be read.
SMALL = 640
LARGEST_FACTOR = 8
TINT, MAP_TINT = 0.5, 0.6
TOP = 5
# mmdet's panoptic ids: label + 1000 * number of the object.
INSTANCE_OFFSET = 1000
KINDS = ('instances', 'panoptic_seg', 'sem_seg', 'score', 'label')


class Drawing:
    """Draw samples of mmdet, mmseg and mmpretrain.

    Args:
        meta: of a data set: ``classes`` (names) and ``palette`` (RGB for each class), both optional. A palette with
            more colours than classes is not used.

    Raises:
        UserError: if the palette is not valid.
    """

    def __init__(self, meta: dict):
        classes = meta.get('classes')
        classes = [] if classes is None else [classes] if isinstance(classes, str) else list(classes)
        self.classes = [str(name) for name in classes]
        palette = meta.get('palette')
        # mmdet's CocoDataset gives its 80 colours, many of them blue, to any classes.
        if self.classes and isinstance(palette, list | tuple) and len(palette) > max(len(self.classes), 3):
            palette = None
        self.palette = class_colours(palette, len(self.classes))

    def name_of(self, label: int) -> str:
        return self.classes[label] if label < len(self.classes) else f'class {label}'

    def colour_of(self, label: int) -> Colour:
        if label >= len(self.palette):
            self.palette = class_colours(self.palette or None, label + 1)
        return self.palette[label]

    def __call__(
        self,
        rgb: np.ndarray,
        sample: BaseDataElement,
        side: int | None = None,
        of: str = 'pred',
        with_legend: bool = True,
    ) -> np.ndarray:
        """Draw boxes and masks with plates, a label map with a legend, or a ranking of classes.

        Args:
            rgb: the image ``[H, W, 3]`` uint8 that the boxes and label maps of the sample belong to; not changed.
            sample: of mmdet, mmseg or mmpretrain, on the CPU. All its boxes are drawn, whatever their scores.
            side: draw with this longer side in pixels. Default None: that of the image, or for a smaller one than
                ``SMALL`` its largest multiple up to there, at most ``LARGEST_FACTOR`` times.
            of: 'pred' or 'gt', which prediction or truth of the sample.
            with_legend: add the strip of paper with the legend of a label map, or the ranking. Default True.

        Returns:
            The picture, RGB uint8: the image, and below it the legend or ranking.

        Raises:
            UserError: if the sample holds nothing that is drawn.
        """
        longest = max(rgb.shape[:2])
        scale = side / longest if side else min(max(SMALL // longest, 1), LARGEST_FACTOR)
        height, width = (max(1, round(n * scale)) for n in rgb.shape[:2])
        how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        image = cv2.resize(rgb, (width, height), interpolation=how) if scale != 1 else rgb.copy()
        kind = next((kind for kind in KINDS if f'{of}_{kind}' in sample), None)
        if kind == 'instances':
            return self._instances(image, sample.get(f'{of}_instances'), scale)
        if kind in ('panoptic_seg', 'sem_seg'):
            labels, borders = label_map(sample, of, kind, rgb.shape[:2])
            return self._label_map(image, labels, borders, with_legend)
        if kind in ('score', 'label'):
            return self._ranking(image, sample, of) if with_legend else image
        keys = ', '.join(filter(lambda key: key.startswith(of), sample.keys())) or 'nothing'
        raise UserError(f'the sample holds {keys}: pictures show instances, label maps and classes')

    def _instances(self, image: np.ndarray, instances: InstanceData, scale: float) -> np.ndarray:
        masks, boxes = masks_of(instances), boxes_of(instances)
        labels, scores = instances.labels.tolist(), instances.get('scores')
        order = range(len(labels)) if scores is None else scores.argsort(descending=True, stable=True).tolist()
        boxes = boxes * scale
        line = line_width(image)
        corners = boxes.round().astype(int).clip(-(2**15), 2**15).tolist()
        for i in reversed(order):  # the best one on top
            colour = self.colour_of(labels[i])
            if masks is not None:
                mask = cv2.resize(masks[i].astype(np.uint8) * 255, image.shape[1::-1]) > 127
                image[mask] = (image[mask] * (1 - TINT) + np.array(colour) * TINT).round()
                outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                cv2.drawContours(image, outlines, -1, colour, line)
        # On any ground either a box or its rim can be seen.
        rims = image.copy()
        for i in order:
            cv2.rectangle(rims, corners[i][:2], corners[i][2:], contrasting(self.colour_of(labels[i])), line + 2)
        image = cv2.addWeighted(image, 0.6, rims, 0.4, 0)
        for i in reversed(order):
            cv2.rectangle(image, corners[i][:2], corners[i][2:], self.colour_of(labels[i]), line)
        names = [self.name_of(labels[i]) for i in order]
        ends = ['' if scores is None else f' {percent(float(scores[i]))}' for i in order]
        colours = [self.colour_of(labels[i]) for i in order]
        return draw_plates(image, boxes[list(order)], names, ends, colours)[0]

    def _label_map(self, image: np.ndarray, labels: np.ndarray, borders: np.ndarray, with_legend: bool) -> np.ndarray:
        numbers, counts = np.unique(labels[labels >= 0], return_counts=True)
        ordered = numbers[np.argsort(-counts, kind='stable')].tolist()
        shares = dict(zip(numbers.tolist(), (counts / labels.size).tolist(), strict=True))
        height, width = image.shape[:2]
        large = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        for label in ordered:
            here = large == label
            image[here] = (image[here] * (1 - MAP_TINT) + np.array(self.colour_of(label)) * MAP_TINT).round()
        edges = _edges(cv2.resize(borders, (width, height), interpolation=cv2.INTER_NEAREST))
        line = line_width(image)
        image[cv2.dilate(edges.astype(np.uint8), np.ones((line, line), np.uint8)) > 0] = INK
        if not with_legend:
            return image
        return stacked(image, self.legend(ordered, width, text_size(width, height), shares))

    def legend(self, labels: Sequence[int], width: int, size: int, shares: dict[int, float] | None = None):
        """Return the legend of classes, RGB uint8 ``[H, width, 3]``, with text of a size, and shares of pixels."""
        names, colours = map(self.name_of, labels), map(self.colour_of, labels)
        ends = [f'  {percent(shares[label])}' if shares else '' for label in labels]
        return legend([*names], ends, [*colours], width, size)

    def _ranking(self, image: np.ndarray, sample: BaseDataElement, of: str) -> np.ndarray:
        height, width = image.shape[:2]
        scores = sample.get(f'{of}_score')
        if scores is None:
            labels = sample.get(f'{of}_label').reshape(-1).tolist()
            shares = [1.0] * len(labels)
        else:
            best = scores.topk(min(TOP, len(scores)))
            labels, shares = best.indices.tolist(), best.values.tolist()
        colours = [self.colour_of(label) for label in labels]
        names, size = [self.name_of(label) for label in labels], text_size(width, height)
        return stacked(image, ranking(names, shares, colours, width, size))


def line_width(image: np.ndarray) -> int:
    return max(1, text_size(image.shape[1], image.shape[0]) // 8)


def _edges(labels: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour has another label."""
    edges = np.zeros(labels.shape, bool)
    edges[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    edges[:-1] |= labels[1:] != labels[:-1]
    return edges


def label_map(sample: BaseDataElement, of: str, kind: str, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and ids ``[H, W]`` int16 and int32 at the size of the image; labels without a class are -1."""
    data = sample.get(f'{of}_{kind}')
    data = torch.as_tensor(data.get('sem_seg', data.get('data')))
    ids = data.reshape(data.shape[-2:]).numpy().astype(np.int32)
    if ids.shape != shape:
        ids = cv2.resize(ids, shape[::-1], interpolation=cv2.INTER_NEAREST)
    labels = (ids % INSTANCE_OFFSET if kind == 'panoptic_seg' else ids).astype(np.int16)
    labels[ids == 255] = -1
    return labels, ids


def masks_of(instances: InstanceData) -> np.ndarray | None:
    """Return masks ``[N, H, W]`` bool, of a tensor or of mmdet's structures."""
    masks = instances.get('masks')
    if masks is None:
        return None
    masks = masks.to_ndarray() if hasattr(masks, 'to_ndarray') else np.asarray(masks)
    return masks.astype(bool)


def boxes_of(instances: InstanceData) -> np.ndarray:
    """Return boxes ``[N, 4]`` float; those of a method that predicts only masks are drawn around these.

    Raises:
        UserError: if a box has other than four numbers.
    """
    boxes = instances.get('bboxes')
    boxes = np.zeros((len(instances), 4)) if boxes is None else np.asarray(getattr(boxes, 'tensor', boxes), float)
    boxes = boxes.reshape(len(instances), -1) if len(instances) else np.zeros((0, 4))
    if boxes.shape[1] != 4:
        raise UserError(f'boxes of {boxes.shape[1]} numbers are not drawn: only x1, y1, x2, y2 are')
    masks = masks_of(instances)
    if masks is not None and not boxes.any():
        for box, mask in zip(boxes, masks, strict=True):
            rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
            if len(rows):
                box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
