"""Wave-MLP: a token mixer that sees each token as a wave, and adds neighbours by phase. Source: arXiv 2111.12294."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints.weights import Weights
from ..layers import ConvEmbed, GroupNorm1, SplitAttention, build_norm, fold_norm_after, fold_norm_before
from ..ops import autocast_once
from ..registry import register_family
from .base import Block, MLPBackbone, Stage
from .published import PublishedNames, network_rules

Norm = Callable[[int], nn.Module]


class Phase(nn.Sequential):
    """A convolution, BatchNorm and ReLU: the phase of every token, ``[B, C, H, W]`` to the same shape.

    Args:
        channels: width of the map.
        mode: ``'fc'``, a point-wise map, or ``'depthwise'``, a 3x3 convolution of each channel alone.
        norm: makes the norm from the number of channels.
    """

    def __init__(self, channels: int, mode: str, norm: Norm):
        if mode == 'fc':
            conv = nn.Conv2d(channels, channels, 1)
        else:
            conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        super().__init__(conv, norm(channels), nn.ReLU())

    def fuse(self) -> None:
        self[1] = fold_norm_after(self[0], self[1])


class WaveSum(nn.Conv2d):
    """Adds up neighbours of each channel, real and imaginary parts together: ``[B, 2C, H, W]`` to ``[B, C, H, W]``.

    A convolution of pairs of channels, which torch runs faster channel by channel.

    Args:
        channels: C.
        kernel_size: rows and columns of the neighbourhood, odd.
    """

    def __init__(self, channels: int, kernel_size: tuple[int, int]):
        padding = (kernel_size[0] // 2, kernel_size[1] // 2)
        super().__init__(2 * channels, channels, kernel_size, padding=padding, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.flatten(0, 1).unsqueeze(1)
        y = F.conv2d(x, weight, padding=self.padding, dilation=self.dilation, groups=self.in_channels)
        return y.unflatten(1, (-1, 2)).sum(2)


class WaveMixer(nn.Module):
    """Phase-aware token mixing (section 3.2), ``[B, C, H, W]`` to the same shape.

    Three branches (waves added up along W, along H, channels alone) on one input, re-weighted, then projected.
    """

    def __init__(self, channels: int, mode: str, norm: Norm):
        super().__init__()
        self.theta_h_conv = Phase(channels, mode, norm)
        self.theta_w_conv = Phase(channels, mode, norm)
        self.fc_h = nn.Conv2d(channels, channels, 1, bias=False)
        self.fc_w = nn.Conv2d(channels, channels, 1, bias=False)
        self.fc_c = nn.Conv2d(channels, channels, 1, bias=False)
        # The published weights call the branch along W `h`, and the one along H `w`.
        self.tfc_h = WaveSum(channels, (1, 7))
        self.tfc_w = WaveSum(channels, (7, 1))
        self.reweight = SplitAttention(channels, num_branches=3)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = autocast_once(x)
        along_w = self.tfc_h(_wave(self.fc_h(x), self.theta_h_conv(x)))
        along_h = self.tfc_w(_wave(self.fc_w(x), self.theta_w_conv(x)))
        return self.proj(self.reweight(along_w, along_h, self.fc_c(x)))


def _wave(amplitude: Tensor, phase: Tensor) -> Tensor:
    """Real and imaginary parts, ``[B, 2C, H, W]``."""
    return torch.cat([amplitude * phase.cos(), amplitude * phase.sin()], 1)


class WaveBlock(Block):
    def fuse(self) -> None:
        mixer: Any = self.mixer
        readers = (mixer.fc_h, mixer.fc_w, mixer.fc_c, mixer.theta_h_conv[0], mixer.theta_w_conv[0])
        # Wider ones meet zeros that the norm has not seen.
        if all(getattr(conv, 'kernel_size', None) == (1, 1) for conv in readers):
            self.norm1 = fold_norm_before(self.norm1, *readers)
        self.norm2 = fold_norm_before(self.norm2, self.mlp.fc1)


@register_family
class WaveMLP(MLPBackbone):
    """Wave-MLP (arXiv 2111.12294), a pyramid of four stages at strides 4, 8, 16 and 32.

    Padding an image changes its numbers: the re-weighting averages over all positions, as does GroupNorm where there
    is one. In training, BatchNorm needs more than one value per channel: one image whose map in some stage is 1x1 is
    refused by torch.

    Args:
        arch: 't', 't_dw', 's', 'm', 'b', or ``dict(dims=..., depths=..., mlp_ratios=(4, 4, 4, 4), mode='fc',
            norm='BN', ds_use_norm=True)``: ``mode`` is the convolution that gives the phases, ``'fc'`` or
            ``'depthwise'``; ``norm`` that of blocks, outputs and embeddings, ``'BN'`` or ``'GN1'`` (GroupNorm of one
            group); ``ds_use_norm`` whether the embeddings have one.
        norm_cfg: every BatchNorm, ``dict(type='BN')``, ``'SyncBN'`` or ``'GN'``; the phases have one in all variants.
            Default ``dict(type='BN')``.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        't': dict(dims=(64, 128, 320, 512), depths=(2, 2, 4, 2)),
        't_dw': dict(dims=(64, 128, 320, 512), depths=(2, 2, 4, 2), mode='depthwise'),
        's': dict(dims=(64, 128, 320, 512), depths=(2, 3, 10, 3), norm='GN1'),
        'm': dict(
            dims=(64, 128, 320, 512), depths=(3, 4, 18, 3), mlp_ratios=(8, 8, 4, 4), norm='GN1', ds_use_norm=False
        ),
        'b': dict(dims=(96, 192, 384, 768), depths=(2, 2, 18, 2), norm='GN1', ds_use_norm=False),
    }
    dilates: ClassVar[bool] = True  # the sums of neighbours and the depth-wise phases, which are convolutions
    published_names: ClassVar[PublishedNames | None] = PublishedNames(network_rules)
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            f'wavemlp_{arch.lower()}',
            f'https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log-wave/WaveMLP_{arch}.pth.tar',
            {'Top 1 Accuracy': top1},
            source='ggjy/Hire-Wave-MLP.pytorch README',
            licence='MIT',
        )
        for arch, top1 in dict(T_dw=80.1, T=80.9, S=82.9, M=83.3).items()
    )
    arch_defaults: ClassVar[dict] = dict(mlp_ratios=(4, 4, 4, 4), mode='fc', norm='BN', ds_use_norm=True)

    def __init__(self, arch: str | dict, *, norm_cfg: dict | None = None, **kwargs: Any):
        self.batch_norm = partial(build_norm, norm_cfg)
        super().__init__(arch, **kwargs)
        self.operators = () if self.arch['norm'] == 'BN' else ('group_norm_gelu',)

    def make_out_norm(self, channels: int) -> nn.Module:
        return self.batch_norm(channels) if self.arch['norm'] == 'BN' else GroupNorm1(channels)

    def make_stem(self, in_channels: int) -> nn.Module:
        return ConvEmbed(in_channels, self.arch['dims'][0], 7, stride=4, padding=2, norm=self._embed_norm)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, ratio = self.arch['dims'], self.arch['mlp_ratios'][index]
        channels = dims[index]
        blocks = [
            WaveBlock(
                channels, WaveMixer(channels, self.arch['mode'], self.batch_norm), self.make_out_norm, ratio, rate
            )
            for rate in drop_paths
        ]
        downsample = None
        if index:
            downsample = ConvEmbed(dims[index - 1], channels, 3, stride=2, padding=1, norm=self._embed_norm)
        return Stage(blocks, downsample, with_cp)

    @property
    def _embed_norm(self) -> Norm | None:
        return self.make_out_norm if self.arch['ds_use_norm'] else None
