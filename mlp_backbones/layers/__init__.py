"""Modules that several families share. All work on ``[B, C, H, W]`` in any memory format."""

from .drop_path import DropPath
from .embed import ConvEmbed
from .mlp import Mlp
from .norm import LayerNorm2d, build_norm
from .reweight import Reweight

__all__ = ['ConvEmbed', 'DropPath', 'LayerNorm2d', 'Mlp', 'Reweight', 'build_norm']
