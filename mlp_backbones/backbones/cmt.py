"""CMT: convolutions and attention with a learned position bias, a comparator of MLPs. Source: arXiv 2107.06263."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints.weights import Weights
from ..layers import (
    DropPath,
    LayerNorm2d,
    Neck,
    PatchEmbed,
    build_norm,
    fold_norm_after,
    fold_norm_alone,
    fold_norm_before,
    linear_gelu,
)
from ..ops import align_gradient, autocast_once, on_phases, pad_to_multiple, resize_position_bias
from ..ops.tensors import gelu_
from ..registry import MODELS, register, register_family
from .arguments import check
from .base import MLPBackbone, Stage
from .published import PublishedNames

BatchNorm = Callable[[int], nn.Module]
# The embeddings before the stages have eps 1e-5.
Norm = partial(LayerNorm2d, eps=1e-6)


class ConvStem(nn.Module):
    """Three 3x3 convolutions, each with GELU, then BatchNorm: ``[B, C, H, W]`` to ``[B, C', ~H / 2, ~W / 2]``."""

    def __init__(self, in_channels: int, channels: int, norm: BatchNorm):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)
        self.norm1 = norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = norm(channels)
        self.conv3 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm3 = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = align_gradient(self.norm1(linear_gelu(self.conv1, x)))
        x = align_gradient(self.norm2(linear_gelu(self.conv2, x)))
        return align_gradient(self.norm3(linear_gelu(self.conv3, x)))

    def fuse(self) -> None:
        self.norm1, self.norm2, self.norm3 = map(fold_norm_alone, (self.norm1, self.norm2, self.norm3))


class ReducingConv(nn.Sequential):
    """A depth-wise convolution with its kernel as stride, and BatchNorm: ``[B, C, H, W]`` to ``[B, C, ~H/R, ~W/R]``."""

    def __init__(self, channels: int, reduction: int, norm: BatchNorm):
        conv = nn.Conv2d(channels, channels, reduction, stride=reduction, groups=channels)
        super().__init__(conv, norm(channels))
        self.reduction = reduction

    def forward(self, x: Tensor) -> Tensor:
        return align_gradient(super().forward(pad_to_multiple(x, self.reduction)))

    def fuse(self) -> None:
        self[1] = fold_norm_after(self[0], self[1])


class Attention(nn.Module):
    """Attention in which all positions ask those of a coarser map, ``[B, C, H, W]`` to the same shape (section 3.3).

    Args:
        channels: C.
        heads: parts of the channels that attend on their own.
        reduction: R, the coarser map has ``ceil(H / R)`` x ``ceil(W / R)`` positions.
        norm: makes a BatchNorm from the number of channels.
    """

    def __init__(self, channels: int, heads: int, reduction: int, norm: BatchNorm):
        super().__init__()
        self.heads = heads
        self.dilation = 1
        self.scale = (channels // heads) ** -0.5
        self.q = nn.Conv2d(channels, channels, 1)
        self.sr = ReducingConv(channels, reduction, norm) if reduction > 1 else nn.Identity()
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Mix ``x``; the bias of positions is ``[heads, H * W, ceil(H / R) * ceil(W / R)]``, H and W being its sides.

        Dilated by d, each of the interleaved maps of H and W a d-th of those of ``x`` attends to itself.
        """
        return on_phases(autocast_once(x), self.dilation, partial(self.attend, bias=bias))

    def dilate(self, factor: int) -> None:
        self.dilation *= factor

    def attend(self, x: Tensor, bias: Tensor) -> Tensor:
        coarse = self.sr(x)
        q, k, v = (self._split(y) for y in (self.q(x), self.k(coarse), self.v(coarse)))
        weights = (q @ k.transpose(2, 3) * self.scale + bias).softmax(-1)
        mixed = (weights.to(v.dtype) @ v).transpose(1, 2).flatten(2)
        return self.proj(mixed.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2))

    def _split(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, heads, H * W, C / heads]``."""
        return x.permute(0, 2, 3, 1).flatten(1, 2).unflatten(2, (self.heads, -1)).transpose(1, 2)


class ConvMlp(nn.Module):
    """Inverted residual feed-forward network, ``[B, C, H, W]`` to the same shape (section 3.4)."""

    def __init__(self, channels: int, hidden_channels: int, norm: BatchNorm):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, hidden_channels, 1)
        self.norm1 = norm(hidden_channels)
        self.proj = nn.Conv2d(hidden_channels, hidden_channels, 3, padding=1, groups=hidden_channels)
        self.norm2 = norm(hidden_channels)
        self.conv2 = nn.Conv2d(hidden_channels, channels, 1)
        self.norm3 = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = align_gradient(self.norm1(linear_gelu(self.conv1, x)))
        x = align_gradient(self.norm2(gelu_(x + self.proj(x))))
        return align_gradient(self.norm3(self.conv2(x)))

    def fuse(self) -> None:
        self.norm1 = fold_norm_alone(self.norm1)
        self.norm2 = fold_norm_before(self.norm2, self.conv2)
        self.norm3 = fold_norm_after(self.conv2, self.norm3)


