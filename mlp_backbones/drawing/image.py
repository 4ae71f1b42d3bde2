"""Make any loaded image one that can be shown."""

import numpy as np


def displayable(image: np.ndarray) -> np.ndarray:
    """Return a loaded image ``[H, W]`` or ``[H, W, C]`` of any type as a new ``[H, W, 3]`` uint8.

    Of more than three channels the first three are shown, of fewer the first one. Values from 0 to 255 stay, those
    from 0 to 1 are scaled by 255, and others, such as those of 16 bits, from the smallest to the largest.

    Raises:
        ValueError: if the array has another shape or no elements.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f'an array of shape {image.shape} was loaded, which is no image: [H, W] or [H, W, C] is one')
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
