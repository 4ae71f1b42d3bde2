"""Predict on videos."""

import json
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from ..drawing.legend import padded
from ..errors import UserError, printable
from ..files import check_target, writing
from .images import BadImage
from .inference import Predictor


def infer_video(predictor: Predictor, source: Path, out: Path, console: Console) -> int:
    """Predict on every frame of a video; write ``NAME.mp4`` and ``NAME.jsonl``, with a line of JSON for each frame.

    The legend of a label map may need more room in one frame than in another; the video has the size of the first
    frame with room for as much again.

    Args:
        predictor: runs the network; its pipeline must take colour images as OpenCV decodes them.
        source: a video of any format that OpenCV reads.
        out: a folder, created if it is missing.
        console: shows progress.

    Returns:
        The number of frames.

    Raises:
        UserError: if the video cannot be read, the network cannot take its frames, the pipeline loads other images
            than 8-bit colour, or the results cannot be written.
    """
    loader = predictor.steps[predictor.loader]
    if type(loader).__name__ != 'LoadImageFromFile' or loader.color_type != 'color':
        raise UserError(f'--video: the test pipeline loads with {loader}, and frames are colour images of 8 bits')
    targets = [out / f'{source.stem}{suffix}' for suffix in ('.mp4', '.jsonl')]
    if source.resolve() in [target.resolve() for target in targets]:
        raise UserError(f'{source} would be drawn over: give an --out that does not hold it')
    video = cv2.VideoCapture(str(source)) if source.is_file() else None
    is_read, frame = video.read() if video else (False, None)
    if not is_read:
        raise UserError(f'{printable(source)} is no video that OpenCV reads: give a file such as .mp4, .avi or .mkv')
    total, rate = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), video.get(cv2.CAP_PROP_FPS) or 25
    partial = [target.with_name(f'.{target.stem[:50]}.partial{target.suffix}') for target in targets]
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    count, writer, size = 0, None, (0, 0)
    try:
        with writing(out), Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            out.mkdir(parents=True, exist_ok=True)
            [check_target(target) for target in targets]
            task = bar.add_task('frames', total=total if total > 0 else None)
            with partial[1].open('w') as lines:
                while is_read:
                    image = frame.astype(np.float32) if loader.to_float32 else frame
                    try:
                        found, drawn, _ = predictor(image, f'{source.name}, frame {count}')
                    except BadImage as error:
                        raise UserError(f'{printable(source)}, frame {count}: {error}') from error
                    if writer is None:
                        size = _size(drawn, frame)
                        writer = cv2.VideoWriter(str(partial[0]), cv2.VideoWriter_fourcc(*'mp4v'), rate, size)
                        if not writer.isOpened():
                            raise UserError('this OpenCV writes no MP4: install opencv-python-headless')
                    writer.write(padded(drawn[: size[1], : size[0]], *size))
                    lines.write(f'{json.dumps(found, allow_nan=False)}\n')
                    count += 1
                    bar.advance(task)
                    is_read, frame = video.read()
            writer.release()
            for aside, target in zip(partial, targets, strict=True):
                aside.replace(target)
    finally:
        video.release()
        for aside in partial:
            aside.unlink(missing_ok=True)
    return count


def _size(drawn: np.ndarray, frame: np.ndarray) -> tuple[int, int]:
    """Width and height of the video, which are even for the codec; a strip below the frame gets twice its height."""
    height, width = drawn.shape[:2]
    strip = height - round(frame.shape[0] * width / frame.shape[1])
    height += strip if strip > 1 else 0
    return width + width % 2, height + height % 2
