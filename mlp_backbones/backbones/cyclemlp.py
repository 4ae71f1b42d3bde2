"""CycleMLP: a token mixer that moves each channel by its own step. Source: arXiv 2107.10224."""

import re
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints.weights import Weights
from ..layers import ConvEmbed, LayerNorm2d, SplitAttention, init_pointwise, is_plain
from ..ops import (
    autocast_once,
    cycle_linear,
    fx_leaf,
    gather_neighbours,
    image_linear,
    is_captured,
    neighbour_weights,
    select_implementation,
)
from ..registry import register_family
from .base import Block, MLPBackbone, Stage
from .published import PublishedNames, network_rules


class CycleLinear(nn.Conv2d):
    """Cycle fully-connected layer (section 3.2), ``[B, C, H, W]`` to the same shape.

    Args:
        channels: width of input and output.
        dim: the axis that channels move along, 2 (H) or 3 (W).
        step_size: number of different offsets. Default 3, as in all published variants.
    """

    bias: Tensor

    def __init__(self, channels: int, dim: int, step_size: int = 3):
        super().__init__(channels, channels, 1)
        self.dim = dim
        self.step_size = step_size
        self.shift_dilation = 1  # a convolution has a dilation of its own

    def forward(self, x: Tensor) -> Tensor:
        return cycle_linear(x, self.weight, self.bias, self.step_size, self.dim, self.shift_dilation)

    def dilate(self, factor: int) -> None:
        self.shift_dilation *= factor


class CycleMixer(nn.Module):
    """Three branches (along W, along H, channels only) on one input, re-weighted, then projected (section 3.3).

    ``folds_in_graphs`` is whether graphs, whose sizes are open, hold the folded implementation.
    """

    def __init__(self, channels: int, folds_in_graphs: bool = True):
        super().__init__()
        self.folds_in_graphs = folds_in_graphs
        # The published weights call the branch along W `sfc_h`, and the one along H `sfc_w`.
        self.sfc_h = CycleLinear(channels, dim=3)
        self.sfc_w = CycleLinear(channels, dim=2)
        self.mlp_c = nn.Conv2d(channels, channels, 1, bias=False)
        self.reweight = SplitAttention(channels, num_branches=3)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = autocast_once(x)
        if not self._folds(x):
            return self.proj(self.reweight(self.sfc_h(x), self.sfc_w(x), self.mlp_c(x)))
        return self.folded(x)

    def _folds(self, x: Tensor) -> bool:
        pays = self.folds_in_graphs if is_captured() else _is_large(x)
        if select_implementation('cycle_mix', x, folding_pays=pays) != 'folded' or not (is_captured() or len(x)):
            return False
        maps = (self.sfc_h, CycleLinear), (self.sfc_w, CycleLinear), (self.mlp_c, nn.Conv2d), (self.proj, nn.Conv2d)
        return all(is_plain(*layer) for layer in (*maps, (self.reweight, SplitAttention)))

    def folded(self, x: Tensor) -> Tensor:
        """The same map as one product for each image, of 2.33 in place of 4 times C x C weights.

        A branch is linear in ``x``, so its average over positions is the branch's map of the averages of what it
        reads. With these the weights of the branches are known beforehand, and the three maps, their weighted sum and
        the projection are one linear map of the gathered neighbours, made for each image.
        """
        steps = self.sfc_h.step_size
        maps = ((self.sfc_h, 3), (self.sfc_w, 2), (self.mlp_c, None))
        branches = torch.stack([neighbour_weights(map_.weight, steps, dim).flatten(1) for map_, dim in maps])
        biases = torch.stack([self.sfc_h.bias, self.sfc_w.bias, torch.zeros_like(self.sfc_w.bias)])
        columns = gather_neighbours(x, steps, self.sfc_h.shift_dilation)
        average = F.linear(columns.mean((2, 3)), branches.sum(0), biases.sum(0))
        weights = self.reweight.branch_weights(average[..., None, None], len(maps)).flatten(2)
        weight = self.proj.weight.flatten(1) @ torch.einsum('bck,kcj->bcj', weights, branches)
        bias = F.linear(torch.einsum('bck,kc->bc', weights, biases), self.proj.weight.flatten(1), self.proj.bias)
        return image_linear(columns, weight, bias)


