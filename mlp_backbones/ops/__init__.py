"""Tensor functions of the token mixers; they need torch only."""

from .backends import active_backends, select_implementation, use_backend
from .capture import contiguous, fx_leaf, is_captured, is_exporting, is_transformed
from .dilated import gather_dilated, scatter_dilated
from .image_linear import image_linear
from .native_grid import SPATIAL_RULES, on_native_grid
from .neighbours import gather_neighbours, neighbour_weights
from .norm import group_norm_gelu, group_norm_linear, layer_norm
from .phases import on_phases
from .position_bias import resize_position_bias
from .regions import add_unfolded, average_of_unfolded, fold_regions, region_linear, unfold_regions
from .sample import sample_along
from .shift import ChannelShifts, axial_linear, axial_shift, cycle_linear, cycle_shift, shift_channels
from .tensors import (
    align_gradient,
    autocast_once,
    crop,
    gelu,
    memory_format,
    pad_end,
    pad_to_least,
    pad_to_multiple,
    spatial_shape,
    sym_max,
)

__all__ = [
    'SPATIAL_RULES',
    'ChannelShifts',
    'active_backends',
    'add_unfolded',
    'align_gradient',
    'autocast_once',
    'average_of_unfolded',
    'axial_linear',
    'axial_shift',
    'contiguous',
    'crop',
    'cycle_linear',
    'cycle_shift',
    'fold_regions',
    'fx_leaf',
    'gather_dilated',
    'gather_neighbours',
    'gelu',
    'group_norm_gelu',
    'group_norm_linear',
    'image_linear',
    'is_captured',
    'is_exporting',
    'is_transformed',
    'layer_norm',
    'memory_format',
    'neighbour_weights',
    'on_native_grid',
    'on_phases',
    'pad_end',
    'pad_to_least',
    'pad_to_multiple',
    'region_linear',
    'resize_position_bias',
    'sample_along',
    'scatter_dilated',
    'select_implementation',
    'shift_channels',
    'spatial_shape',
    'sym_max',
    'unfold_regions',
    'use_backend',
]
