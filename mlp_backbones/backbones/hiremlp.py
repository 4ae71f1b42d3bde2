"""Hire-MLP: a token mixer that folds regions of neighbours into channels. Source: arXiv 2108.13341."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints.weights import Weights
from ..layers import ConvEmbed, SplitAttention, build_norm, fold_norm_after, fold_norm_before, is_plain
from ..ops import (
    add_unfolded,
    autocast_once,
    average_of_unfolded,
    fold_regions,
    is_exporting,
    on_phases,
    region_linear,
    select_implementation,
    unfold_regions,
)
from ..registry import register_family
from .arguments import check
from .base import Block, MLPBackbone, Stage
from .published import PublishedNames, network_rules

Norm = Callable[[int], nn.Module]


class ConvNormAct(ConvEmbed):
    """Convolutional embedding, norm, ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class HireMixer(nn.Module):
    """Three branches (regions along H, along W, channels alone), re-weighted, then projected (section 3.2).

    The branches along an axis roll by ``step``, mix regions of ``region_size`` neighbours, and roll back.
    """

    def __init__(self, channels: int, region_size: int, step: int, norm: Norm):
        super().__init__()
        self.region_size = region_size
        self.step = step
        self.dilation = 1
        self.neighbours_first = False
        hidden = max(channels // 2, 1)
        self.mlp_h1 = nn.Conv2d(channels * region_size, hidden, 1, bias=False)
        self.mlp_h1_norm = norm(hidden)
        self.mlp_h2 = nn.Conv2d(hidden, channels * region_size, 1)
        self.mlp_w1 = nn.Conv2d(channels * region_size, hidden, 1, bias=False)
        self.mlp_w1_norm = norm(hidden)
        self.mlp_w2 = nn.Conv2d(hidden, channels * region_size, 1)
        self.mlp_c = nn.Conv2d(channels, channels, 1)
        self.reweight = SplitAttention(channels, num_branches=3)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return on_phases(autocast_once(x), self.dilation, self.mix)

    def dilate(self, factor: int) -> None:
        self.dilation *= factor

    def mix(self, x: Tensor) -> Tensor:
        if not self._folds(x):
            along_h, along_w = (
                unfold_regions(last(hidden), self.region_size, self.step, dim, x.shape[dim], self.neighbours_first)
                for last, hidden, dim in self.branches(x)
            )
            return self.proj(self.reweight(along_h, along_w, self.mlp_c(x)))
        return self.folded(x)

    def _folds(self, x: Tensor) -> bool:
        pays = is_exporting() or not torch.is_grad_enabled()
        if select_implementation('hire_mix', x, folding_pays=pays) != 'folded':
            return False
        maps = (self.mlp_h2, self.mlp_w2, self.mlp_c)
        return is_plain(self.reweight, SplitAttention) and all(is_plain(map_, nn.Conv2d) for map_ in maps)

    def folded(self, x: Tensor) -> Tensor:
        """The same map in fewer passes over memory.

        A branch is linear from its hidden map on: its average over positions is its last map of the hidden map's
        averages. So the weights of the branches are known before the branches, which are added up where they belong.
        """
        branches = self.branches(x)
        average = F.linear(x.mean((2, 3)), self.mlp_c.weight.flatten(1), self.mlp_c.bias)
        for last, hidden, dim in branches:
            arguments: Any = last.weight, last.bias, self.region_size, dim, x.shape[dim], self.neighbours_first
            average = average + average_of_unfolded(hidden, *arguments)
        weights = self.reweight.branch_weights(average[..., None, None], num_branches=3).to(x.dtype)
        *scales, scale = weights.movedim(2, 0).contiguous()  # kernels are slow on every third number
        y = self.mlp_c(x) * scale
        for (last, hidden, dim), scale in zip(branches, scales, strict=True):
            y = add_unfolded(y, last(hidden), scale, self.region_size, self.step, dim, self.neighbours_first)
        return self.proj(y)

    def branches(self, x: Tensor) -> tuple[tuple[nn.Conv2d, Tensor, int], ...]:
        """The last map, the hidden map and the axis of the branches along H and W."""
        arguments = (
            (self.mlp_h1, self.mlp_h1_norm, self.mlp_h2, 2),
            (self.mlp_w1, self.mlp_w1_norm, self.mlp_w2, 3),
        )
        return tuple((last, F.relu(norm(self._first(first, x, dim))), dim) for first, norm, last, dim in arguments)

    def _first(self, first: nn.Conv2d, x: Tensor, dim: int) -> Tensor:
        regions = self.region_size, self.step, dim, self.neighbours_first
        if is_exporting() and is_plain(first, nn.Conv2d):
            return region_linear(x, first.weight, first.bias, *regions)
        return first(fold_regions(x, *regions))

    def fuse(self) -> None:
        self.mlp_h1_norm = fold_norm_after(self.mlp_h1, self.mlp_h1_norm)
        self.mlp_w1_norm = fold_norm_after(self.mlp_w1, self.mlp_w1_norm)

    def sort_neighbours(self) -> None:
        """Puts the channels of each neighbour side by side in the weights, for regions to be copied by the position.

        Layers that have hooks, are parametrized or were replaced keep their order, and so do the others then.
        """
        if not all(is_plain(m, nn.Conv2d) for m in (self.mlp_h1, self.mlp_h2, self.mlp_w1, self.mlp_w2)):
            return
        pairs: Any = (self.mlp_h1, self.mlp_h2), (self.mlp_w1, self.mlp_w2)
        for first, last in pairs:
            order = torch.arange(first.in_channels).view(-1, self.region_size).T.flatten()
            first.weight = nn.Parameter(first.weight[:, order], requires_grad=False)
            last.weight = nn.Parameter(last.weight[order], requires_grad=False)
            last.bias = nn.Parameter(last.bias[order], requires_grad=False)
        self.neighbours_first = True


class HireBlock(Block):
    mixer: HireMixer

    def fuse(self) -> None:
        # Regions reach around the borders, and meet no zeros that the norm has not seen.
        self.norm1 = fold_norm_before(self.norm1, self.mixer.mlp_h1, self.mixer.mlp_w1, self.mixer.mlp_c)
        self.norm2 = fold_norm_before(self.norm2, self.mlp.fc1)
        self.mixer.sort_neighbours()


@register_family
class HireMLP(MLPBackbone):
    """Hire-MLP (arXiv 2108.13341, version 2, as in the published code), four stages at strides 4, 8, 16 and 32.

    Padding an image changes its numbers: regions reach around its borders, and the re-weighting averages over all
    positions. In training, BatchNorm needs more than one value per channel: one image whose map in some stage is
    1x1 is refused by torch.

    Args:
        arch: 'tiny', 'small', 'base', 'large', or ``dict(dims=..., depths=..., mlp_ratios=(4, 4, 4, 4))``.
        region_size: neighbours that a region folds into channels, by stage. Default (4, 3, 3, 2).
        step_stride: block ``j`` of a stage rolls by ``(j mod step_stride) * step_dilation``. Default (2, 2, 3, 2).
        step_dilation: see ``step_stride``. Default (2, 2, 1, 1).
        norm_cfg: every norm, ``dict(type='BN')``, ``'SyncBN'`` or ``'GN'``. Default ``dict(type='BN')``.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        'tiny': dict(dims=(64, 128, 320, 512), depths=(2, 2, 4, 2), mlp_ratios=(4, 4, 4, 4)),
        'small': dict(dims=(64, 128, 320, 512), depths=(3, 4, 10, 3), mlp_ratios=(4, 4, 4, 4)),
        'base': dict(dims=(64, 128, 320, 512), depths=(4, 6, 24, 3), mlp_ratios=(4, 4, 4, 4)),
        'large': dict(dims=(96, 192, 384, 768), depths=(4, 6, 24, 3), mlp_ratios=(4, 4, 4, 4)),
    }
    operators: tuple[str, ...] = ('hire_mix',)
    dilates: ClassVar[bool] = True  # regions of every d-th row and column; the paper has a dilation of steps only
    published_names: ClassVar[PublishedNames | None] = PublishedNames(network_rules)
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            f'hiremlp_{arch}',
            f'https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/hire_mlp_{arch}.pth',
            {'Top 1 Accuracy': top1},
            source='ggjy/Hire-Wave-MLP.pytorch README',
            licence='MIT',
        )
        for arch, top1 in dict(tiny=79.7, small=82.1, base=83.2).items()
    )
    arch_defaults: ClassVar[dict] = dict(mlp_ratios=(4, 4, 4, 4))
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def __init__(
        self,
        arch: str | dict,
        *,
        region_size: Sequence[int] = (4, 3, 3, 2),
        step_stride: Sequence[int] = (2, 2, 3, 2),
        step_dilation: Sequence[int] = (2, 2, 1, 1),
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ):
        by_stage = dict(region_size=region_size, step_stride=step_stride, step_dilation=step_dilation)
        for name, values in by_stage.items():
            ok = isinstance(values, (tuple, list)) and len(values) == 4
            ok = ok and all(type(value) is int and value > 0 for value in values)
            check(name, values, '4 integers of at least 1', ok)
        self.region_size, self.step_stride, self.step_dilation = map(tuple, by_stage.values())
        self.norm = partial(build_norm, norm_cfg)
        super().__init__(arch, **kwargs)

    def make_stem(self, in_channels: int) -> nn.Module:
        return ConvNormAct(in_channels, self.arch['dims'][0], 7, stride=4, padding=2, norm=self.norm)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, ratio = self.arch['dims'], self.arch['mlp_ratios'][index]
        channels = dims[index]
        blocks = []
        for j, rate in enumerate(drop_paths):
            step = j % self.step_stride[index] * self.step_dilation[index]
            mixer = HireMixer(channels, self.region_size[index], step, self.norm)
            blocks.append(HireBlock(channels, mixer, self.norm, ratio, rate))
        downsample = None
        if index:
            downsample = ConvNormAct(dims[index - 1], channels, 3, stride=2, padding=1, norm=self.norm)
        return Stage(blocks, downsample, with_cp)

    def make_out_norm(self, channels: int) -> nn.Module:
        return self.norm(channels)
