"""Find and read image files."""

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config

from ..engine.data import file_fault
from ..engine.nodes import dicts, type_name
from ..errors import UserError, describe, printable
from .memory import available_memory, is_out_of_memory, limited_memory

# What OpenCV reads, by name: the files of a folder that are taken for images.
SUFFIXES = (
    *('.avif', '.bmp', '.dib', '.exr', '.gif', '.hdr', '.jp2', '.jpe', '.jpeg', '.jpg', '.pbm', '.pgm', '.pic'),
    *('.png', '.pnm', '.ppm', '.pxm', '.ras', '.sr', '.tif', '.tiff', '.webp'),
)
BROKEN = 'broken, or of a format that OpenCV does not read'


class BadImage(Exception):
    """An image that is skipped; the text is the reason."""


@dataclass(frozen=True)
class ImageFile:
    """A file that can be opened as an image; a pipeline or :meth:`decode` reads its content."""

    path: Path

    def decode(self) -> np.ndarray:
        """Decode any format of OpenCV as ``[H, W, 3]`` uint8, BGR, turned by its EXIF data, without alpha.

        Raises:
            BadImage: if the file is not an image, or needs more memory than there is.
        """
        with skipping(''), limited_memory():
            image = cv2.imdecode(np.frombuffer(self.path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise BadImage(BROKEN)
        return image


def find_images(source: str, out: Path, suffixes: tuple[str, ...] = SUFFIXES) -> tuple[Path, list[Path]]:
    """Return the folder that the images of a user lie below, and the sorted images.

    Args:
        source: a file, a folder, or a pattern such as ``'a/**/*.jpg'``.
        out: folder of the results, which is no input.
        suffixes: of the images in a folder; none: all files. Default ``SUFFIXES``.

    Raises:
        UserError: if there is none, or none outside of ``out``.
    """
    path, inside = Path(source), out.resolve()
    if path.is_file():
        return path.parent, [path]
    if path.is_dir():
        root, names = path, path.rglob('*')
        found = (p for p in names if not p.name.startswith('.') and p.name.lower().endswith(suffixes or ''))
        nothing = f'{printable(source)} holds no image, by the suffixes {" ".join(suffixes) or "(any)"}'
    else:
        fixed = re.split(r'[*?[]', source)[0]
        root = Path(fixed) if fixed.endswith('/') else Path(fixed).parent
        found = map(Path, glob.glob(source, recursive=True))
        nothing = f'{printable(source)} is no file, no folder, and no file matches it as a pattern'
    # A FIFO, a device or a broken link is skipped by name.
    found = sorted(p for p in found if not p.is_dir())
    images = [p for p in found if inside not in p.resolve().parents]
    if found and not images:
        raise UserError(f'all images lie below --out {out}: give another folder')
    if not images:
        raise UserError(f'{nothing}: give an image, a folder of images, or a pattern in quotes')
    return root, images


def image_suffixes(config: Config) -> tuple[str, ...]:
    """Return the suffixes of a config's images: those of OpenCV if LoadImageFromFile loads them; else the
    ``img_suffix`` of its data set, or any (an empty tuple). UserError if the config has no test pipeline."""
    dataset = image_dataset(config)
    own = dataset.get('img_suffix')
    own = (own.lower(),) if isinstance(own, str) and own else ()
    is_common = any(type_name(step) == 'LoadImageFromFile' for step in dataset.pipeline)
    return (*SUFFIXES, *own) if is_common else own


def read_image(path: Path) -> ImageFile:
    """Raise BadImage if a file is missing, empty, cut short (JPEG) or not a regular file; do not decode it."""
    fault = file_fault(path)
    if fault:
        raise BadImage(fault)
    return ImageFile(Path(path))


@contextmanager
def skipping(what: str) -> Iterator[None]:
    """Raise an error of the block as BadImage: for lack of memory, or ``what`` and the reason."""
    try:
        yield
    except (BadImage, UserError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            free = available_memory() / 2**30
            raise BadImage(f'it needs more memory than there is ({free:.1f} GiB are free)') from error
        if 'CV_IO_MAX_IMAGE' in str(error):
            raise BadImage('it has more pixels than OpenCV opens (OPENCV_IO_MAX_IMAGE_PIXELS)') from error
        if isinstance(error, OSError) and error.errno:
            raise BadImage(f'cannot be read ({error.strerror})') from error
        raise BadImage(f'{what} ({describe(error)})' if what else describe(error)) from error


def image_dataset(config: Config) -> dict:
    dataset = next((node for node in dicts(config.get('test_dataloader')) if 'pipeline' in node), None)
    if dataset is None:
        raise UserError(f'{config.filename} has no test_dataloader with a pipeline, which prepares the images')
    return dataset
