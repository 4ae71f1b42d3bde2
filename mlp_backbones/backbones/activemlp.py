"""ActiveMLP: a token mixer that reads each channel where the content of the image says. Source: arXiv 2203.06108."""

import re
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..checkpoints.weights import Weights
from ..layers import ConvEmbed, DropPath, LayerNorm2d, Mlp, SplitAttention
from ..ops import autocast_once, sample_along
from ..registry import register_family
from .arguments import check
from .base import MLPBackbone, Stage
from .published import PublishedNames, Rule


class ActiveMixer(nn.Module):
    """Active token mixer (section 3.2): three branches (along W, along H, channels only), re-weighted, then projected.

    ``offsets``, ``[B, 2 K, H, W]``, are where the branches along W and H read, for ``K`` groups of channels each.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.atm_w = nn.Conv2d(channels, channels, 1)
        self.atm_h = nn.Conv2d(channels, channels, 1)
        self.atm_c = nn.Conv2d(channels, channels, 1, bias=False)
        self.fusion = SplitAttention(channels, num_branches=3)
        self.proj = nn.Conv2d(channels, channels, 1)
        self.dilation = 1

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        x = autocast_once(x)
        of_w, of_h = offsets.chunk(2, 1)
        along_w = self.atm_w(sample_along(x, of_w, 3, self.dilation))
        along_h = self.atm_h(sample_along(x, of_h, 2, self.dilation))
        return self.proj(self.fusion(along_w, along_h, self.atm_c(x)))

    def dilate(self, factor: int) -> None:
        self.dilation *= factor


class ActiveBlock(nn.Module):
    """``x + DP(mixer(norm1(x), offsets))``, then ``x + DP(mlp(norm2(x)))``.

    Args:
        channels: width of the block.
        num_offsets: how many offsets of a position the block makes, in its ``offset_layer``; 0 if it makes none.
        mlp_ratio: hidden width of the channel MLP, as a multiple of ``channels``.
        drop_path: probability of a branch being dropped in training.
    """

    def __init__(self, channels: int, num_offsets: int, mlp_ratio: float, drop_path: float):
        super().__init__()
        self.offset_layer = None
        if num_offsets:
            self.offset_layer = nn.Sequential(LayerNorm2d(channels), nn.Conv2d(channels, num_offsets, 1))
        self.norm1 = LayerNorm2d(channels)
        self.mixer = ActiveMixer(channels)
        self.norm2 = LayerNorm2d(channels)
        self.mlp = Mlp(channels, int(channels * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        x = x + self.drop_path(self.mixer(self.norm1(x), offsets))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class ActiveStage(Stage):
    """A stage whose blocks use the last offsets that were made.

    Before a block makes offsets, it adds a depth-wise convolution of its input, ``pos``, which the stage has one of.
    """

    def __init__(self, channels: int, blocks: list[ActiveBlock], downsample: nn.Module | None, with_cp: bool):
        super().__init__([], downsample, with_cp)
        # Before the blocks, as its learning rate is that of the first one.
        del self.blocks
        self.pos = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        x, offsets = self.downsample(x), None
        for block in self.blocks:
            make_offsets: Any = block.offset_layer
            if make_offsets is not None:
                x = x + self.pos(x)
                offsets = make_offsets(x)
            x = self.run_block(block, x, offsets)
        return x


def _rules(names: list[str]) -> tuple[Rule, ...]:
    """Each downsampling belongs to the last block before it."""
    blocks = [re.match(r'stages\.(\d)\.blocks\.(\d+)\.', name) for name in names]
    last = [max((int(m[2]) for m in blocks if m and int(m[1]) == stage), default=0) for stage in range(4)]

    def downsample(match: re.Match) -> str:
        return f'blocks.{int(match[1]) - 1}.{last[int(match[1]) - 1]}.downsample.'

    return (
        (r'^stem\.', 'patch_embed.'),
        (r'^stages\.(\d)\.downsample\.', downsample),
        (r'^stages\.(\d)\.pos\.', r'pos_blocks.\1.proj.'),
        (r'^stages\.(\d)\.blocks\.', r'blocks.\1.'),
        (r'\.mixer\.', '.atm.'),
        (r'^out_norms\.(\d)\.', r'norm_\1.'),
    )


# Of a classifier, and of a segmentor.
_METRICS = (('Top 1 Accuracy', 'Top 5 Accuracy'), ('mIoU', 'mIoU (ms+flip)'))


@register_family
class ActiveMLP(MLPBackbone):
    """ActiveMLP (arXiv 2203.06108, later ATMNet), a pyramid of four stages at strides 4, 8, 16 and 32.

    Padding an image changes its numbers: the re-weighting averages over all positions, and offsets reach anywhere.

    Args:
        arch: 'xtiny', 'tiny', 'small', 'base', 'large', or ``dict(dims=..., depths=..., mlp_ratios=(4, 4, 4, 4),
            share_sizes=(2, 4, 4, 8), interval=2)``. By stage, ``share_sizes`` channels in a row share an offset. The
            first of every ``interval`` blocks makes offsets, but the last one of a stage, which has at least two.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        'xtiny': dict(dims=(64, 128, 320, 512), depths=(2, 2, 4, 2), mlp_ratios=(4, 4, 4, 4), interval=2),
        'tiny': dict(dims=(64, 128, 320, 512), depths=(2, 3, 10, 3), mlp_ratios=(4, 4, 4, 4), interval=2),
        'small': dict(dims=(64, 128, 320, 512), depths=(3, 4, 18, 3), mlp_ratios=(8, 8, 4, 4), interval=6),
        'base': dict(dims=(64, 128, 320, 512), depths=(3, 8, 27, 3), mlp_ratios=(8, 8, 4, 4), interval=6),
        'large': dict(dims=(96, 192, 384, 768), depths=(3, 4, 24, 3), mlp_ratios=(4, 4, 4, 4), interval=6),
    }
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        _rules, linear=r'\.(mlp\.fc[12]|atm\.(atm_c|proj|fusion\.fc[12])|offset_layer\.1)\.weight$'
    )
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            name,
            f'https://drive.google.com/file/d/{page}/view?usp=sharing',
            metrics,
            source=source,
            licence='MIT',
            backbone=f'activemlp_{arch}',
            file=f'{name}.pth',
            note=note,
        )
        for source, note, *files in (
            (
                'microsoft/ActiveMLP README',
                'the reported accuracy is that of the moving average in the file',
                ('xtiny', 'activemlp_xtiny', (79.7, 94.9), '1JjWFDJM097a2sX9zw2oOisCT-7T43-DV'),
                ('tiny', 'activemlp_tiny', (82.0, 95.9), '1eFv5SsGr6ZpupY0wB-N2mjVhQLSo92o-'),
                ('small', 'activemlp_small', (83.1, 96.3), '1lEsyiXxOxT6KMrzaSCxR04i6FxLtVVAs'),
                ('base', 'activemlp_base', (83.5, 96.6), '1cCLS1u4043qKgVIKkGJfLhPz_JzE6FRs'),
                ('large', 'activemlp_large', (83.8, 96.6), '1aIEnq_5-oS8jiLr2W8ryLabmzHTmR3J0'),
            ),
            (
                'microsoft/ActiveMLP segmentation README',
                '',
                (
                    'large',
                    'upernet_activemlp-large_160k_ade20k-512x512',
                    (50.05, 51.1),
                    '1vWTI7gRiI3Fd5g6UPziSyafliq3yrhrO',
                ),
            ),
        )
        for arch, name, scores, page in files
        for metrics in [dict(zip(_METRICS[name.startswith('upernet')], scores, strict=True))]
    )
    arch_defaults: ClassVar[dict] = dict(mlp_ratios=(4, 4, 4, 4), share_sizes=(2, 4, 4, 8), interval=2)
    min_depth: ClassVar[int] = 2
    dilates: ClassVar[bool] = True  # the offsets of the content
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def make_stem(self, in_channels: int) -> nn.Module:
        return ConvEmbed(in_channels, self.arch['dims'][0], kernel_size=7, stride=4, padding=2)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, ratio, shared = self.arch['dims'], self.arch['mlp_ratios'][index], self.arch['share_sizes'][index]
        channels, depth = dims[index], len(drop_paths)
        allowed = f'one of at least 2 blocks in each stage; stage {index} has {depth}'
        check('arch', self.arch, allowed, depth >= self.min_depth)
        check('arch', self.arch, f'one whose share_sizes divide dims; stage {index} has not', channels % shared == 0)
        blocks = []
        for j, rate in enumerate(drop_paths):
            makes = j % self.arch['interval'] == 0 and j < depth - 1
            blocks.append(ActiveBlock(channels, makes * 2 * channels // shared, ratio, rate))
        downsample = ConvEmbed(dims[index - 1], channels, kernel_size=3, stride=2, padding=1) if index else None
        return ActiveStage(channels, blocks, downsample, with_cp)

    def make_out_norm(self, channels: int) -> nn.Module:
        return LayerNorm2d(channels)

    @staticmethod
    def init_layer(layer: nn.Module) -> None:
        """Point-wise maps: truncated normal of std 0.02; convolutions: normal over the fan-out; all biases 0."""
        if isinstance(layer, nn.Conv2d):
            if layer.kernel_size == (1, 1):
                nn.init.trunc_normal_(layer.weight, std=0.02)
            else:
                nn.init.normal_(layer.weight, std=(2 * layer.groups / layer.weight[:, 0].numel()) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
