"""Strips of paper around a picture: headings, legends and rankings."""

import math
from collections.abc import Sequence

import numpy as np

from .text import FAINT, INK, PAPER, Colour, canvas, font, percent, shortened

# Of a name in a legend of several columns, in heights of its letters.
LONGEST = 18


def stacked(*pictures: np.ndarray) -> np.ndarray:
    """Put pictures below each other on paper of the widest."""
    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate([padded(picture, width, picture.shape[0]) for picture in pictures])


def padded(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Put a picture at the top left of paper of a size."""
    paper = np.full((height, width, 3), PAPER, np.uint8)
    paper[: picture.shape[0], : picture.shape[1]] = picture
    return paper


def heading(text: str, width: int, size: int, is_bold: bool = True) -> np.ndarray:
    """A line of text on paper of a width."""
    image, pen = canvas(padded(np.empty((0, 0, 3), np.uint8), width, round(1.9 * size)))
    letters = font(size, is_bold, text)
    pen.text((size // 2, 0.95 * size), shortened(text, width - size, letters), fill=INK, font=letters, anchor='lm')
    return np.array(image)


def legend(names: Sequence[str], ends: Sequence[str], colours: Sequence[Colour], width: int, size: int) -> np.ndarray:
    """Swatches and names with their ends, such as a share, in columns on paper of a width."""
    letters, row = font(size, text=''.join([*names, *ends])), round(1.7 * size)
    tail = max(map(letters.getlength, ends), default=0)
    wanted = min(max(map(letters.getlength, names), default=0), LONGEST * size) + tail + 3 * size
    columns = max(1, int((width - size // 2) // wanted))
    column = (width - size // 2) // columns
    lines = -(-len(names) // columns)
    image, pen = canvas(padded(np.empty((0, 0, 3), np.uint8), width, lines * row + (size if names else 0)))
    for i, (name, end, colour) in enumerate(zip(names, ends, colours, strict=True)):
        x, y = size // 2 + (i // lines) * column, size // 2 + (i % lines) * row
        box = (x, y + (row - size) // 2, x + size, y + (row - size) // 2 + size)
        pen.rectangle(box, fill=colour, outline=INK)
        text = f'{shortened(name, column - tail - 2 * size, letters)}{end}'
        pen.text((x + 1.5 * size, y + row / 2), text, fill=INK, font=letters, anchor='lm')
    return np.array(image)


def ranking(names: Sequence[str], shares: Sequence[float], colours: Sequence[Colour], width: int, size: int):
    """Names, bars and percent, a line each, on paper of a width.

    Returns:
        ``[H, width, 3]`` uint8.
    """
    letters, row = font(size, text=''.join([*names, '%'])), round(1.7 * size)
    image, pen = canvas(padded(np.empty((0, 0, 3), np.uint8), width, len(names) * row + size))
    number = round(letters.getlength('100 %'))
    longest = max((letters.getlength(name) for name in names), default=0)
    left = size + math.ceil(min(longest, 0.5 * width))
    right = width - number - size
    for i, (name, share, colour) in enumerate(zip(names, shares, colours, strict=True)):
        middle = size // 2 + (i + 0.5) * row
        text = shortened(name, left - size, letters)
        pen.text((size // 2, middle), text, fill=INK, font=letters, anchor='lm')
        if right > left:
            top, bottom = middle - 0.4 * size, middle + 0.4 * size
            pen.rectangle((left, top, right, bottom), fill=FAINT)
            if share * (right - left) >= 1:
                pen.rectangle((left, top, left + share * (right - left), bottom), fill=colour)
        if width > 2 * number:
            pen.text((width - size // 2, middle), percent(share), fill=INK, font=letters, anchor='rm')
    return np.array(image)
