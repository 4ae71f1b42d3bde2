"""DigitScenes: the real handwritten digits that scikit-learn ships, in textured scenes.

All random numbers and resampling are integer arithmetic, so that a seed gives the same bytes on every processor.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from rich.progress import track

from ..files import atomic_folder

CLASSES = tuple('0123456789')
SIZE = 192  # side of a scene, pixels
COUNT = (2, 6)  # digits in a scene
GLYPH_SIZE = (28, 80)  # side of a glyph, pixels
MAX_HIDDEN = 0.1  # part of a digit that one later digit may hide
MIN_CONTRAST = 240  # between a digit and the mean behind it, summed over R, G and B
MAX_TRIES = 30  # places tried for the digits of a scene
MANIFEST = 'digit_scenes.json'
SPLITS = ('train', 'val')


@dataclass(frozen=True)
class Scene:
    """One image and its digits."""

    image: np.ndarray  # [192, 192, 3] uint8, RGB
    labels: tuple[int, ...]  # the digits, 0 to 9
    masks: np.ndarray  # [N, 192, 192] bool, the visible pixels of each digit; they do not overlap

    @property
    def boxes(self) -> list[tuple[int, int, int, int]]:
        """``(x, y, width, height)`` in pixels, tight around each mask."""
        boxes = []
        for mask in self.masks:
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            x, y = int(columns[0]), int(rows[0])
            boxes.append((x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y))
        return boxes

    @property
    def label_map(self) -> np.ndarray:
        """``[192, 192]`` uint8: 0 background, ``1 + digit`` elsewhere."""
        label_map = np.zeros((SIZE, SIZE), np.uint8)
        for label, mask in zip(self.labels, self.masks, strict=True):
            label_map[mask] = 1 + label
        return label_map


class DigitScenes(Sequence[Scene]):
    """Scenes that are drawn on access; scene ``i`` depends only on ``(seed, split, i)``.

    Args:
        split: 'train' or 'val'; they use different glyphs (three quarters and one quarter of the 1,797).
        length: number of scenes, at least 1.
        seed: an integer of at least 0. Default 0.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(self, split: str, length: int, seed: int = 0):
        if split not in SPLITS or length < 1 or seed < 0:
            raise ValueError(
                f"DigitScenes takes split 'train' or 'val', length >= 1 and seed >= 0; "
                f'got split={split!r}, length={length!r}, seed={seed!r}'
            )
        self.split, self.length, self.seed = split, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < self.length:
            raise IndexError(f'scene {index} of {self.length}')
        rng = np.random.Generator(np.random.PCG64([self.seed, SPLITS.index(self.split), index]))
        glyphs, digits = _glyphs(self.split)
        image = _background(rng)
        labels, masks = [], np.zeros((0, SIZE, SIZE), bool)
        wanted, tries = rng.integers(*COUNT, endpoint=True), 0
        # A crowded scene stays with fewer digits.
        while len(labels) < (wanted if tries < MAX_TRIES else COUNT[0]):
            tries += 1
            which = rng.integers(len(glyphs))
            alpha = _place(_ink(glyphs[which], rng.integers(*GLYPH_SIZE, endpoint=True)), rng)
            mask = alpha >= 128
            if ((masks & mask).sum((1, 2)) > MAX_HIDDEN * masks.sum((1, 2))).any():
                continue
            image = _blend(image, alpha, rng.integers(0, 256, 3))
            masks = np.concatenate([masks & ~mask, mask[None]])
            labels.append(int(digits[which]))
        return Scene(image, tuple(labels), masks)


def write_digit_scenes(root: str | Path, train: int, val: int, seed: int = 0) -> Path:
    """Write scenes once, for data sets of mmdet and mmseg to read, and return ``root``.

    ``images/{train,val}/000000.png``; ``annotations/instances_{train,val}.json`` in COCO's format (boxes, RLE masks)
    and ``labels/{train,val}/000000.png`` as in ADE20K (0 background, 1 to 10 the digits 0 to 9). Everything is
    written aside first and renamed at the end.

    Args:
        root: the folder to make.
        train, val: numbers of training and validation scenes.
        seed: see :class:`DigitScenes`. Default 0.

    Raises:
        FileExistsError: if ``root`` exists and holds something else.
        UserError: if ``root`` is a file, a device or a dangling link.
    """
    root = Path(root)
    manifest = dict(format=1, train=train, val=val, seed=seed)
    if _is_written(root, manifest):
        return root
    try:
        with atomic_folder(root) as aside:
            for split, length in dict(train=train, val=val).items():
                _write_split(aside, DigitScenes(split, length, seed))
            (aside / MANIFEST).write_text(json.dumps(manifest))
    except OSError:
        # Another process may have been faster.
        if not _is_written(root, manifest):
            raise
    return root


