"""A whole family, the example of adding_a_family.md; no paper proposes it."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlp_backbones.backbones import MLPBackbone
from mlp_backbones.backbones.arguments import check
from mlp_backbones.backbones.base import Block, Stage
from mlp_backbones.backbones.published import LAYERS, PublishedNames
from mlp_backbones.layers import ConvEmbed, LayerNorm2d
from mlp_backbones.registry import register_family


class AverageMixer(nn.Module):
    """The mean of ``side`` x ``side`` positions, then a point-wise map: ``[B, C, H, W]`` to the same shape."""

    def __init__(self, channels: int, side: int):
        super().__init__()
        self.side = side
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(F.avg_pool2d(x, self.side, stride=1, padding=self.side // 2, count_include_pad=False))


@register_family
class AverageMLP(MLPBackbone):
    """A pyramid of four stages at strides 4, 8, 16 and 32.

    Args:
        arch: 'tiny', or ``dict(dims=..., depths=..., mlp_ratios=(4, 4, 4, 4))``.
        side: of the window that is averaged, in positions, odd. Default 3.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        'tiny': dict(dims=(32, 64, 160, 256), depths=(2, 2, 4, 2), mlp_ratios=(4, 4, 4, 4)),
    }
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        (*LAYERS, (r'\.mixer\.', '.pool.')), linear=r'\.(mlp\.fc[12]|pool\.proj)\.weight$'
    )
    arch_defaults: ClassVar[dict] = dict(mlp_ratios=(4, 4, 4, 4))
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def __init__(self, arch: str | dict, side: int = 3, **kwargs: Any):
        check('side', side, 'an odd integer of at least 1', type(side) is int and side > 0 and side % 2 == 1)
        self.side = side
        super().__init__(arch, **kwargs)

    def make_stem(self, in_channels: int) -> nn.Module:
        return ConvEmbed(in_channels, self.arch['dims'][0], kernel_size=7, stride=4, padding=2)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, ratio = self.arch['dims'], self.arch['mlp_ratios'][index]
        channels = dims[index]
        blocks = [Block(channels, AverageMixer(channels, self.side), LayerNorm2d, ratio, rate) for rate in drop_paths]
        downsample = ConvEmbed(dims[index - 1], channels, kernel_size=3, stride=2, padding=1) if index else None
        return Stage(blocks, downsample, with_cp)

    def make_out_norm(self, channels: int) -> nn.Module:
        return LayerNorm2d(channels)
