"""Modules that several families share. All work on ``[B, C, H, W]`` in any memory format."""

from .drop_path import DropPath
from .embed import ConvEmbed, PatchEmbed, PatchMerging
from .fuse import fold_norm_after, fold_norm_before
from .init import init_pointwise
from .mlp import Mlp
from .neck import GlobalAverage
from .norm import GroupNorm1, LayerNorm2d, build_norm
from .plain import is_plain
from .split_attention import SplitAttention

__all__ = [
    'ConvEmbed',
    'DropPath',
    'GlobalAverage',
    'GroupNorm1',
    'LayerNorm2d',
    'Mlp',
    'PatchEmbed',
    'PatchMerging',
    'SplitAttention',
    'build_norm',
    'fold_norm_after',
    'fold_norm_before',
    'init_pointwise',
    'is_plain',
]
