"""The frame of networks of one scale and a fixed grid: patches, then blocks that each are a stage."""

from typing import Any, ClassVar

import torch
from torch import nn

from ..layers import PatchEmbed
from ..ops import SPATIAL_RULES
from .arguments import check, check_choice
from .base import MLPBackbone, Stage
from .published import Rule

# Names of blocks and output norms; no dense network of these families was published.
SINGLE_SCALE: tuple[Rule, ...] = (
    (r'^stages\.(\d+)\.blocks\.0\.', r'blocks.\1.'),
    (r'^out_norms\.(\d+)\.', r'norm\1.'),
)


class SingleScaleBackbone(MLPBackbone):
    """A network of one scale; every block is a stage. A family gives its blocks, see ``make_block``.

    Padding an image changes its numbers: with ``spatial_rule='tile'`` those of the tiles at the border, with
    ``'resize'`` all.

    Args:
        arch: name of a variant, or ``dict(dim=..., depth=..., patch_size=..., native_size=224)``, the sizes in pixels;
            the native grid has ``native_size / patch_size`` positions along each side.
        spatial_rule: how images of another size than the native one are mixed, ``'tile'`` (each tile of the native
            size alone, as if it were an image) or ``'resize'`` (bicubic interpolation to the native grid and back).
            Default ``'tile'``.
        out_indices: which blocks to return. Default None: the last of every quarter.
        frozen_stages: -1 freezes nothing, 0 the patch embedding, ``i`` that and the first ``i`` blocks. Default -1.

    The other arguments, the attributes and the errors are those of :class:`.MLPBackbone`.
    """

    arch_defaults: ClassVar[dict] = dict(native_size=224)
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def __init__(self, arch: str | dict, *, spatial_rule: str = 'tile', **kwargs: Any):
        check_choice('spatial_rule', spatial_rule, SPATIAL_RULES)
        self.spatial_rule = spatial_rule
        super().__init__(arch, **kwargs)

    @classmethod
    def stage_strides(cls, arch: dict) -> tuple[int, ...]:
        return (arch['patch_size'],) * arch['depth']

    def stage_channels(self) -> tuple[int, ...]:
        return (self.arch['dim'],) * len(self.strides)

    def stage_depths(self) -> tuple[int, ...]:
        return (1,) * len(self.strides)

    @property
    def grid(self) -> int:
        """Side of the native grid, in positions."""
        return self.arch['native_size'] // self.arch['patch_size']

    def make_stem(self, in_channels: int) -> nn.Module:
        whole = self.arch['native_size'] % self.arch['patch_size'] == 0
        check('arch', self.arch, 'one whose patch_size divides native_size', whole)
        return PatchEmbed(in_channels, self.arch['dim'], self.arch['patch_size'])

    def make_block(self, channels: int, drop_path: float) -> nn.Module:
        """One block, ``[B, C, H, W]`` to the same shape."""
        raise NotImplementedError

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        return Stage([self.make_block(self.arch['dim'], *drop_paths)], with_cp=with_cp)
