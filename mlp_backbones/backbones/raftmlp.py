"""RaftMLP: MLPs along columns and rows, over two groups of channels at once. Source: arXiv 2108.04384."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..compat import known_equal
from ..layers import DropPath, LayerNorm2d, Mlp
from ..ops import SPATIAL_RULES, fx_leaf, layer_norm, on_native_grid, spatial_shape
from ..registry import register_family
from .arguments import check, check_choice
from .base import MLPBackbone, Stage
from .published import PublishedNames

# Groups of channels that are mixed together with positions, the 'raft size' of the paper.
RAFT = 2
# Sides of the patches by level; the smallest one is the stride.
KERNEL_SIZES = ((4, 8), (2, 4), (2, 4), (2,))


class PatchLinear(nn.Conv2d):
    """One linear map of patches of several sizes around the same centres, ``[B, C, H, W]`` to ``[B, C', ~H/P, ~W/P]``.

    The weight has the published order: patch size by patch size, in each the channel, then row and column.

    Args:
        in_channels: C.
        out_channels: C'.
        kernel_sizes: sides of the patches, which differ by even numbers, the smallest first; it is the stride P.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_sizes: tuple[int, ...]):
        super().__init__(in_channels * sum(k**2 for k in kernel_sizes), out_channels, 1)
        self.kernel_sizes = kernel_sizes
        # Inputs for each channel of the image, in the parts of the weight.
        self.inputs_per_channel = tuple(k**2 for k in kernel_sizes)

    def forward(self, x: Tensor) -> Tensor:
        first, last = self.kernel_sizes[0], self.kernel_sizes[-1]
        kernel = _merge_kernels(self.weight, self.kernel_sizes)
        return F.conv2d(x, kernel, self.bias, stride=first, padding=(last - first) // 2)


@fx_leaf
def _merge_kernels(weight: Tensor, kernel_sizes: tuple[int, ...]) -> Tensor:
    """``[C', C * sum(k**2), 1, 1]`` to one kernel ``[C', C, K, K]``, in whose middle the smaller ones lie."""
    largest = kernel_sizes[-1]
    channels = weight.shape[1] // sum(k**2 for k in kernel_sizes)
    parts = weight.flatten(1).split([channels * k**2 for k in kernel_sizes], 1)
    first, *others = (
        F.pad(part.unflatten(1, (channels, k, k)), [(largest - k) // 2] * 4)
        for part, k in zip(parts, kernel_sizes, strict=True)
    )
    return sum(others, first)


class PatchResizeEmbed(nn.Module):
    """Bicubic interpolation to whole patches, then :class:`PatchLinear`."""

    def __init__(self, in_channels: int, out_channels: int, kernel_sizes: tuple[int, ...]):
        super().__init__()
        self.patch_size = kernel_sizes[0]
        self.fc = PatchLinear(in_channels, out_channels, kernel_sizes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(_resize_to_multiple(x, self.patch_size))


@fx_leaf
def _resize_to_multiple(x: Tensor, divisor: int) -> Tensor:
    sides = spatial_shape(x)
    height, width = ((side + divisor - 1) // divisor * divisor for side in sides)
    if known_equal(height, sides[0]) and known_equal(width, sides[1]):
        return x
    return F.interpolate(x, (height, width), mode='bicubic')


class RaftNorm(LayerNorm2d):
    """LayerNorm whose weights count the channels as published: channel ``q * C / 2 + c`` has number ``2 c + q``."""

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = (
            vector.unflatten(0, (-1, RAFT)).transpose(0, 1).flatten() for vector in (self.weight, self.bias)
        )
        return layer_norm(x, weight, bias, self.eps)


class RaftMixer(Mlp):
    """Raft-token-mixing along one axis, without the residual, ``[B, C, g, g]`` to the same shape (section 3.2).

    Args:
        channels: C, even.
        grid: side g of the native grid, in positions.
        dim: the axis that is mixed, 2 (H) or 3 (W).
        spatial_rule: see :class:`RaftMLP`; with ``'stream'`` only maps of the native grid arrive.
    """

    def __init__(self, channels: int, grid: int, dim: int, spatial_rule: str):
        super().__init__(RAFT * grid, 2 * RAFT * grid)
        self.grid = grid
        self.dim = dim
        self.spatial_rule = spatial_rule
        self.norm = RaftNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return (
            self.mix(x) if self.spatial_rule == 'stream' else on_native_grid(x, self.grid, self.spatial_rule, self.mix)
        )

    def mix(self, x: Tensor) -> Tensor:
        """Mix the normed ``x``: the two groups of channels and the positions of one line, for each other position."""
        vertical = self.dim == 2
        # [B, q, c, row, column] to [B, q, line, other, c], whose lines of both groups are one vector.
        lines = x.unflatten(1, (RAFT, -1)).permute((0, 1, 3, 4, 2) if vertical else (0, 1, 4, 3, 2)).flatten(1, 2)
        lines = super().forward(lines).unflatten(1, (RAFT, self.grid))
        return lines.permute((0, 1, 4, 2, 3) if vertical else (0, 1, 4, 3, 2)).flatten(1, 2)


class RaftBlock(nn.Module):
    """Mixing along H, along W, and over channels, each beside a residual; ``[B, C, H, W]`` to the same shape.

    Args:
        channels: C, even.
        grid: side of the native grid, in positions.
        spatial_rule: see :class:`RaftMLP`.
        drop_path: probability of each of the three branches being dropped in training.
    """

    def __init__(self, channels: int, grid: int, spatial_rule: str, drop_path: float):
        super().__init__()
        self.grid = grid
        self.spatial_rule = spatial_rule
        self.vertical = RaftMixer(channels, grid, dim=2, spatial_rule=spatial_rule)
        self.horizontal = RaftMixer(channels, grid, dim=3, spatial_rule=spatial_rule)
        self.norm2 = LayerNorm2d(channels)
        self.mlp = Mlp(channels, 4 * channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        stream = self.spatial_rule == 'stream'
        x = on_native_grid(x, self.grid, 'resize', self._mix) if stream else self._mix(x)
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _mix(self, x: Tensor) -> Tensor:
        for mixer in (self.vertical, self.horizontal):
            x = x + self.drop_path(mixer(x))
        return x


@register_family
class RaftMLP(MLPBackbone):
    """RaftMLP (arXiv 2108.04384), four outputs at strides 4, 8, 16 and 32.

    As in the published dense networks, output 0 is the embedding of level 0, before its blocks, and there are no output
    norms. So stage 0 has no weights of its own, and stage 1 has the blocks of levels 0 and 1.

    Padding an image changes its numbers: with ``spatial_rule='tile'`` those of the tiles at the border, otherwise all.

    Args:
        arch: 's', 'm', 'l', or ``dict(dims=..., depths=..., native_size=224)``: ``dims`` are even, ``native_size`` is
            the side in pixels of the images whose grids are mixed as they are.
        spatial_rule: how maps of another size than the native one are mixed. ``'stream'``, as published: each block
            interpolates the whole map, the residual included, to the native grid (bicubic) and back. ``'resize'``: it
            interpolates only what the mixers read and write. ``'tile'``: it mixes each tile of the native size as if it
            were a map. Default ``'stream'``.
        drop_path_rate: stochastic depth, the same of all blocks. Default 0.
        out_norm: as in :class:`MLPBackbone`, a LayerNorm; the published dense networks have none. Default False.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        's': dict(dims=(64, 128, 256, 512), depths=(2, 2, 6, 2)),
        'm': dict(dims=(96, 192, 384, 768), depths=(2, 2, 6, 2)),
        'l': dict(dims=(128, 192, 512, 1024), depths=(2, 2, 6, 2)),
    }
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        (
            (r'^norm\.', 'heads.0.1.'),
            (r'^head\.', 'classifier.'),
            (r'^stem\.', 'levels.0.fn.0.'),
            (r'^stages\.1\.([01])\.', r'level\1.'),
            (r'^stages\.([23])\.', r'level\1.'),
            (r'^level(\d)\.downsample\.', r'levels.\1.fn.0.'),
            (r'^level(\d)\.blocks\.(\d+)\.', lambda m: f'levels.{m[1]}.fn.{2 + int(m[2])}.'),
            (r'\.vertical\.', '.1.'),
            (r'\.horizontal\.', '.3.'),
            (r'\.([13])\.norm\.', r'.\1.norm.1.'),
            (r'\.norm2\.', '.5.norm.'),
            (r'\.mlp\.', '.5.'),
            (r'\.fc1\.', '.fn.0.'),
            (r'\.fc2\.', '.fn.3.'),
            (r'^out_norms\.(\d)\.', r'norm\1.'),
        ),
        linear=r'\.(fn\.0\.fc|[135]\.fn\.[03])\.weight$',
    )
    arch_defaults: ClassVar[dict] = dict(native_size=224)
    constant_drop_path: ClassVar[bool] = True
    memory_format: ClassVar[torch.memory_format] = torch.channels_last
    spatial_rules: ClassVar[tuple[str, ...]] = ('stream', *SPATIAL_RULES)

    def __init__(self, arch: str | dict, *, spatial_rule: str = 'stream', out_norm: bool = False, **kwargs: Any):
        check_choice('spatial_rule', spatial_rule, self.spatial_rules)
        self.spatial_rule = spatial_rule
        super().__init__(arch, out_norm=out_norm, **kwargs)

    def make_stem(self, in_channels: int) -> nn.Module:
        return PatchResizeEmbed(in_channels, self.arch['dims'][0], KERNEL_SIZES[0])

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, depths = self.arch['dims'], self.arch['depths']
        check('arch', self.arch, 'one whose dims are even', all(channels % RAFT == 0 for channels in dims))

        def level(i: int, rates: list[float]) -> nn.Module:
            grid = -(-self.arch['native_size'] // self.strides[i])
            blocks = [RaftBlock(dims[i], grid, self.spatial_rule, rate) for rate in rates]
            return Stage(blocks, PatchResizeEmbed(dims[i - 1], dims[i], KERNEL_SIZES[i]) if i else None, with_cp)

        if index == 0:
            return nn.Sequential()
        if index == 1:
            return nn.Sequential(level(0, drop_paths[: depths[0]]), level(1, drop_paths[depths[0] :]))
        return level(index, drop_paths)

    def make_out_norm(self, channels: int) -> nn.Module:
        return LayerNorm2d(channels)

    def drop_path_rates(self, rate: float) -> list[list[float]]:
        """Stochastic depth of every block by output, the same of all."""
        first, *others = super().drop_path_rates(rate)
        return [[], first + others[0], *others[1:]]
