"""SpiralMLP: a token mixer that reads each channel at another point of a spiral. Source: arXiv 2404.00648."""

import logging
import math
import re
from collections.abc import Sequence
from functools import lru_cache, partial, reduce
from itertools import product
from typing import Any, ClassVar

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers import ConvEmbed, LayerNorm2d, Mlp, SplitAttention, init_pointwise
from ..ops import ChannelShifts, autocast_once, fx_leaf, shift_channels
from ..registry import register_family
from .arguments import check
from .base import Block, MLPBackbone, Stage
from .published import PublishedNames, Rule

Offsets = tuple[tuple[float, float], ...]  # rows and columns of each channel
Corner = tuple[list[float], ChannelShifts]  # the weight of each channel, and where it is read
FARTHEST = 1e6  # positions; beyond it a channel reads zeros in any image


@lru_cache(maxsize=64)
def spiral_offsets(channels: int) -> Offsets:
    """Return (rows, columns) that each channel reads away from its position (section 3.2).

    Each half of the channels goes once along the spiral, out to 7 positions and back. The published code fills only
    the first half, and leaves the memory of the second as it is; a CUDA kernel beside it shows what was meant.
    """
    half = max(channels // 2, 1)
    offsets = []
    for i in (c % half for c in range(channels)):
        amplitude = 14 * i / half if i <= half // 2 else 14 - 14 * i / half
        angle = math.pi * i / 16
        offsets.append((float(round(amplitude * math.cos(angle))), float(round(amplitude * math.sin(angle)))))
    return tuple(offsets)


class SpiralLinear(nn.Conv2d):
    """Spiral fully-connected layer (section 3.2): a point-wise map of channels that are each read elsewhere.

    ``y[o, p, q] = b[o] + sum_c W[o, c] x[c, p + rows(c), q + columns(c)]``, zero outside the map, and linear between
    positions, as the offsets in published files may be no integers. State dicts hold the offsets as ``offset``,
    ``[1, 2 C, 1, 1]``, rows and columns in turn; without it those of the formula stay.

    Args:
        channels: width of input and output.
    """

    def __init__(self, channels: int):
        super().__init__(channels, channels, 1)
        self.offsets = spiral_offsets(channels)
        self.shift_dilation = 1  # a convolution has a dilation of its own
        self.corners = _corners(self.offsets, self.shift_dilation)

    def dilate(self, factor: int) -> None:
        self.shift_dilation *= factor
        self.corners = _corners(self.offsets, self.shift_dilation)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.corners) == 1:  # of integers
            y = shift_channels(x, self.corners[0][1])
        else:
            y = reduce(torch.add, (_scale(shift_channels(x, shifts), weights) for weights, shifts in self.corners))
        return F.conv2d(y, self.weight, self.bias)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        offset = torch.tensor(self.offsets, dtype=torch.float32, device=self.weight.device)
        destination[f'{prefix}offset'] = offset.view(1, -1, 1, 1)

    def _load_from_state_dict(
        self,
        state_dict: dict,
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        key = f'{prefix}offset'
        if key in unexpected_keys:
            unexpected_keys.remove(key)
        offset = state_dict.get(key)
        if offset is None or offset.is_meta:
            return
        if offset.numel() != 2 * self.in_channels:
            error_msgs.append(f'{key} has {offset.numel()} numbers, the model needs {2 * self.in_channels}')
            return
        self.offsets = tuple((rows, columns) for rows, columns in offset.detach().double().view(-1, 2).tolist())
        self.corners = _corners(self.offsets, self.shift_dilation)


@lru_cache(maxsize=256)
def _corners(offsets: Offsets, dilation: int) -> list[Corner]:
    """The integer shifts whose weighted sum reads between positions; one for offsets that are integers.

    Neighbours, between which values are linear, are ``dilation`` positions apart.
    """
    near = [tuple(min(max(v, -FARTHEST), FARTHEST) if v == v else FARTHEST for v in pair) for pair in offsets]
    corners = []
    for below, right in product((0, 1), (0, 1)):
        weights = [_share(rows, below) * _share(columns, right) for rows, columns in near]
        if any(weights):
            whole = ((math.floor(rows) + below, math.floor(columns) + right) for rows, columns in near)
            moves = ((slice(c, c + 1), rows * dilation, columns * dilation) for c, (rows, columns) in enumerate(whole))
            corners.append((weights, tuple(moves)))
    return corners


@fx_leaf
def _scale(x: Tensor, weights: Sequence[float]) -> Tensor:
    return x * torch.tensor(weights, dtype=x.dtype, device=x.device).view(-1, 1, 1)


def _share(offset: float, beyond: int) -> float:
    """Weight of the position before an offset, or of the one beyond it."""
    fraction = offset - math.floor(offset)
    return fraction if beyond else 1 - fraction


class ReweightDropout(SplitAttention):
    """Split attention with dropout after its second map."""

    def __init__(self, channels: int, num_branches: int, dropout: float):
        super().__init__(channels, num_branches)
        self.dropout = nn.Dropout(dropout)

    def branch_weights(self, average: Tensor, num_branches: int) -> Tensor:
        return self.dropout(Mlp.forward(self, average)).unflatten(1, (-1, num_branches)).softmax(2)


class SpiralMixer(nn.Module):
    """Two branches (the spiral, channels only) on one input, re-weighted, then projected (section 3.3)."""

    def __init__(self, channels: int, dropout: float):
        super().__init__()
        self.fc_cross = SpiralLinear(channels)
        self.fc_self = nn.Conv2d(channels, channels, 1)
        self.reweight = ReweightDropout(channels, 2, dropout)
        self.proj = nn.Conv2d(channels, channels, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = autocast_once(x)
        return self.dropout(self.proj(self.reweight(self.fc_cross(x), self.fc_self(x))))


class ResidualMlp(Mlp):
    """A channel MLP with a residual of its own, besides that of the block."""

    def __init__(self, channels: int, hidden_channels: int, dropout: float):
        super().__init__(channels, hidden_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(super().forward(x)) + x


def _rules(names: list[str]) -> tuple[Rule, ...]:
    """The convolution of the stem has two names, and each downsampling is behind the last block of its stage."""
    blocks = [re.match(r'stages\.(\d)\.blocks\.(\d+)\.', name) for name in names]
    depths = [max((int(m[2]) + 1 for m in blocks if m and int(m[1]) == stage), default=0) for stage in range(4)]
    projection = 'projection' if any(name.startswith('stem.norm.') for name in names) else 'proj'

    def downsample(match: re.Match) -> str:
        return f'stages.{int(match[1]) - 1}.{depths[int(match[1]) - 1]}.'

    return (
        (r'^stem\.proj\.', f'patch_embed.{projection}.'),
        (r'^stem\.', 'patch_embed.'),
        (r'^stages\.(\d)\.downsample\.', downsample),
        (r'^stages\.(\d)\.blocks\.', r'stages.\1.'),
        (r'\.mixer\.', '.attn.'),
        (r'\.norm([12])\.', r'.norm_\1.'),
        (r'^out_norms\.(\d)\.', r'norm\1.'),
        (r'^head\.', 'classifier_head.'),
    )


@register_family
class SpiralMLP(MLPBackbone):
    """SpiralMLP (arXiv 2404.00648), a pyramid of four stages at strides 4, 8, 16 and 32.

    Padding an image changes its numbers: the re-weighting averages over all positions.

    Args:
        arch: 'b1', 'b2', 'b3', 'b4', 'b5', or ``dict(dims=..., depths=..., mlp_ratios=(4, 4, 4, 4))``.
        drop_path_rate: stochastic depth, the same for all blocks. Default 0.1.
        dropout: probability of dropout after each projection, channel MLP and re-weighting. Default 0.1.
        stem_norm: whether a LayerNorm (eps 1e-6) follows the stem. A published file may lack it: then it keeps its
            values. Default None: where the outputs have no norms, which is how the published dense networks and the
            published classifier differ.
        out_norm: as in :class:`MLPBackbone`, a LayerNorm; the published dense networks have none. Default False.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        'b1': dict(dims=(64, 128, 320, 512), depths=(2, 2, 4, 2), mlp_ratios=(4, 4, 4, 4)),
        'b2': dict(dims=(64, 128, 320, 512), depths=(2, 3, 10, 3), mlp_ratios=(4, 4, 4, 4)),
        'b3': dict(dims=(64, 128, 320, 512), depths=(3, 4, 18, 3), mlp_ratios=(4, 4, 4, 4)),
        'b4': dict(dims=(64, 128, 320, 512), depths=(3, 8, 27, 3), mlp_ratios=(4, 4, 4, 4)),
        'b5': dict(dims=(96, 192, 384, 768), depths=(3, 4, 24, 3), mlp_ratios=(4, 4, 4, 4)),
    }
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        _rules,
        linear=r'\.(mlp\.fc[12]|attn\.(fc_self|proj|reweight\.fc[12]))\.weight$',
        constants=r'\.fc_cross\.offset$',
        optional=r'^stem\.norm\.',
    )
    arch_defaults: ClassVar[dict] = dict(mlp_ratios=(4, 4, 4, 4))
    constant_drop_path: ClassVar[bool] = True
    dilates: ClassVar[bool] = True  # the offsets of the spiral
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def __init__(
        self,
        arch: str | dict,
        *,
        drop_path_rate: float = 0.1,
        dropout: float = 0.1,
        stem_norm: bool | None = None,
        out_norm: bool = False,
        **kwargs: Any,
    ):
        is_rate = type(dropout) in (int, float) and 0 <= dropout < 1
        check('dropout', dropout, 'a number of at least 0 and below 1', is_rate)
        check('stem_norm', stem_norm, 'True, False or None', stem_norm is None or isinstance(stem_norm, bool))
        self.dropout = dropout
        self.stem_norm = not out_norm if stem_norm is None else stem_norm
        super().__init__(arch, drop_path_rate=drop_path_rate, out_norm=out_norm, **kwargs)

    def make_stem(self, in_channels: int) -> nn.Module:
        dim = self.arch['dims'][0]
        norm = partial(LayerNorm2d, eps=1e-6) if self.stem_norm else None
        return ConvEmbed(in_channels, dim, kernel_size=7, stride=4, padding=2, norm=norm)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, ratio = self.arch['dims'], self.arch['mlp_ratios'][index]
        channels = dims[index]
        blocks = []
        for rate in drop_paths:
            block = Block(channels, SpiralMixer(channels, self.dropout), LayerNorm2d, ratio, rate)
            block.mlp = ResidualMlp(channels, int(channels * ratio), self.dropout)
            blocks.append(block)
        downsample = ConvEmbed(dims[index - 1], channels, kernel_size=3, stride=2, padding=1) if index else None
        return Stage(blocks, downsample, with_cp)

    def make_out_norm(self, channels: int) -> nn.Module:
        return LayerNorm2d(channels)

    init_layer = staticmethod(init_pointwise)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Log it where the offsets of a file are not those of the formula."""
        super()._load_from_state_dict(state_dict, prefix, *args)
        differing = total = 0
        for name, layer in self.named_modules():
            offset = state_dict.get(f'{prefix}{name}.offset')
            if isinstance(layer, SpiralLinear) and offset is not None and offset.numel() == 2 * layer.in_channels:
                formula = torch.tensor(spiral_offsets(layer.in_channels), dtype=torch.float64)
                differing += int((offset.detach().cpu().double().view(-1, 2) != formula).any(1).sum())
                total += layer.in_channels
        if differing:
            print_log(
                f'{differing} of the {total} offsets that are being loaded into {prefix}{type(self).__name__} are not '
                f'those of the spiral; they are used as they are',
                logger='current',
                level=logging.WARNING,
            )
