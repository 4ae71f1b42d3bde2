"""Bring the masks of boxes into an image."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


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
