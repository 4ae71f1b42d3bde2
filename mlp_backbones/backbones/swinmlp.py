"""Swin-MLP: one linear map of the positions of a window for each head.

Source: the published relative of LinMapper, arXiv 2107.02174, on the frame of Swin Transformer, arXiv 2103.14030.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints.weights import Weights
from ..compat import is_compiling
from ..layers import LayerNorm2d, PatchEmbed, PatchMerging, init_pointwise
from ..ops import crop, fx_leaf, on_phases, spatial_shape, sym_max
from ..registry import register_family
from .arguments import check
from .base import Block, MLPBackbone, Stage
from .published import LAYERS, PublishedNames


class GroupedLinear(nn.Conv1d):
    """A linear map of each of several groups of channels, ``[1, C, N]`` to the same shape.

    A grouped convolution of kernel size 1, which torch runs faster as a product of batches.

    Args:
        channels: C.
        groups: number of groups.
    """

    bias: Tensor

    def __init__(self, channels: int, groups: int):
        super().__init__(channels, channels, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        width = self.in_channels // self.groups
        weight = self.weight.view(self.groups, width, width)
        bias = self.bias.view(self.groups, width, 1)
        # Not baddbmm, which counters of FLOPs do not know.
        return (torch.bmm(weight, x.view(self.groups, width, x.shape[2])) + bias).view(x.shape)


class WindowMixer(nn.Module):
    """Linear maps of the positions of each window, ``[B, C, H, W]`` to the same shape.

    Zeros complete the map at the right and bottom to whole windows.

    Args:
        heads: groups of channels; each has a map of its own, which its channels share.
        window_size: side M of a window, in positions.
        shifted: whether windows begin M - M // 2 positions before the map, where it is longer than a window.
    """

    def __init__(self, heads: int, window_size: int, shifted: bool):
        super().__init__()
        positions = window_size**2
        self.spatial_mlp = GroupedLinear(heads * positions, heads)
        self.heads = heads
        self.window_size = window_size
        self.shifted = shifted
        self.dilation = 1

    def forward(self, x: Tensor) -> Tensor:
        return on_phases(x, self.dilation, self.mix)

    def dilate(self, factor: int) -> None:
        self.dilation *= factor

    def mix(self, x: Tensor) -> Tensor:
        windows = _cut(x, self.heads, self.window_size, self.shifted)
        return _join(self.spatial_mlp(windows), x, self.heads, self.window_size, self.shifted)


@fx_leaf
def _cut(x: Tensor, heads: int, size: int, shifted: bool) -> Tensor:
    """``[B, C, H, W]`` to windows ``[1, heads * M * M, N]``, with N channels of a head in all windows of all images."""
    (height, width), ((top, rows), (left, columns)) = spatial_shape(x), _windows(x, size, shifted)
    zeros = left, columns * size - left - width, top, rows * size - top - height
    if is_compiling() or any(zeros):
        x = F.pad(x, zeros)
    windows = x.permute(0, 2, 3, 1).unflatten(3, (heads, -1)).unflatten(2, (columns, size))
    windows = windows.unflatten(1, (rows, size)).permute(5, 2, 4, 0, 1, 3, 6)
    # Copied in any case: to ask whether a view would do fixes sizes in a traced graph.
    windows = windows.clone(memory_format=torch.contiguous_format)  # heads, M, M, B, rows, columns, C / heads
    return windows.view(1, heads * size**2, x.shape[0] * rows * columns * (x.shape[1] // heads))


@fx_leaf
def _join(windows: Tensor, x: Tensor, heads: int, size: int, shifted: bool) -> Tensor:
    """Windows of :func:`_cut` to a map of the size of ``x``."""
    (height, width), ((top, rows), (left, columns)) = spatial_shape(x), _windows(x, size, shifted)
    batch, channels = x.shape[:2]
    mixed = windows.view(heads, size, size, batch, rows, columns, channels // heads)
    mixed = mixed.permute(3, 4, 1, 5, 2, 0, 6).clone(memory_format=torch.contiguous_format)
    mixed = mixed.view(batch, rows * size, columns * size, channels).permute(0, 3, 1, 2)
    return crop(mixed, top, left, height, width)


def _windows(x: Tensor, size: int, shifted: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Positions before the map, and number of windows, along H and along W."""
    height, width = spatial_shape(x)
    return _windows_along(height, size, shifted), _windows_along(width, size, shifted)


