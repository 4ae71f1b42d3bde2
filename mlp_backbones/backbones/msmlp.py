"""MS-MLP: rolled groups of channels, mixed by depth-wise convolutions of their own size. Source: arXiv 2202.06510."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..checkpoints.weights import Weights
from ..layers import DropPath, LayerNorm2d, Mlp, Neck, PatchEmbed
from ..ops import on_phases, shift_channels
from ..registry import MODELS, register, register_family
from .arguments import check
from .base import MLPBackbone, Stage
from .published import LAYERS, PublishedNames

Norm = partial(LayerNorm2d, eps=1e-6)
# Side of the depth-wise kernel, by stage and group of channels; the class of the published code has other defaults,
# which no published network uses.
MIX_SIZE = ((1, 1, 3, 5, 7), (1, 3, 3, 5, 7), (1, 5, 5, 5, 7), (1, 7, 7, 7, 7))


class GroupedDepthwise(nn.ModuleList):
    """Depth-wise convolutions with biases, each on a group of channels: ``[B, C, H, W]`` to the same shape.

    Args:
        widths: channels of each group.
        kernel_sizes: side of the kernel of each group, odd.
    """

    def __init__(self, widths: Sequence[int], kernel_sizes: Sequence[int]):
        pairs = zip(widths, kernel_sizes, strict=True)
        super().__init__(nn.Conv2d(width, width, k, padding=k // 2, groups=width) for width, k in pairs)
        self.widths = list(widths)

    def forward(self, x: Tensor) -> Tensor:
        parts = x.split(self.widths, 1)
        return torch.cat([conv(parts[g]) for g, conv in enumerate(self)], 1)  # torch.fx takes no loop over parts


class MixShift(nn.Module):
    """Mix and shift (section 3.2): ``[B, C, H, W]`` to the same shape.

    Group ``g`` of ``s`` rolls by ``g - s // 2`` positions, toward larger indices, along W and along H; both go through
    depth-wise convolutions of their own and are summed. A group has ``ceil(C / s)`` channels, the last ones fewer.

    Args:
        channels: width of input and output.
        mix_size: side of the kernels of each group, odd.
    """

    def __init__(self, channels: int, mix_size: Sequence[int]):
        super().__init__()
        size = -(-channels // len(mix_size))
        starts = range(0, channels, size)
        widths = [min(size, channels - start) for start in starts]
        offsets = [(slice(start, start + size), len(mix_size) // 2 - g) for g, start in enumerate(starts)]
        self.along_w = tuple((group, 0, offset) for group, offset in offsets)
        self.along_h = tuple((group, offset, 0) for group, offset in offsets)
        # A narrow network has fewer groups.
        self.dwconv_lr = GroupedDepthwise(widths, mix_size[: len(widths)])
        self.dwconv_td = GroupedDepthwise(widths, mix_size[: len(widths)])
        self.dilation = 1

    def forward(self, x: Tensor) -> Tensor:
        return on_phases(x, self.dilation, self.mix)

    def dilate(self, factor: int) -> None:
        self.dilation *= factor

    def mix(self, x: Tensor) -> Tensor:
        along_w = self.dwconv_lr(shift_channels(x, self.along_w, wrap=True))
        return along_w + self.dwconv_td(shift_channels(x, self.along_h, wrap=True))


class MixShiftBlock(nn.Module):
    """``x + DP(gamma * mlp(norm(mixer(x))))``: one residual, and no norm before the mixer (section 3.1)."""

    def __init__(self, channels: int, mix_size: Sequence[int], mlp_ratio: float, drop_path: float):
        super().__init__()
        self.mixer = MixShift(channels, mix_size)
        self.norm = Norm(channels)
        self.mlp = Mlp(channels, int(channels * mlp_ratio))
        self.gamma = nn.Parameter(torch.full((channels,), 1e-6))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.gamma.view(-1, 1, 1) * self.mlp(self.norm(self.mixer(x))))


@register(MODELS)
class MSMLPNeck(Neck):
    """The mean over positions, then LayerNorm: ``[B, C, H, W]``, without norm, to ``[B, C]``.

    Args:
        channels: C.
    """

    def __init__(self, channels: int):
        super().__init__(channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def pool(self, x: Tensor) -> Tensor:
        return self.norm(x.mean((2, 3)))


@register_family
class MSMLP(MLPBackbone):
    """MS-MLP (arXiv 2202.06510), a pyramid of four stages at strides 4, 8, 16 and 32.

    Padding an image changes its numbers: groups of channels roll around its borders. The published code has no dense
    network: the norms of the outputs are LayerNorms (eps 1e-6), as that of the classifier.

    Args:
        arch: 'tiny', 'small', 'base', or ``dict(dims=..., depths=..., mlp_ratios=(4, 4, 4, 4))``.
        mix_size: sides of the depth-wise kernels, by stage a tuple of one odd integer for each group of channels.
            Default: those of the published networks, five groups.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        'tiny': dict(dims=(96, 192, 384, 768), depths=(3, 3, 9, 3), mlp_ratios=(4, 4, 4, 4)),
        'small': dict(dims=(96, 192, 384, 768), depths=(3, 3, 27, 3), mlp_ratios=(4, 4, 4, 4)),
        'base': dict(dims=(128, 256, 512, 1024), depths=(3, 3, 27, 3), mlp_ratios=(4, 4, 4, 4)),
    }
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        (*LAYERS, (r'^neck\.norm\.', 'norm.'), (r'\.mixer\.', '.'), (r'\.mlp\.fc([12])\.', r'.pwconv\1.')),
        linear=r'\.pwconv[12]\.weight$',
    )
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            f'msmlp_{arch}',
            'https://tsciencescu.blob.core.windows.net/projectshzheng/MSMLP/released_model/'
            f'msmlp_{arch}_patch4/msmlp_{arch}_patch4_ckpt_epoch299.pth',
            {'Top 1 Accuracy': top1},
            source='JegZheng/MS-MLP README; MS-MLP paper, arXiv 2202.06510v1, table 3',
            licence='MIT',
        )
        for arch, top1 in dict(tiny=82.1, small=83.4, base=83.8).items()
    )
    arch_defaults: ClassVar[dict] = dict(mlp_ratios=(4, 4, 4, 4))
    classifier_norm: ClassVar[bool] = False
    dilates: ClassVar[bool] = True  # rolls of every d-th row and column; the paper has no dilation
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def __init__(
        self,
        arch: str | dict,
        *,
        mix_size: Sequence[Sequence[int]] = MIX_SIZE,
        **kwargs: Any,
    ):
        is_table = isinstance(mix_size, (tuple, list)) and len(mix_size) == 4
        is_table = is_table and all(isinstance(sizes, (tuple, list)) and sizes for sizes in mix_size)
        ok = is_table and all(type(k) is int and k > 0 and k % 2 for k in chain(*mix_size))
        check('mix_size', mix_size, '4 tuples of odd integers of at least 1', ok)
        self.mix_size = mix_size
        super().__init__(arch, **kwargs)

    def make_stem(self, in_channels: int) -> nn.Module:
        return PatchEmbed(in_channels, self.arch['dims'][0], 4, Norm)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, ratio = self.arch['dims'], self.arch['mlp_ratios'][index]
        blocks = [MixShiftBlock(dims[index], self.mix_size[index], ratio, rate) for rate in drop_paths]
        return Stage(blocks, PatchEmbed(dims[index - 1], dims[index], 2, Norm) if index else None, with_cp)

    def make_out_norm(self, channels: int) -> nn.Module:
        return Norm(channels)

    def make_neck(self) -> Neck:
        return MSMLPNeck(self.out_channels[-1])

    @staticmethod
    def init_layer(layer: nn.Module) -> None:
        """Channel MLPs: truncated normal of std 0.02, bias 0; convolutions stay as torch initialises them."""
        if isinstance(layer, Mlp):
            for linear in (layer.fc1, layer.fc2):
                nn.init.trunc_normal_(linear.weight, std=0.02)
                if linear.bias is not None:
                    nn.init.zeros_(linear.bias)
