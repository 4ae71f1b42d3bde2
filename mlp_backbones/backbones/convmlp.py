"""ConvMLP: convolutions at first, then channel MLPs joined by depth-wise convolutions. Source: arXiv 2109.04454."""

from collections.abc import Callable
from functools import partial
from itertools import count, islice, pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints.weights import Weights
from ..compat import is_compiling
from ..layers import ConvEmbed, DropPath, LayerNorm2d, Mlp, build_norm, fold_norm_after
from ..ops import pad_to_multiple
from ..registry import register_family
from .base import MLPBackbone, Stage
from .published import PublishedNames

Norm = Callable[[int], nn.Module]


class ConvNormRelus(nn.Sequential):
    """Convolutions without bias, each with norm and ReLU; the first one has the stride.

    Args:
        widths: channels of the input and of every convolution.
        kernel_sizes: side of each convolution, odd.
        stride: the grid gets coarser by this factor.
        norm: makes a norm layer from the number of channels.
    """

    def __init__(self, widths: tuple[int, ...], kernel_sizes: tuple[int, ...], stride: int, norm: Norm):
        layers = []
        for i, (pair, kernel_size) in enumerate(zip(pairwise(widths), kernel_sizes, strict=True)):
            conv = nn.Conv2d(*pair, kernel_size, 1 if i else stride, kernel_size // 2, bias=False)
            layers += [conv, norm(pair[1]), nn.ReLU()]
        super().__init__(*layers)

    def fuse(self) -> None:
        for i in range(0, len(self), 3):
            self[i + 1] = fold_norm_after(self[i], self[i + 1])


class Tokenizer(nn.Module):
    """Three 3x3 convolutions and a max-pool: ``[B, C, H, W]`` to a quarter of the size (section 3.1)."""

    def __init__(self, in_channels: int, channels: int, norm: Norm):
        super().__init__()
        half = max(channels // 2, 1)
        self.block = ConvNormRelus((in_channels, half, half, channels), (3, 3, 3), 2, norm)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x)
        if is_compiling():
            # Pooling an odd side would fix its parity in the graph. No maximum sees a zero more: there was a ReLU.
            x = pad_to_multiple(x, 2)
        return F.max_pool2d(x, 3, 2, 1)


class ConvBlock(ConvNormRelus):
    """``x + f(x)``, where f is a bottleneck of convolutions 1x1, 3x3, 1x1 (section 3.2)."""

    def __init__(self, channels: int, hidden_channels: int, norm: Norm):
        widths = (channels, hidden_channels, hidden_channels, channels)
        super().__init__(widths, (1, 3, 1), 1, norm)

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class ConvMLPBlock(nn.Module):
    """Two channel MLPs with a depth-wise 3x3 convolution between, ``[B, C, H, W]`` to the same shape (section 3.3)."""

    def __init__(self, channels: int, mlp_ratio: float, drop_path: float):
        super().__init__()
        hidden = int(channels * mlp_ratio)
        self.norm1 = LayerNorm2d(channels)
        self.channel_mlp1 = Mlp(channels, hidden)
        self.connect_norm = LayerNorm2d(channels)
        self.connect = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm2 = LayerNorm2d(channels)
        self.channel_mlp2 = Mlp(channels, hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.channel_mlp1(self.norm1(x)))
        x = self.connect(self.connect_norm(x))
        return x + self.drop_path(self.channel_mlp2(self.norm2(x)))


@register_family
class ConvMLP(MLPBackbone):
    """ConvMLP (arXiv 2109.04454), four outputs at strides 4, 8, 16 and 32.

    Its parts end where a dense output is taken, so that ``frozen_stages`` and ``out_indices`` mean what they do
    elsewhere: stage 0 is the tokenizer's result and has no weights of its own, stage 1 is the convolution stage,
    stage 2 the first MLP stage, each with the downsampling after it, and stage 3 the other two MLP stages.

    All its operators are local: padding at the right and bottom changes only what is near the border.

    Args:
        arch: 's', 'm', 'l', or ``dict(stem_dim=..., dims=..., conv_depth=..., depths=..., mlp_ratios=...)``, where
            ``dims``, ``depths`` and ``mlp_ratios`` have an entry for each of the three MLP stages.
        drop_path_rate: stochastic depth of the last block of each MLP stage; it rises from 0 at the stage's first.
            Default 0.1.
        out_norm: as in :class:`MLPBackbone`, a LayerNorm; the published dense networks have none. Default False.
        norm_cfg: the norms of tokenizer and convolution stage, ``dict(type='BN')``, ``'SyncBN'`` or ``'GN'``. Default
            ``dict(type='BN')``.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        's': dict(stem_dim=64, dims=(128, 256, 512), conv_depth=2, depths=(2, 4, 2), mlp_ratios=(2, 2, 2)),
        'm': dict(stem_dim=64, dims=(128, 256, 512), conv_depth=3, depths=(3, 6, 3), mlp_ratios=(3, 3, 3)),
        'l': dict(stem_dim=96, dims=(192, 384, 768), conv_depth=3, depths=(4, 8, 3), mlp_ratios=(3, 3, 3)),
    }
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        (
            (r'^stem\.', 'tokenizer.'),
            (r'^stages\.1\.0\.blocks\.', 'conv_stages.conv_blocks.'),
            (r'^stages\.1\.1\.proj\.', 'conv_stages.downsample.'),
            (r'^stages\.2\.0\.blocks\.', 'stages.0.blocks.'),
            (r'^stages\.2\.1\.proj\.', 'stages.0.downsample_mlp.downsample.'),
            (r'^stages\.3\.0\.blocks\.', 'stages.1.blocks.'),
            (r'^stages\.3\.1\.proj\.', 'stages.1.downsample_mlp.downsample.'),
            (r'^stages\.3\.2\.blocks\.', 'stages.2.blocks.'),
        ),
        linear=r'\.channel_mlp[12]\.fc[12]\.weight$',
        flat=True,
    )
    dilates: ClassVar[bool] = True  # the depth-wise convolutions
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            name.format(arch),
            f'https://shi-labs.com/projects/convmlp/checkpoints/{file.format(arch)}.pth',
            dict(zip(metrics, scores, strict=True)),
            source='SHI-Labs/Convolutional-MLPs README',
            licence='',
            backbone=f'convmlp_{arch}',
        )
        for name, file, metrics, rows in (
            (
                'convmlp_{}',
                'convmlp_{}_imagenet',
                ('Top 1 Accuracy',),
                (('s', 76.8), ('m', 79.0), ('l', 80.2)),
            ),
            (
                'retinanet_convmlp-{}_fpn_1x_coco',
                'detection/retinanet_convmlp_{}_coco',
                ('box AP', 'box AP50', 'box AP75'),
                (('s', 37.2, 56.4, 39.8), ('m', 39.4, 58.7, 42.0), ('l', 40.2, 59.3, 43.3)),
            ),
            (
                'mask-rcnn_convmlp-{}_fpn_1x_coco',
                'detection/maskrcnn_convmlp_{}_coco',
                ('box AP', 'box AP50', 'box AP75', 'mask AP', 'mask AP50', 'mask AP75'),
                (
                    ('s', 38.4, 59.8, 41.8, 35.7, 56.7, 38.2),
                    ('m', 40.6, 61.7, 44.5, 37.2, 58.8, 39.8),
                    ('l', 41.7, 62.8, 45.5, 38.2, 59.9, 41.1),
                ),
            ),
            (
                'semfpn_convmlp-{}_40k_ade20k-512x512',
                'segmentation/sem_fpn_convmlp_{}_ade20k',
                ('mIoU',),
                (('s', 35.8), ('m', 38.6), ('l', 40.0)),
            ),
        )
        for arch, *scores in rows
    )
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def __init__(
        self,
        arch: str | dict,
        *,
        drop_path_rate: float = 0.1,
        out_norm: bool = False,
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ):
        self.norm = partial(build_norm, norm_cfg)
        super().__init__(arch, drop_path_rate=drop_path_rate, out_norm=out_norm, **kwargs)

    def make_stem(self, in_channels: int) -> nn.Module:
        return Tokenizer(in_channels, self.arch['stem_dim'], self.norm)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        if index == 0:
            return nn.Sequential()
        stem_dim, dims, depths = self.arch['stem_dim'], self.arch['dims'], self.arch['depths']
        if index == 1:
            blocks = [ConvBlock(stem_dim, dims[0], self.norm) for _ in range(self.arch['conv_depth'])]
            return nn.Sequential(Stage(blocks, with_cp=with_cp), self._downsample(stem_dim, dims[0]))

        def mlp_stage(i: int, rates: list[float]) -> nn.Module:
            blocks = [ConvMLPBlock(dims[i], self.arch['mlp_ratios'][i], rate) for rate in rates]
            return Stage(blocks, with_cp=with_cp)

        if index == 2:
            return nn.Sequential(mlp_stage(0, drop_paths), self._downsample(dims[0], dims[1]))
        first, second = mlp_stage(1, drop_paths[: depths[1]]), mlp_stage(2, drop_paths[depths[1] :])
        return nn.Sequential(first, self._downsample(dims[1], dims[2]), second)

    def make_out_norm(self, channels: int) -> nn.Module:
        return LayerNorm2d(channels)

    def stage_channels(self) -> tuple[int, ...]:
        return (self.arch['stem_dim'], *self.arch['dims'])

    def drop_path_rates(self, rate: float) -> list[list[float]]:
        """Stochastic depth of every MLP block by output: linear from 0 to ``rate`` over each MLP stage."""
        rates = [list(islice((rate * k / max(d - 1, 1) for k in count()), d)) for d in self.arch['depths']]
        return [[], [], rates[0], rates[1] + rates[2]]

    @staticmethod
    def init_layer(layer: nn.Module) -> None:
        """Channel MLPs: truncated normal of std 0.02; convolutions: Kaiming normal over the fan-out; all biases 0."""
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode='fan_out', nonlinearity='relu')
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, Mlp):
            for linear in (layer.fc1, layer.fc2):
                nn.init.trunc_normal_(linear.weight, std=0.02)

    @staticmethod
    def _downsample(channels: int, out_channels: int) -> nn.Module:
        return ConvEmbed(channels, out_channels, kernel_size=3, stride=2, padding=1)