def _windows_along(side: int, size: int, shifted: bool) -> tuple[int, int]:
    count = (side + size - 1) // size
    if not shifted:
        return 0, count
    # Without a branch, which would fix the size in a traced graph.
    longer = 1 - sym_max(2 - count, 0)
    # In a traced graph a window more in any case: a maximum in its sizes keeps torch.compile busy for minutes.
    return longer * (size - size // 2), count + (1 if is_compiling() else longer)


@register_family
class SwinMLP(MLPBackbone):
    """Swin-MLP, a pyramid of four stages at strides 4, 8, 16 and 32.

    Zeros complete the map of every block to whole windows. Padding an image at the right and bottom changes what is
    near the border, by a window in each block.

    Args:
        arch: 'tiny_c6', 'tiny_c12', 'tiny_c24', 'base', or ``dict(dims=..., depths=..., heads=..., window_size=...,
            mlp_ratios=(4, 4, 4, 4))``; ``heads`` must divide ``dims``.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        'tiny_c6': dict(dims=(96, 192, 384, 768), depths=(2, 2, 6, 2), heads=(16, 32, 64, 128), window_size=8),
        'tiny_c12': dict(dims=(96, 192, 384, 768), depths=(2, 2, 6, 2), heads=(8, 16, 32, 64), window_size=8),
        'tiny_c24': dict(dims=(96, 192, 384, 768), depths=(2, 2, 6, 2), heads=(4, 8, 16, 32), window_size=8),
        'base': dict(dims=(128, 256, 512, 1024), depths=(2, 2, 18, 2), heads=(4, 8, 16, 32), window_size=7),
    }
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        (*LAYERS, (r'\.mixer\.', '.')), linear=r'\.(mlp\.fc[12]|reduction)\.weight$'
    )
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            f'swinmlp_{arch}',
            f'https://github.com/SwinTransformer/storage/releases/download/v1.0.5/swin_mlp_{arch}_patch4_{size}.pth',
            {'Top 1 Accuracy': top1, 'Top 5 Accuracy': top5},
            source='microsoft/Swin-Transformer README',
            licence='MIT',
        )
        for arch, size, top1, top5 in (
            ('tiny_c6', 'window8_256', 79.7, 94.9),
            ('tiny_c12', 'window8_256', 79.6, 94.7),
            ('tiny_c24', 'window8_256', 79.4, 94.6),
            ('base', 'window7_224', 81.3, 95.3),
        )
    )
    arch_defaults: ClassVar[dict] = dict(mlp_ratios=(4, 4, 4, 4))
    dilates: ClassVar[bool] = True  # windows of every d-th row and column; the paper has no dilation
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def make_stem(self, in_channels: int) -> nn.Module:
        return PatchEmbed(in_channels, self.arch['dims'][0], 4, LayerNorm2d)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, heads = self.arch['dims'], self.arch['heads'][index]
        channels, ratio = dims[index], self.arch['mlp_ratios'][index]
        check('arch', self.arch, f'one whose heads divide dims; stage {index} has not', channels % heads == 0)
        blocks = [
            Block(channels, WindowMixer(heads, self.arch['window_size'], j % 2 == 1), LayerNorm2d, ratio, rate)
            for j, rate in enumerate(drop_paths)
        ]
        return Stage(blocks, PatchMerging(dims[index - 1], channels, LayerNorm2d) if index else None, with_cp)

    def make_out_norm(self, channels: int) -> nn.Module:
        return LayerNorm2d(channels)

    @staticmethod
    def init_layer(layer: nn.Module) -> None:
        """Point-wise maps and windows: truncated normal of std 0.02, bias 0; patches as torch initialises them."""
        init_pointwise(layer)
        if isinstance(layer, GroupedLinear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
