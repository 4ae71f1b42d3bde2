"""Tensor functions that the token mixers are made of; they need torch alone."""

from .activation import gelu
from .backends import backend, form, use_backend
from .capture import contiguous, fx_leaf, is_captured, is_transformed
from .layout import memory_format
from .native_grid import SPATIAL_RULES, on_native_grid
from .neighbours import gather_neighbours, neighbour_weights
from .norm import group_norm_gelu
from .pad import crop, larger, pad_end, pad_to_least, pad_to_multiple, sides
from .precision import autocast_once
from .regions import add_unfolded, average_of_unfolded, fold_regions, unfold_regions
from .shift import axial_linear, axial_shift, cycle_linear, cycle_shift

__all__ = [
    'SPATIAL_RULES',
    'add_unfolded',
    'autocast_once',
    'average_of_unfolded',
    'axial_linear',
    'axial_shift',
    'backend',
    'contiguous',
    'crop',
    'cycle_linear',
    'cycle_shift',
    'fold_regions',
    'form',
    'fx_leaf',
    'gather_neighbours',
    'gelu',
    'group_norm_gelu',
    'is_captured',
    'is_transformed',
    'larger',
    'memory_format',
    'neighbour_weights',
    'on_native_grid',
    'pad_end',
    'pad_to_least',
    'pad_to_multiple',
    'sides',
    'unfold_regions',
    'use_backend',
]
