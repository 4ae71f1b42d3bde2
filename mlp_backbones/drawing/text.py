"""Colours of classes, and text that can be read on them."""

import math
from collections.abc import Sequence
from functools import lru_cache
from logging import WARNING
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from PIL import Image, ImageColor, ImageDraw, ImageFont

from ..errors import UserError, describe, printable

Colour = tuple[int, int, int]
PAPER, INK, FAINT = (255, 255, 255), (28, 28, 32), (222, 222, 228)
_told: set[str] = set()  # a character that no font has, once it was logged
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
# From OKLab to linear sRGB: B. Ottosson, "A perceptual color space for image processing" (2020).
_LMS = np.array([[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]])
_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def class_colours(palette: object, count: int) -> list[Colour]:
    """Return a colour, RGB from 0 to 255, for each of ``count`` classes.

    Args:
        palette: of a data set: RGB for each class; one colour, by name or as RGB, for the first; None or 'random'.
            Classes beyond it get hues that differ by the golden angle, in three degrees of lightness.
        count: of the classes.

    Raises:
        UserError: if the palette is not a list of three finite numbers for each class.
    """
    known: list[Colour] = []
    if isinstance(palette, str):
        try:
            known = [] if palette == 'random' else [ImageColor.getrgb(palette)[:3]]
        except ValueError:
            print_log(f'palette={palette!r} is the name of no colour: classes get our own colours', 'current')
    elif palette is not None:
        try:
            colours = np.asarray(palette, float)
            colours = colours[None] if colours.ndim == 1 and colours.size else colours
            if colours.size and (colours.ndim != 2 or colours.shape[1] != 3 or not np.isfinite(colours).all()):
                raise ValueError('not three numbers for each class')
        except (TypeError, ValueError) as error:
            raise UserError(
                f'palette={printable(palette)} is not valid ({describe(error)}): give red, green and blue, 0 to 255, '
                f'for each class in metainfo'
            ) from error
        known = [*map(tuple, colours.clip(0, 255).astype(int).tolist())]
    return [*known, *(_own_colour(i) for i in range(len(known), count))]


def _own_colour(number: int) -> Colour:
    hue = 0.45 + number * _GOLDEN_ANGLE
    lightness = (0.68, 0.56, 0.82)[number % 3]
    lab = np.array([lightness, 0.17 * math.cos(hue), 0.17 * math.sin(hue)])
    linear = (_RGB @ (_LMS @ lab) ** 3).clip(0, 1)
    return tuple((_gamma(linear) * 255).round().astype(int).tolist())


def _gamma(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def contrasting(colour: Sequence[int]) -> Colour:
    """Return black or white, whichever has the larger contrast to a colour by WCAG 2."""
    value = np.asarray(colour) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return (0, 0, 0) if (luminance + 0.05) ** 2 > 1.05 * 0.05 else (255, 255, 255)


def font(size: int, is_bold: bool = False, text: str = '') -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with matplotlib, or the font of the machine that lacks least of a text.

    Args:
        size: in pixels.
        is_bold: the bold one. Default False.
        text: to be written. Characters that no font has are drawn as boxes, which is logged once. Default '': any of
            Europe's alphabets.
    """
    return _load(_file(frozenset(c for c in text if c.isprintable()), is_bold), size)


@lru_cache
def _load(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@lru_cache(maxsize=1024)
def _file(characters: frozenset[str], is_bold: bool) -> Path:
    import matplotlib  # takes half a second, and only drawing needs it

    own = Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans-Bold.ttf' if is_bold else 'DejaVuSans.ttf')
    if not _lacking(own, characters):
        return own
    from matplotlib.font_manager import fontManager

    # The list of matplotlib is of the day when it was first used.
    paths = {*map(Path, _system_fonts()), *(Path(entry.fname) for entry in fontManager.ttflist)}
    others = sorted(paths, key=lambda path: (('bold' in path.stem.lower()) != is_bold, path.name, path))
    best = min([own, *others], key=lambda path: len(_lacking(path, characters)))
    missing = _lacking(best, characters)
    if missing and not _told:
        character = min(missing)
        _told.add(character)
        print_log(
            f'no font of this machine has {character!r} (U+{ord(character):04X}): such characters are drawn as boxes; '
            f'install a font of their script, such as Noto Sans CJK',
            'current',
            level=WARNING,
        )
    return best


@lru_cache
def _system_fonts() -> list[str]:
    from matplotlib.font_manager import findSystemFonts

    return findSystemFonts()


def _lacking(path: Path, characters: frozenset[str]) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    try:
        letters = FT2Font(str(path))
    except (OSError, RuntimeError):
        return characters
    # Pillow takes no colour bitmaps of other sizes than theirs, and the Last Resort has a box for each script.
    if not letters.scalable or letters.family_name.replace(' ', '').startswith('LastResort'):
        return characters
    return frozenset(c for c in characters if not letters.get_char_index(ord(c)))


def text_size(width: int, height: int) -> int:
    """Return the font size for an image: it grows with the image."""
    return max(9, round(math.sqrt(width * height) / 44))


def percent(share: float) -> str:
    """Write a share as percent: '97 %'; never 100 or 0 for what is less or more."""
    if 0 < share < 0.01:
        return '< 1 %'
    return f'{min(round(100 * share), 99 if share < 1 else 100)} %'


def shortened(text: str, width: float, of: ImageFont.FreeTypeFont) -> str:
    """Return a text, cut with an ellipsis where it is wider than ``width`` pixels."""
    text = ''.join(c if c.isprintable() else ' ' for c in text)
    if of.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if of.getlength(f'{text[:middle]}…') <= width else (low, middle - 1)
    return f'{text[:low]}…' if low else ''


def canvas(picture: np.ndarray) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.fromarray(picture)
    return image, ImageDraw.Draw(image)
