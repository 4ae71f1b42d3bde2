"""The embedded data set: real handwritten digits in synthetic scenes."""

from .digit_scenes import CLASSES, DigitScenes, Scene, write_digit_scenes

__all__ = ['CLASSES', 'DigitScenes', 'Scene', 'write_digit_scenes']
