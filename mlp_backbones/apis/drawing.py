"""Draw predictions with the visualizers of mmdet, mmseg and mmpretrain."""

import math

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import VISUALIZERS
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError, describe, printable
from .images import BadPicture


class Drawing:
    """Draw a sample with the visualizer of a config.

    Args:
        config: with a ``visualizer``.
        meta: of a data set: ``classes`` (names) and ``palette`` (RGB for each class, or a name), both optional.

    Raises:
        UserError: if the palette is not valid.
    """

    def __init__(self, config: Config, meta: dict):
        classes = meta.get('classes')
        classes = [] if classes is None else [classes] if isinstance(classes, str) else list(classes)
        self.classes = [str(name) for name in classes]
        self.palette = _colours(meta.get('palette'))
        # Its backends would keep copies of the images.
        self.visualizer = VISUALIZERS.build(dict(config.visualizer, vis_backends=None))

    def __call__(self, rgb: np.ndarray, sample: BaseDataElement, count: int) -> np.ndarray:
        """Draw a sample whose labels are below ``count``; classes without a name or colour get one."""
        count = max(count, len(self.classes))
        if isinstance(self.palette, str) and self.visualizer.__class__.__module__.startswith('mmdet.'):
            palette = self.palette  # mmdet knows names of palettes and colours
        else:
            known = [] if isinstance(self.palette, str) else self.palette
            more = np.random.RandomState(42).randint(0, 256, (count, 3))[len(known) :].tolist()
            palette = [*known, *map(tuple, more)]  # mmdet takes a list for several colours
        classes = [self.name_of(label) for label in range(count)]
        self.visualizer.dataset_meta = dict(classes=classes, palette=palette)
        if 'pred_score' in sample:
            self.visualizer.visualize_cls(rgb, sample, classes, draw_gt=False)
            return self.visualizer.get_image()
        # The defaults of mmdet and mmseg are for photographs, and hide a small image.
        self.visualizer.line_width = max(min(rgb.shape[:2]) / 200, 1)
        self.visualizer.alpha = 0.5
        options = dict(pred_score_thr=0.0) if 'pred_instances' in sample else dict(with_labels=False)
        self.visualizer.add_datasample('', rgb, sample, draw_gt=False, **options)
        return self.visualizer.get_image()

    def name_of(self, label: int) -> str:
        return self.classes[label] if label < len(self.classes) else f'class {label}'


def _colours(palette: object) -> list[tuple[int, ...]] | str:
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
    return [*map(tuple, colours.clip(0, 255).astype(int).tolist())]


def displayable(image: np.ndarray) -> np.ndarray:
    """A loaded image ``[H, W]`` or ``[H, W, C]`` of any type as a new ``[H, W, 3]`` uint8.

    Of more than three channels the first three are shown, of fewer the first one. Values from 0 to 255 stay, those
    from 0 to 1 are scaled by 255, and others, such as those of 16 bits, from the smallest to the largest.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise BadPicture(f'an array of shape {image.shape} was loaded, which is no image: [H, W] or [H, W, C] is one')
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


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float = 0.5) -> Tensor:
    """Draw masks of boxes into an image, as mmdet does.

    Args:
        masks: probabilities ``[K, h, w]`` within each box.
        boxes: ``[K, 4]``, x1, y1, x2, y2 in pixels of the image.
        size: (H, W) of the image in pixels.
        threshold: the least probability of a pixel that belongs to the mask. Default 0.5.

    Returns:
        ``[K, H, W]`` bool.
    """
    height, width = size
    pasted = torch.zeros(len(masks), height, width, dtype=torch.bool)
    for mask, box, drawn in zip(masks, boxes, pasted, strict=True):
        x1, y1, x2, y2 = box.tolist()
        # mmdet leaves out what is more than a pixel away from the box.
        left, top = max(math.floor(x1) - 1, 0), max(math.floor(y1) - 1, 0)
        right, bottom = min(math.ceil(x2) + 1, width), min(math.ceil(y2) + 1, height)
        x = (torch.arange(left, right) + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1
        y = (torch.arange(top, bottom) + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing='xy'), -1).nan_to_num(torch.nan, 0, 0)
        values = F.grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0]
        drawn[top:bottom, left:right] = values >= threshold
    return pasted
