"""RaMLP: region-aware mixing of neighbours and of positions far apart, gated by a second branch. Source: IJCAI 2023."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints.weights import Weights
from ..layers import ConvEmbed, DropPath, LayerNorm2d, Neck, build_norm, fold_norm_after, fold_norm_alone
from ..ops import align_gradient, autocast_once, gather_dilated, on_phases, scatter_dilated
from ..registry import MODELS, register, register_family
from .arguments import check
from .base import MLPBackbone, Stage
from .published import PublishedNames

BatchNorm = Callable[[int], nn.Module]
Norm = partial(LayerNorm2d, eps=1e-6)


class SquaredReLU(nn.Module):
    """``relu(x)**2 + b``, with one learned number b."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x).square() + self.bias


class SquaredMlp(nn.Sequential):
    """Two point-wise linear maps without bias, a squared ReLU between: ``[B, C, H, W]`` to the same shape."""

    def __init__(self, channels: int, hidden_channels: int):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden_channels, 1, bias=False)
        self.act = SquaredReLU()
        self.fc2 = nn.Conv2d(hidden_channels, channels, 1, bias=False)


class RegionMixer(nn.Module):
    """Region-aware token mixer, ``[B, C, H, W]`` to the same shape: one branch mixes positions and gates the other.

    Args:
        channels: C.
        hidden_channels: width of both branches; ``width`` divides it.
        splits: positions far apart are those with one place in ``splits`` x ``splits`` parts of the map.
        width: neighbouring channels that are mixed with them.
        norm: makes the BatchNorm of a branch from the number of channels.
    """

    def __init__(self, channels: int, hidden_channels: int, splits: int, width: int, norm: BatchNorm):
        super().__init__()
        self.splits = splits
        self.width = width
        self.dilation = 1
        size = width * splits**2
        self.pwconv1 = nn.Conv2d(channels, hidden_channels, 1, bias=False)
        self.dwconv1 = nn.Conv2d(hidden_channels, hidden_channels, 5, padding=2, groups=hidden_channels, bias=False)
        self.sfc = nn.Conv2d(size, size, 1, bias=False)
        self.bn1 = norm(hidden_channels)
        self.pwconv2 = nn.Conv2d(channels, hidden_channels, 1, bias=False)
        self.bn2 = norm(hidden_channels)
        self.proj = nn.Conv2d(hidden_channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = autocast_once(x)
        mixed = on_phases(self.pwconv1(x), self.dilation, self.mix)
        return self.proj(align_gradient(self.bn1(mixed)) * align_gradient(self.bn2(self.pwconv2(x))))

    def mix(self, x: Tensor) -> Tensor:
        """Mix the positions of the first branch, near ones and then those far apart."""
        near = self.dwconv1(x)
        vectors = gather_dilated(near, self.splits, self.width)
        return scatter_dilated(self.sfc(vectors / vectors.shape[1]), near, self.splits, self.width)

    def dilate(self, factor: int) -> None:
        self.dilation *= factor

    def fuse(self) -> None:
        self.bn1 = fold_norm_alone(self.bn1)
        self.bn2 = fold_norm_after(self.pwconv2, self.bn2)


class ResidualScale(nn.Module):
    """``scale * x`` for each channel of ``[B, C, H, W]``; the scale starts at 1."""

    def __init__(self, channels: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale[:, None, None] * x


class RaMLPBlock(nn.Module):
    """``x + cpe(x)``, then ``s1 x + DP(mixer(norm1(x)))``, then ``s2 x + DP(mlp(norm2(x)))``.

    Args:
        channels: C.
        mixer: the token mixer.
        hidden_channels: of the channel MLP.
        scaled: whether the residuals have scales s1 and s2; otherwise these are 1.
        drop_path: probability of a branch being dropped in training.
    """

    def __init__(self, channels: int, mixer: nn.Module, hidden_channels: int, scaled: bool, drop_path: float):
        super().__init__()
        self.cpe = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm1 = Norm(channels)
        self.mixer = mixer
        self.res_scale1 = ResidualScale(channels) if scaled else nn.Identity()
        self.norm2 = Norm(channels)
        self.mlp = SquaredMlp(channels, hidden_channels)
        self.res_scale2 = ResidualScale(channels) if scaled else nn.Identity()
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.cpe(x)
        x = self.res_scale1(x) + self.drop_path(self.mixer(self.norm1(x)))
        return self.res_scale2(x) + self.drop_path(self.mlp(self.norm2(x)))


class NormConvEmbed(ConvEmbed):
    """LayerNorm, then a 3x3 convolution of stride 2: ``[B, C, H, W]`` to ``[B, C', ~H / 2, ~W / 2]``."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, stride=2, padding=1)
        self.pre_norm = Norm(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.pre_norm(x))


@register(MODELS)
class RaMLPNeck(Neck):
    """The part of a classifier between the last map ``[B, C, H, W]``, without norm, and the linear layer.

    Args:
        channels: C; the vector has 4C.
    """

    def __init__(self, channels: int):
        super().__init__(4 * channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.hidden_norm = nn.LayerNorm(4 * channels)

    def pool(self, x: Tensor) -> Tensor:
        return self.hidden_norm(F.relu(self.fc1(self.norm(x.mean((2, 3))))).square())


@register_family
class RaMLP(MLPBackbone):
    """RaMLP (IJCAI 2023), a pyramid of four stages at strides 4, 8, 16 and 32.

    Padding an image changes its numbers: the parts that are mixed with each other are those of the padded map. In
    training, BatchNorm needs more than one value per channel: one image whose map in some stage is 1x1 is refused by
    torch.

    Args:
        arch: 'tiny', 'small', 'base', or ``dict(dims=..., depths=..., mlp_ratios=(4, 4, 3, 3),
            expand_ratios=(3, 3, 2, 2), splits=(8, 4, 2, 1), widths=(1, 4, 16, 64))``: ``expand_ratios`` is the width of
            the token mixers as a multiple of ``dims``, ``splits`` the parts along each side of the map of which
            positions are mixed, ``widths`` the channels that are mixed with them.
        norm_cfg: the norms of the token mixers, ``dict(type='BN')``, ``'SyncBN'`` or ``'GN'``. Default
            ``dict(type='BN')``.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        'tiny': dict(dims=(64, 128, 256, 512), depths=(3, 3, 12, 3)),
        'small': dict(dims=(64, 128, 256, 512), depths=(3, 8, 27, 3)),
        # The 58 M parameters of the README are those of 12 blocks in stage 2; the published code has 18.
        'base': dict(dims=(96, 192, 384, 768), depths=(3, 8, 18, 3)),
    }
    # No dense network was published; its norms are called as in other codes.
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        (
            (r'^head\.', 'head.fc2.'),
            (r'^neck\.norm\.', 'norm.'),
            (r'^neck\.fc1\.', 'head.fc1.'),
            (r'^neck\.hidden_norm\.', 'head.norm.'),
            (r'^stem\.norm\.', 'down_0.post_norm.'),
            (r'^stem\.proj\.', 'down_0.conv.'),
            (r'^stages\.(\d)\.downsample\.pre_norm\.', r'down_\1.pre_norm.'),
            (r'^stages\.(\d)\.downsample\.proj\.', r'down_\1.conv.'),
            (r'^stages\.(\d)\.blocks\.', r'stages.\1.'),
            (r'\.mixer\.', '.token_mixer.'),
            (r'^out_norms\.(\d)\.', r'norm\1.'),
        ),
        linear=r'\.(pwconv[12]|sfc|proj|mlp\.fc[12])\.weight$',
    )
    published_weights: ClassVar[tuple[Weights, ...]] = (
        Weights(
            'ramlp_tiny',
            'https://pan.baidu.com/s/1Ylo1DiJTHGtDYgOVmojCJQ?pwd=c88f',
            {'Top 1 Accuracy': 82.9},
            source='xiaolai-sqlai/RaMLP README',
            licence='MIT',
            file='ramlp_tiny.pth',
        ),
    )
    arch_defaults: ClassVar[dict] = dict(
        mlp_ratios=(4, 4, 3, 3), expand_ratios=(3, 3, 2, 2), splits=(8, 4, 2, 1), widths=(1, 4, 16, 64)
    )
    classifier_norm: ClassVar[bool] = False
    dilates: ClassVar[bool] = True  # convolutions and regions of every d-th row and column
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def __init__(self, arch: str | dict, *, norm_cfg: dict | None = None, **kwargs: Any):
        self.batch_norm = partial(build_norm, norm_cfg)
        super().__init__(arch, **kwargs)

    def make_stem(self, in_channels: int) -> nn.Module:
        return ConvEmbed(in_channels, self.arch['dims'][0], 7, stride=4, padding=2, norm=Norm)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, width = self.arch['dims'], self.arch['widths'][index]
        channels = dims[index]
        hidden = int(channels * self.arch['expand_ratios'][index])
        check(
            'arch',
            self.arch,
            f'one whose widths divide dims * expand_ratios; stage {index} has not',
            hidden % width == 0,
        )
        blocks = [
            RaMLPBlock(
                channels,
                RegionMixer(channels, hidden, self.arch['splits'][index], width, self.batch_norm),
                int(channels * self.arch['mlp_ratios'][index]),
                index > 1,
                rate,
            )
            for rate in drop_paths
        ]
        return Stage(blocks, NormConvEmbed(dims[index - 1], channels) if index else None, with_cp)

    def make_out_norm(self, channels: int) -> nn.Module:
        return Norm(channels)

    def make_neck(self) -> Neck:
        return RaMLPNeck(self.out_channels[-1])

    @staticmethod
    def init_layer(layer: nn.Module) -> None:
        """All maps: truncated normal of std 0.02, bias 0."""
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
