"""Pairs of truth and prediction, and sheets of many."""

from collections.abc import Sequence

import numpy as np

from .legend import heading, padded, stacked
from .text import text_size


def pair(truth: np.ndarray | None, prediction: np.ndarray, title: str, size: int | None = None) -> np.ndarray:
    """Put a truth and a prediction beside each other below a title; without a truth only the prediction.

    Args:
        truth: a picture ``[H, W, 3]`` uint8, or None.
        prediction: a picture of the same width.
        title: of both.
        size: of the text in pixels. Default None: it grows with the pictures.
    """
    size = size or text_size(prediction.shape[1], prediction.shape[0])
    columns = [
        (name, picture) for name, picture in (('truth', truth), ('prediction', prediction)) if picture is not None
    ]
    height = max(picture.shape[0] for _, picture in columns)
    parts = []
    for name, picture in columns:
        body = padded(picture, picture.shape[1], height)
        if len(columns) > 1:
            body = stacked(heading(name, picture.shape[1], size, is_bold=False), body)
        parts += [body, _gap(body.shape[0], size)]
    return stacked(heading(title, sum(part.shape[1] for part in parts[:-1]), size), np.concatenate(parts[:-1], 1))


def contact_sheet(cells: Sequence[np.ndarray], columns: int, title: str, size: int, *below: np.ndarray) -> np.ndarray:
    """Arrange pictures in a grid, row by row, below a title.

    Args:
        cells: pictures of any sizes, at least one.
        columns: of the grid.
        title: of the sheet.
        size: of the text in pixels; the title has half as much again.
        below: strips below the grid, such as a legend.
    """
    columns = min(columns, len(cells))
    width = max(cell.shape[1] for cell in cells)
    rows = []
    for i in range(0, len(cells), columns):
        height = max(cell.shape[0] for cell in cells[i : i + columns])
        row = []
        for cell in cells[i : i + columns]:
            row += [_gap(height, size), padded(cell, width, height)]
        rows.append(np.concatenate([*row, _gap(height, size)], 1))
        rows.append(np.full((size, 1, 3), 255, np.uint8))
    whole = stacked(*rows)
    return stacked(heading(title, whole.shape[1], round(1.5 * size)), whole, *below)


def _gap(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 255, np.uint8)
