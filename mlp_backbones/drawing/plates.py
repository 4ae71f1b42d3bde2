"""Label plates that do not cover each other."""

from collections.abc import Sequence

import numpy as np

from .text import Colour, canvas, contrasting, font, shortened, text_size

# How far from its box a plate may lie, in heights of a plate.
REACH = 6
# Of a name, in heights of its letters.
LONGEST = 12


class Places:
    """The free places of an image for plates.

    Args:
        width: of the image.
        height: of the image.
        boxes: ``[N, 4]``, of all objects; places that cover other objects are used last.
    """

    def __init__(self, width: int, height: int, boxes: np.ndarray):
        self.limits = np.array([width, height])
        self.boxes = boxes
        self.taken = np.empty((0, 4))

    def take(self, box: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
        """Return and occupy the place ``x1, y1, x2, y2`` for a plate at a box, or None if all around it is full."""
        size_ = np.array(size)
        if (size_ > self.limits).any():
            return None
        x1, y1, x2, y2 = box
        w, h = size
        at = [(x1, y1 - h), (x1, y1), (x2 - w, y1 - h), (x1, y2), (x2 - w, y2), (x2, y1), (x1 - w, y1), (x1, y2 - h)]
        # Behind these eight, all around, nearest first.
        steps = np.arange(-REACH, REACH + 1)
        around = [(x1 + i * w / 2, y1 - h + j * h) for i in steps for j in steps]
        around.sort(key=lambda p: (p[0] - x1) ** 2 + (p[1] - y1 + h) ** 2)
        corners = np.array([*at, *around])
        clipped = np.clip(corners, 0, self.limits - size_).round()
        moved = np.abs(clipped - corners)
        # Along the edge a plate may be pushed sideways.
        usable = (moved[:, 1] < 1) & (moved[:, 0] < w)
        places = np.concatenate([clipped, clipped + size_], 1)
        free = usable & ~(_overlaps(places, self.taken) > 0).any(1)
        if not free.any():
            return None
        own = (self.boxes == box).all(1)
        covered = _overlaps(places, self.boxes[~own]).sum(1) / (w * h)
        first = np.arange(len(places)) >= len(at)
        cost = np.minimum(covered, 1) + 0.05 * np.arange(len(places)) + first
        place = places[np.where(free, cost, np.inf).argmin()]
        self.taken = np.concatenate([self.taken, place[None]])
        return place


def draw_plates(
    rgb: np.ndarray, boxes: np.ndarray, names: Sequence[str], ends: Sequence[str], colours: Sequence[Colour]
) -> tuple[np.ndarray, np.ndarray]:
    """Write a plate at each box ``[N, 4]``, the first ones first: a name, shortened if it is long, and its end.

    A plate that finds no place near its box is written smaller, and left out if it finds none then.

    Returns:
        The image ``[H, W, 3]`` uint8, and the places ``[M, 4]`` of the plates.
    """
    height, width = rgb.shape[:2]
    places = Places(width, height, boxes)
    full = text_size(width, height)
    image, pen = canvas(rgb)
    for box, name, end, colour in zip(boxes, names, ends, colours, strict=True):
        for size in (full, max(8, round(0.75 * full))):
            letters, pad = font(size, True, name + end), max(1, size // 4)
            line = shortened(f'{shortened(name, LONGEST * size, letters)}{end}', width - 2 * pad, letters)
            extent = (round(letters.getlength(line)) + 2 * pad + 1, round(1.25 * size) + pad)
            place = places.take(box, extent) if line else None
            if place is None:
                continue
            x, y = place[:2].tolist()
            gap = _nearest(place, box)
            if gap is not None:
                pen.line(gap, fill=colour, width=max(1, size // 8))
            pen.rectangle((x, y, place[2] - 1, place[3] - 1), fill=colour)
            pen.text((x + pad, y + extent[1] / 2), line, fill=contrasting(colour), font=letters, anchor='lm')
            break
    return np.array(image), places.taken


def _nearest(place: np.ndarray, box: np.ndarray) -> tuple[float, ...] | None:
    """The shortest line from a plate to its box; None where they touch."""
    low, high = np.maximum(place[:2], box[:2]), np.minimum(place[2:], box[2:])
    if (low <= high + 1).all():
        return None
    before, behind = place[2:] < box[:2], place[:2] > box[2:]
    start = np.where(behind, place[:2], np.where(before, place[2:], (low + high) / 2))
    end = np.where(behind, box[2:], np.where(before, box[:2], (low + high) / 2))
    return (*start.tolist(), *end.tolist())


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Areas ``[N, M]`` that boxes share."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    return sides.clip(0).prod(-1)
