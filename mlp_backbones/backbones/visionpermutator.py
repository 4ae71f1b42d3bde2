"""Vision Permutator: rows, columns and channels mixed apart by linear maps. Source: arXiv 2106.12368."""

from itertools import accumulate
from operator import mul
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..checkpoints.weights import Weights
from ..layers import LayerNorm2d, PatchEmbed, SplitAttention, init_pointwise
from ..ops import SPATIAL_RULES, on_native_grid
from ..registry import register_family
from .arguments import check, check_choice
from .base import Block, MLPBackbone, Stage
from .published import PublishedNames, network_rules


class PermuteMixer(nn.Module):
    """Three branches (along H, along W, channels alone) on one input, re-weighted, then projected (section 3.2).

    Args:
        channels: width C.
        segments: N, parts that the channels are cut in, and side of the native grid.
        spatial_rule: see :func:`.ops.on_native_grid`; a tile is re-weighted by its own average.
    """

    def __init__(self, channels: int, segments: int, spatial_rule: str):
        super().__init__()
        self.segments = segments
        self.spatial_rule = spatial_rule
        self.mlp_h = nn.Conv2d(channels, channels, 1, bias=False)
        self.mlp_w = nn.Conv2d(channels, channels, 1, bias=False)
        self.mlp_c = nn.Conv2d(channels, channels, 1, bias=False)
        self.reweight = SplitAttention(channels, num_branches=3)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return on_native_grid(x, self.segments, self.spatial_rule, self.mix)

    def mix(self, x: Tensor) -> Tensor:
        along_h = self.swap(self.mlp_h(self.swap(x, 2)), 2)
        along_w = self.swap(self.mlp_w(self.swap(x, 3)), 3)
        return self.proj(self.reweight(along_h, along_w, self.mlp_c(x)))

    def swap(self, x: Tensor, dim: int) -> Tensor:
        """Exchanges the segment and the position along ``dim``: the channels then hold all positions of a segment."""
        return x.unflatten(1, (self.segments, -1)).transpose(1, dim + 1).flatten(1, 2)


@register_family
class VisionPermutator(MLPBackbone):
    """Vision Permutator (arXiv 2106.12368), four stages of one scale or two.

    Padding an image changes its numbers: with ``spatial_rule='tile'`` those of the tiles at the border, with
    ``'resize'`` all.

    Args:
        arch: 's14', 's7', 'm7', 'l7', or ``dict(patch_size=..., dims=..., depths=..., segments=..., strides=...,
            mlp_ratios=(3, 3, 3, 3))``: ``segments`` are the parts that channels are cut in, and sides of the native
            grid, by stage; they must divide ``dims``. ``strides`` are the strides of the convolutions behind the first
            three stages, at least 1; with stride 1 there is none where the width stays.
        spatial_rule: how maps of another size than the native grid are mixed, ``'tile'`` (each tile of the native
            size alone) or ``'resize'`` (bicubic interpolation to the native grid and back). Default ``'tile'``.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        's14': dict(
            patch_size=14, dims=(384, 384, 384, 384), depths=(4, 3, 8, 3), segments=(16, 16, 16, 16), strides=(1, 1, 1)
        ),
        's7': dict(
            patch_size=7, dims=(192, 384, 384, 384), depths=(4, 3, 8, 3), segments=(32, 16, 16, 16), strides=(2, 1, 1)
        ),
        'm7': dict(
            patch_size=7, dims=(256, 256, 512, 512), depths=(4, 3, 14, 3), segments=(32, 32, 16, 16), strides=(1, 2, 1)
        ),
        'l7': dict(
            patch_size=7, dims=(256, 512, 512, 512), depths=(8, 8, 16, 4), segments=(32, 16, 16, 16), strides=(2, 1, 1)
        ),
    }
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        network_rules, linear=r'\.(mlp\.fc[12]|attn\.(mlp_[chw]|proj|reweight\.fc[12]))\.weight$'
    )
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            f'visionpermutator_{arch}',
            f'https://drive.google.com/file/d/{file}/view?usp=sharing',
            {'Top 1 Accuracy': top1},
            source='Andrew-Qibin/VisionPermutator README',
            licence='MIT',
            file=f'visionpermutator_{arch}.pth',
        )
        for arch, file, top1 in (
            ('s7', '1cX6eauDrsGsLSZnqsX7cl0oiKX8Dzv5z', 81.5),
            ('m7', '15y5WMypthpbBFdc01E3mJCZit7q0Yn8m', 82.7),
            ('l7', '14F5IXGXmB_3jrwK33Efae-WEb5D_G85c', 83.2),
        )
    )
    arch_defaults: ClassVar[dict] = dict(mlp_ratios=(3, 3, 3, 3))
    renamed_arch_keys: ClassVar[dict[str, str]] = {'steps': 'strides'}
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def __init__(self, arch: str | dict, *, spatial_rule: str = 'tile', **kwargs: Any):
        check_choice('spatial_rule', spatial_rule, SPATIAL_RULES)
        self.spatial_rule = spatial_rule
        super().__init__(arch, **kwargs)

    @classmethod
    def stage_strides(cls, arch: dict) -> tuple[int, ...]:
        return tuple(accumulate(arch['strides'], mul, initial=arch['patch_size']))

    def make_stem(self, in_channels: int) -> nn.Module:
        return PatchEmbed(in_channels, self.arch['dims'][0], self.arch['patch_size'])

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, segments = self.arch['dims'], self.arch['segments'][index]
        channels, ratio = dims[index], self.arch['mlp_ratios'][index]
        check('arch', self.arch, f'one whose segments divide dims; stage {index} has not', channels % segments == 0)
        blocks = [
            Block(channels, PermuteMixer(channels, segments, self.spatial_rule), LayerNorm2d, ratio, rate)
            for rate in drop_paths
        ]
        stride = self.arch['strides'][index - 1] if index else 1
        wider = index > 0 and dims[index - 1] != channels
        downsample = PatchEmbed(dims[index - 1], channels, stride) if stride > 1 or wider else None
        return Stage(blocks, downsample, with_cp)

    def make_out_norm(self, channels: int) -> nn.Module:
        return LayerNorm2d(channels)

    init_layer = staticmethod(init_pointwise)