@fx_leaf
def _is_large(x: Tensor) -> bool:
    return x.shape[2] * x.shape[3] >= 4 * x.shape[1]


def _deformable_offsets(name: str, weight: Tensor) -> dict[str, Tensor]:
    """Offsets (row, column) of each channel, which the published code keeps for its deformable convolution."""
    branch = re.search(r'(.*\.attn\.sfc_([hw]))\.weight$', name)
    if not branch:
        return {}
    offset = torch.zeros(1, 2 * weight.shape[1], 1, 1)
    # `sfc_h` moves along columns.
    offset[0, int(branch[2] == 'h') :: 2, 0, 0] = (torch.arange(weight.shape[1]) + 1) % 3 - 1.0
    return {f'{branch[1]}.offset': offset}


@register_family
class CycleMLP(MLPBackbone):
    """CycleMLP (arXiv 2107.10224), a pyramid of four stages at strides 4, 8, 16 and 32.

    Padding an image changes its numbers: the re-weighting averages over all positions.

    Args:
        arch: 'b1', 'b2', 'b3', 'b4', 'b5', or ``dict(dims=..., depths=..., mlp_ratios=(4, 4, 4, 4))``.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        'b1': dict(dims=(64, 128, 320, 512), depths=(2, 2, 4, 2), mlp_ratios=(4, 4, 4, 4)),
        'b2': dict(dims=(64, 128, 320, 512), depths=(2, 3, 10, 3), mlp_ratios=(4, 4, 4, 4)),
        'b3': dict(dims=(64, 128, 320, 512), depths=(3, 4, 18, 3), mlp_ratios=(8, 8, 4, 4)),
        'b4': dict(dims=(64, 128, 320, 512), depths=(3, 8, 27, 3), mlp_ratios=(8, 8, 4, 4)),
        'b5': dict(dims=(96, 192, 384, 768), depths=(3, 4, 24, 3), mlp_ratios=(4, 4, 4, 4)),
    }
    operators: tuple[str, ...] = ('cycle_mix', 'cycle_linear')
    dilates: ClassVar[bool] = True  # the offsets of channels
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        network_rules,
        linear=r'\.(mlp\.fc[12]|attn\.(mlp_c|proj|reweight\.fc[12]))\.weight$',
        constants=r'\.attn\.sfc_[hw]\.offset$',
        make_constants=_deformable_offsets,
    )
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            f'cyclemlp_{arch}',
            f'https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/CycleMLP_{arch.upper()}.pth',
            {'Top 1 Accuracy': top1},
            source='ShoufaChen/CycleMLP README; CycleMLP paper, arXiv 2107.10224v1, table 2/3',
            licence='MIT',
        )
        for arch, top1 in dict(b1=78.9, b2=81.6, b3=82.4, b4=83.0, b5=83.2).items()
    )
    arch_defaults: ClassVar[dict] = dict(mlp_ratios=(4, 4, 4, 4))
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def make_stem(self, in_channels: int) -> nn.Module:
        return ConvEmbed(in_channels, self.arch['dims'][0], kernel_size=7, stride=4, padding=2)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, ratio = self.arch['dims'], self.arch['mlp_ratios'][index]
        channels = dims[index]
        # Making the weights pays off where the map has more positions than channels, in images of 512x512 also.
        large = index < 3
        blocks = [Block(channels, CycleMixer(channels, large), LayerNorm2d, ratio, rate) for rate in drop_paths]
        downsample = ConvEmbed(dims[index - 1], channels, kernel_size=3, stride=2, padding=1) if index else None
        return Stage(blocks, downsample, with_cp)

    def make_out_norm(self, channels: int) -> nn.Module:
        return LayerNorm2d(channels)

    init_layer = staticmethod(init_pointwise)
