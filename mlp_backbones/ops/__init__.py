"""Tensor functions that the token mixers are made of; they need torch alone."""

from .pad import pad_end, pad_to_multiple
from .regions import fold_regions, unfold_regions
from .shift import axial_shift, cycle_linear, cycle_shift

__all__ = ['axial_shift', 'cycle_linear', 'cycle_shift', 'fold_regions', 'pad_end', 'pad_to_multiple', 'unfold_regions']