def _is_written(root: Path, manifest: dict) -> bool:
    if not root.is_dir() or not any(root.iterdir()):
        return False
    try:
        found = json.loads((root / MANIFEST).read_text())
    except (OSError, ValueError):
        found = 'something else'
    if found != manifest:
        raise FileExistsError(f'{root} holds {found}, expected {manifest}: move it away, or write to another folder')
    return True


def _write_split(root: Path, scenes: DigitScenes) -> None:
    images, labels = (root / kind / scenes.split for kind in ('images', 'labels'))
    for folder in (images, labels, root / 'annotations'):
        folder.mkdir(parents=True, exist_ok=True)
    infos, annotations = [], []
    for i, scene in enumerate(track(scenes, f'writing {len(scenes)} {scenes.split} digit scenes', transient=True)):
        name = f'{i:06}.png'
        Image.fromarray(scene.image).save(images / name)
        Image.fromarray(scene.label_map).save(labels / name)
        infos.append(dict(id=i, file_name=name, width=SIZE, height=SIZE))
        for label, mask, box in zip(scene.labels, scene.masks, scene.boxes, strict=True):
            rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=i,
                    category_id=label,
                    bbox=box,
                    area=int(mask.sum()),
                    segmentation=dict(size=rle['size'], counts=rle['counts'].decode()),
                    iscrowd=0,
                )
            )
    categories = [dict(id=i, name=name) for i, name in enumerate(CLASSES)]
    content = dict(images=infos, annotations=annotations, categories=categories)
    (root / 'annotations' / f'instances_{scenes.split}.json').write_text(json.dumps(content))


@cache
def _glyphs(split: str) -> tuple[np.ndarray, np.ndarray]:
    """``[N, 8, 8]`` uint8 from 0 to 240, and the digits; every fourth glyph is for validation."""
    # A late import: it takes most of a second, and scenes are written once.
    from sklearn.datasets import load_digits

    data = load_digits()
    chosen = (np.arange(len(data.target)) % 4 == 3) == (split == 'val')
    return (data.images[chosen] * 15).astype(np.uint8), data.target[chosen]


def _background(rng: np.random.Generator) -> np.ndarray:
    """``[192, 192, 3]`` uint8: colour clouds, a coarser pattern, and grain."""
    image = _resize(rng.integers(48, 208, (4, 4, 3), np.uint8), SIZE).astype(np.int16)
    image += _resize(rng.integers(0, 48, (24, 24), np.uint8), SIZE)[..., None].astype(np.int16) - 24
    image += rng.integers(-8, 9, (SIZE, SIZE, 1), np.int16)
    return image.clip(0, 255).astype(np.uint8)


def _ink(glyph: np.ndarray, size: int) -> np.ndarray:
    """A glyph enlarged to ``[size, size]``, as opacity from 0 to 255 with soft edges."""
    margin = size // 8
    smooth = _resize(np.pad(glyph, 1), size + 2 * margin)[margin:-margin, margin:-margin]
    return ((smooth.astype(np.int16) - 90) * 6).clip(0, 255).astype(np.uint8)


def _place(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The opacity on an empty scene, at a random place with all of the digit inside."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    y, x = (rng.integers(SIZE - side, endpoint=True) for side in ink.shape)
    alpha = np.zeros((SIZE, SIZE), np.uint8)
    alpha[y : y + ink.shape[0], x : x + ink.shape[1]] = ink
    return alpha


def _blend(image: np.ndarray, alpha: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Paint ``colour``, pushed away from the background's mean so that the digit can be seen."""
    inside = alpha >= 128
    behind = image[inside].sum(0, dtype=np.int64) // inside.sum()
    if np.abs(colour - behind).sum() < MIN_CONTRAST:
        colour = (behind + 128) % 256
    alpha = alpha[..., None].astype(np.int32)
    return ((image * (255 - alpha) + colour * alpha) // 255).astype(np.uint8)


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
