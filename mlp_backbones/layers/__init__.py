"""Modules that several families share. All work on ``[B, C, H, W]`` in any memory format."""

from .drop_path import DropPath
from .embed import ConvEmbed, PatchEmbed, PatchMerging
from .fuse import fold_norm_after, fold_norm_before
from .init import init_pointwise
from .mlp import Mlp
from .norm import LayerNorm2d, SampleNorm, build_norm
from .plain import is_plain
from .reweight import Reweight

__all__ = [
    'ConvEmbed',
    'DropPath',
    'LayerNorm2d',
    'Mlp',
    'PatchEmbed',
    'PatchMerging',
    'Reweight',
    'SampleNorm',
    'build_norm',
    'fold_norm_after',
    'fold_norm_before',
    'init_pointwise',
    'is_plain',
]
