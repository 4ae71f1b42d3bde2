"""ShiftViT: a shift without parameters in the place of attention, and an MLP. Source: arXiv 2201.10801."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from ..checkpoints.weights import Weights
from ..layers import DropPath, GroupNorm1, Mlp, PatchEmbed
from ..ops import pad_end, pad_to_multiple, shift_channels
from ..registry import register_family
from .arguments import check
from .base import MLPBackbone, Stage
from .published import LAYERS, PublishedNames


class ShiftBlock(nn.Module):
    """``x = shift(x)``, then ``x + DP(mlp(norm2(x)))``: the residual carries the shifted map (section 3.2).

    Of every ``n_div`` channels four read one position away: right, left, below and above, in this order of groups.
    """

    def __init__(self, channels: int, n_div: int, mlp_ratio: float, drop_path: float):
        super().__init__()
        size = channels // n_div
        offsets = ((0, 1), (0, -1), (1, 0), (-1, 0))
        moved = ((slice(g * size, (g + 1) * size), *offset) for g, offset in enumerate(offsets))
        self.shifts = (*moved, (slice(4 * size, None), 0, 0))
        self.norm2 = GroupNorm1(channels)
        self.mlp = Mlp(channels, int(channels * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = shift_channels(x, self.shifts)
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def dilate(self, factor: int) -> None:
        self.shifts = tuple((group, rows * factor, columns * factor) for group, rows, columns in self.shifts)


class NormReduction(nn.Module):
    """Norm, then a 2x2 convolution of stride 2 without bias: half the size, rounded up."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.stride = 2
        self.dilation = 1
        self.norm = GroupNorm1(channels)
        self.reduction = nn.Conv2d(channels, out_channels, 2, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return self.reduction(
            pad_end(x, self.dilation, self.dilation) if self.stride == 1 else pad_to_multiple(x, self.stride)
        )

    def keep_grid(self, dilation: int) -> None:
        """Lose the stride: map neighbours that are ``dilation`` apart, around every position."""
        self.stride, self.dilation = 1, dilation
        self.reduction.stride, self.reduction.dilation = (1, 1), (dilation, dilation)


@register_family
class ShiftViT(MLPBackbone):
    """ShiftViT (arXiv 2201.10801), a pyramid of four stages at strides 4, 8, 16 and 32.

    Padding an image changes its numbers: every norm looks at all positions. The published code has no dense network:
    the norms of the outputs are those of Swin's detectors.

    Args:
        arch: 't', 's', 'b', 't_light', 's_light', 'b_light', or
            ``dict(dims=..., depths=..., mlp_ratios=(2, 2, 2, 2), n_div=12)``. Of ``n_div`` channels, at least 4, four
            move.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        't': dict(dims=(96, 192, 384, 768), depths=(6, 8, 18, 6), mlp_ratios=(2, 2, 2, 2), n_div=12),
        's': dict(dims=(96, 192, 384, 768), depths=(10, 18, 36, 10), mlp_ratios=(2, 2, 2, 2), n_div=12),
        'b': dict(dims=(128, 256, 512, 1024), depths=(10, 18, 36, 10), mlp_ratios=(2, 2, 2, 2), n_div=16),
        't_light': dict(dims=(96, 192, 384, 768), depths=(2, 2, 6, 2), mlp_ratios=(4, 4, 4, 4), n_div=12),
        's_light': dict(dims=(96, 192, 384, 768), depths=(2, 2, 18, 2), mlp_ratios=(4, 4, 4, 4), n_div=12),
        'b_light': dict(dims=(128, 256, 512, 1024), depths=(2, 2, 18, 2), mlp_ratios=(4, 4, 4, 4), n_div=16),
    }
    operators: tuple[str, ...] = ('group_norm_gelu',)
    published_names: ClassVar[PublishedNames | None] = PublishedNames(LAYERS)
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            f'shiftvit_{arch}',
            f'https://github.com/microsoft/SPACH/releases/download/v1.0/shiftvit_{file}.pth',
            {'Top 1 Accuracy': top1},
            source='microsoft/SPACH README',
            licence='MIT',
        )
        for arch, file, top1 in (
            ('t', 'tiny_r2', 81.7),
            ('s', 'small_r2', 82.8),
            ('t_light', 'tiny_light', 79.4),
            ('s_light', 'small_light', 81.6),
        )
    )
    arch_defaults: ClassVar[dict] = dict(mlp_ratios=(2, 2, 2, 2), n_div=12)
    dilates: ClassVar[bool] = True  # the offsets of channels
    cpu_format: ClassVar[torch.memory_format] = torch.channels_last

    def make_stem(self, in_channels: int) -> nn.Module:
        # The first of the make_* methods that the template calls.
        n_div = self.arch['n_div']
        check("arch['n_div']", n_div, 'at least 4, as four groups of channels move', n_div >= 4)
        return PatchEmbed(in_channels, self.arch['dims'][0], 4, GroupNorm1)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, ratio = self.arch['dims'], self.arch['mlp_ratios'][index]
        blocks = [ShiftBlock(dims[index], self.arch['n_div'], ratio, rate) for rate in drop_paths]
        return Stage(blocks, NormReduction(dims[index - 1], dims[index]) if index else None, with_cp)

    def make_out_norm(self, channels: int) -> nn.Module:
        return GroupNorm1(channels)

    @staticmethod
    def init_layer(layer: nn.Module) -> None:
        """All convolutions: truncated normal of std 0.02, bias 0."""
        if isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