class CMTBlock(nn.Module):
    """``x + lpu(x)``, then ``x + DP(mixer(norm1(x)))``, then ``x + DP(mlp(norm2(x)))``."""

    def __init__(self, channels: int, mixer: nn.Module, mlp: nn.Module, drop_path: float):
        super().__init__()
        self.lpu = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm1 = Norm(channels)
        self.mixer = mixer
        self.norm2 = Norm(channels)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.lpu(x)
        x = x + self.drop_path(self.mixer(self.norm1(x), bias))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class CMTStage(Stage):
    """A stage whose blocks share one position bias.

    Args:
        grid: side of the native grid, in positions.
        heads: of the attention.
        reduction: of the attention.
        **kwargs: those of :class:`.Stage`.
    """

    def __init__(self, grid: int, heads: int, reduction: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.reduction = reduction
        coarse = -(-grid // reduction)
        self.relative_pos = nn.Parameter(torch.empty(heads, grid**2, coarse**2))
        nn.init.normal_(self.relative_pos)

    def forward(self, x: Tensor) -> Tensor:
        x = self.downsample(x)
        mixer: Any = self.blocks[0].mixer
        return self.run(x, resize_position_bias(x, self.relative_pos, self.reduction, mixer.dilation))


@register(MODELS)
class CMTNeck(Neck):
    """The part of a classifier between the last map ``[B, C, H, W]``, without norm, and the linear layer.

    Args:
        channels: C; the vector has 1280 channels.
        dropout: probability of a channel being dropped in training. Default 0.1.
        norm_cfg: its BatchNorm. Default ``dict(type='BN')``.
    """

    def __init__(self, channels: int, dropout: float = 0.1, norm_cfg: dict | None = None):
        super().__init__(1280)
        self.conv = nn.Conv2d(channels, 1280, 1)
        self.norm = build_norm(norm_cfg, 1280)
        self.dropout = nn.Dropout(dropout)

    def pool(self, x: Tensor) -> Tensor:
        return self.dropout(F.silu(align_gradient(self.norm(self.conv(x)))).mean((2, 3)))


@register_family
class CMT(MLPBackbone):
    """CMT (arXiv 2107.06263), a pyramid of four stages at strides 4, 8, 16 and 32.

    Padding an image changes its numbers: attention sees all positions. In training, BatchNorm needs more than one
    value per channel: one image whose map in some stage is 1x1 is refused by torch.

    Args:
        arch: 'ti', 'xs', 's', 'b', or ``dict(stem_dim=..., dims=..., depths=..., mlp_ratios=..., native_size=...,
            heads=(1, 2, 4, 8), reductions=(8, 4, 2, 1), dropout=0.1)``: ``native_size`` is the side in pixels of the
            images whose position biases are learned, ``reductions`` how much coarser the maps are that attention
            reads, ``dropout`` that of the classifier.
        norm_cfg: every BatchNorm, ``dict(type='BN')``, ``'SyncBN'`` or ``'GN'``. Default ``dict(type='BN')``.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        'ti': dict(
            stem_dim=16, dims=(46, 92, 184, 368), depths=(2, 2, 10, 2), mlp_ratios=(3.6, 3.6, 3.6, 3.6), native_size=160
        ),
        'xs': dict(
            stem_dim=16,
            dims=(52, 104, 208, 416),
            depths=(3, 3, 12, 3),
            mlp_ratios=(3.77, 3.77, 3.77, 3.77),
            native_size=192,
        ),
        's': dict(
            stem_dim=32, dims=(64, 128, 256, 512), depths=(3, 3, 16, 3), mlp_ratios=(4, 4, 4, 4), native_size=224
        ),
        'b': dict(
            stem_dim=38,
            dims=(76, 152, 304, 608),
            depths=(4, 4, 20, 4),
            mlp_ratios=(4, 4, 4, 4),
            native_size=256,
            dropout=0.3,
        ),
    }
    # No dense network was published; its norms are called as in other codes.
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        (
            (r'^neck\.conv\.', '_fc.'),
            (r'^neck\.norm\.', '_bn.'),
            (r'^stem\.', 'stem_'),
            (r'^stages\.(\d)\.relative_pos$', lambda m: f'relative_pos_{"abcd"[int(m[1])]}'),
            (r'^stages\.(\d)\.downsample\.', lambda m: f'patch_embed_{"abcd"[int(m[1])]}.'),
            (r'^stages\.(\d)\.blocks\.', lambda m: f'blocks_{"abcd"[int(m[1])]}.'),
            (r'\.lpu\.', '.proj.'),
            (r'\.mixer\.', '.attn.'),
            (r'\.mlp\.conv([12])\.', r'.mlp.conv\1.0.'),
            (r'\.mlp\.norm1\.', '.mlp.conv1.2.'),
            (r'\.mlp\.norm2\.', '.mlp.proj_bn.'),
            (r'\.mlp\.norm3\.', '.mlp.conv2.1.'),
            (r'^out_norms\.(\d)\.', r'norm\1.'),
        ),
        linear=r'\.attn\.(q|k|v|proj)\.weight$',
    )
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            f'cmt_{arch}',
            f'https://github.com/ggjy/CMT.pytorch/releases/download/release-v1/cmt_{file}.pth',
            {'Top 1 Accuracy': top1},
            source='ggjy/CMT.pytorch README',
            licence='MIT',
        )
        for arch, file, top1 in (('ti', 'tiny', 79.0), ('xs', 'xs', 81.8), ('s', 'small', 83.5), ('b', 'base', 84.5))
    )
    arch_defaults: ClassVar[dict] = dict(heads=(1, 2, 4, 8), reductions=(8, 4, 2, 1), dropout=0.1)
    classifier_norm: ClassVar[bool] = False
    dilates: ClassVar[bool] = True  # convolutions, and attention of every d-th row and column
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def __init__(self, arch: str | dict, *, norm_cfg: dict | None = None, **kwargs: Any):
        self.norm_cfg = norm_cfg
        self.batch_norm = partial(build_norm, norm_cfg)
        super().__init__(arch, **kwargs)

    def make_stem(self, in_channels: int) -> nn.Module:
        return ConvStem(in_channels, self.arch['stem_dim'], self.batch_norm)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        widths = (self.arch['stem_dim'], *self.arch['dims'])
        channels, heads, reduction = widths[index + 1], self.arch['heads'][index], self.arch['reductions'][index]
        check('arch', self.arch, f'one whose heads divide dims; stage {index} has not', channels % heads == 0)
        hidden = int(channels * self.arch['mlp_ratios'][index])
        blocks = [
            CMTBlock(
                channels,
                Attention(channels, heads, reduction, self.batch_norm),
                ConvMlp(channels, hidden, self.batch_norm),
                rate,
            )
            for rate in drop_paths
        ]
        downsample = PatchEmbed(widths[index], channels, 2, norm=LayerNorm2d)
        grid = -(-self.arch['native_size'] // self.strides[index])
        return CMTStage(grid, heads, reduction, blocks=blocks, downsample=downsample, with_cp=with_cp)

    def make_out_norm(self, channels: int) -> nn.Module:
        return Norm(channels)

    def make_neck(self) -> Neck:
        return CMTNeck(self.out_channels[-1], self.arch['dropout'], self.norm_cfg)
