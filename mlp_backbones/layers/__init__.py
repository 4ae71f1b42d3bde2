"""Modules that several families share. All work on ``[B, C, H, W]`` in any memory format."""

from .affine import Affine
from .drop_path import DropPath
from .embed import ConvEmbed, PatchEmbed, PatchMerging
from .fuse import fold_norm_after, fold_norm_alone, fold_norm_before
from .init import init_pointwise
from .mlp import Mlp, linear_gelu
from .neck import GlobalAverage, Neck
from .norm import GroupNorm1, LayerNorm2d, build_norm
from .plain import is_plain
from .position_linear import PositionLinear
from .pyramid import RescalePyramid
from .split_attention import SplitAttention

__all__ = [
    'Affine',
    'ConvEmbed',
    'DropPath',
    'GlobalAverage',
    'GroupNorm1',
    'LayerNorm2d',
    'Mlp',
    'Neck',
    'PatchEmbed',
    'PatchMerging',
    'PositionLinear',
    'RescalePyramid',
    'SplitAttention',
    'build_norm',
    'fold_norm_after',
    'fold_norm_alone',
    'fold_norm_before',
    'init_pointwise',
    'is_plain',
    'linear_gelu',
]
