"""AS-MLP: a token mixer that shifts groups of channels along both axes. Source: arXiv 2107.08391."""

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..checkpoints.weights import Weights
from ..compat import autocast_dtype
from ..layers import GroupNorm1, Mlp, PatchEmbed, PatchMerging, is_plain, linear_gelu
from ..ops import axial_linear, gelu, group_norm_linear, is_captured, is_exporting, select_implementation
from ..registry import register_family
from .arguments import check
from .base import Block, MLPBackbone, Stage
from .published import LAYERS, PublishedNames


class AxialLinear(nn.Conv2d):
    """Axial shift and point-wise linear map (section 3.2), ``[B, C, H, W]`` to the same shape.

    Args:
        channels: width of input and output.
        dim: the axis that groups of channels move along, 2 (H) or 3 (W).
        shift_size: number of groups, odd.
        dilation: positions between the offsets of neighbouring groups.
    """

    def __init__(self, channels: int, dim: int, shift_size: int, dilation: int):
        super().__init__(channels, channels, 1)
        self.dim = dim
        self.shift_size = shift_size
        self.shift_dilation = dilation  # a convolution has a dilation of its own

    def forward(self, x: Tensor) -> Tensor:
        return axial_linear(x, self.weight, self.bias, self.shift_size, self.dim, self.shift_dilation)

    def dilate(self, factor: int) -> None:
        self.shift_dilation *= factor


class AxialShiftMixer(nn.Module):
    """Two branches, shifted along W and along H, summed (section 3.2).

    ``folds_in_graphs`` is whether compiled inference folds norms into the maps behind them.
    """

    def __init__(self, channels: int, shift_size: int, dilation: int, folds_in_graphs: bool = True):
        super().__init__()
        self.folds_in_graphs = folds_in_graphs
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.norm1 = GroupNorm1(channels, act=True)
        self.conv2_1 = AxialLinear(channels, 3, shift_size, dilation)
        self.conv2_2 = AxialLinear(channels, 2, shift_size, dilation)
        self.norm2 = GroupNorm1(channels)
        self.conv3 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix_hidden(self.conv1(x))

    def mix_hidden(self, x: Tensor) -> Tensor:
        """Run all that is behind the first map."""
        x = self.norm1(x)
        along_w = linear_gelu(self.conv2_1, x, AxialLinear)
        along_h = linear_gelu(self.conv2_2, x, AxialLinear)
        return _norm_linear(along_w + along_h, self.norm2, self.conv3, self.folds_in_graphs)


class AxialShiftBlock(Block):
    """A block whose norms are folded into the maps behind them where the mixer's is."""

    def forward(self, x: Tensor) -> Tensor:
        mixer: Any = self.mixer
        if not (is_plain(mixer, AxialShiftMixer) and is_plain(self.mlp, Mlp) and _folds(x, mixer.folds_in_graphs)):
            return super().forward(x)
        hidden = _norm_linear(x, self.norm1, mixer.conv1, mixer.folds_in_graphs)
        x = x + self.drop_path(mixer.mix_hidden(hidden))
        hidden = _norm_linear(x, self.norm2, self.mlp.fc1, mixer.folds_in_graphs)
        return x + self.drop_path(self.mlp.fc2(gelu(hidden)))


def _norm_linear(x: Tensor, norm: Any, linear: Any, folds_in_graphs: bool) -> Tensor:
    if not (_folds(x, folds_in_graphs) and is_plain(norm, GroupNorm1) and is_plain(linear, nn.Conv2d)):
        return linear(norm(x))
    return group_norm_linear(x, norm.weight, norm.bias, linear.weight, linear.bias, norm.eps)


def _folds(x: Tensor, folds_in_graphs: bool) -> bool:
    # Eager networks and exported files were not faster with it, and compiled training was slower.
    pays = folds_in_graphs and is_captured() and not is_exporting() and not torch.is_grad_enabled()
    if select_implementation('group_norm_linear', x, folding_pays=pays) != 'folded':
        return False
    # A map that is not normalised loses more in low precision.
    return x.dtype in (torch.float32, torch.float64) and not autocast_dtype(x.device.type)


@register_family
class ASMLP(MLPBackbone):
    """AS-MLP (arXiv 2107.08391), a pyramid of four stages at strides 4, 8, 16 and 32.

    Padding an image changes its numbers: every norm looks at all positions.

    Args:
        arch: 'tiny', 'small', 'base', or ``dict(dims=..., depths=..., mlp_ratios=(4, 4, 4, 4))``.
        shift_size: number of channel groups, each with an offset of its own, odd. Default 5.
        dilation: positions between neighbouring offsets. Default 1.

    The other arguments, the attributes and the errors are those of :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        'tiny': dict(dims=(96, 192, 384, 768), depths=(2, 2, 6, 2), mlp_ratios=(4, 4, 4, 4)),
        'small': dict(dims=(96, 192, 384, 768), depths=(2, 2, 18, 2), mlp_ratios=(4, 4, 4, 4)),
        'base': dict(dims=(128, 256, 512, 1024), depths=(2, 2, 18, 2), mlp_ratios=(4, 4, 4, 4)),
    }
    operators: tuple[str, ...] = ('axial_linear', 'group_norm_gelu')
    dilates: ClassVar[bool] = True  # the paper's dilation of shifts, times that of the stage
    published_names: ClassVar[PublishedNames | None] = PublishedNames((*LAYERS, (r'\.mixer\.', '.axial_shift.')))
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            name,
            f'https://shanghaitecheducn-my.sharepoint.com/:u:/g/personal/liandz_shanghaitech_edu_cn/{page}',
            metrics,
            source=source,
            licence=licence,
            backbone=f'asmlp_{arch}',
            file=f'{name}.pth',
        )
        for source, licence, *files in (
            (
                'svip-lab/AS-MLP README; AS-MLP paper, arXiv 2107.08391v1, table 1',
                'MIT',
                (
                    'tiny',
                    'asmlp_tiny',
                    {'Top 1 Accuracy': 81.3},
                    'Eb2lPJI2BshEjJxf9CmRkCUBnB63Wj25-FVVc6zJvgRg6w?e=dEQd5q',
                ),
                (
                    'small',
                    'asmlp_small',
                    {'Top 1 Accuracy': 83.1},
                    'EVIbw8xHKk1Aq9MBQL-cRbIBVJA_hJE-HEVNf_GVgkw2iQ?e=QIIp2e',
                ),
                (
                    'base',
                    'asmlp_base',
                    {'Top 1 Accuracy': 83.3},
                    'EZVBFW_LKctLqgrnnINy88wBRtGFava9wp_65emsvVW2KQ?e=clNjuw',
                ),
            ),
            (
                'svip-lab/AS-MLP-Object-Detection README',
                '',
                (
                    'tiny',
                    'mask-rcnn_asmlp-t_fpn_ms-1x_coco',
                    {'box AP': 44.0, 'mask AP': 40.0},
                    'EXh5rSXMKcNMlNNEnI7phmYBmw7aZ0PSDhFO-ZmHZ_Rr8A?e=JGwoTA',
                ),
                (
                    'tiny',
                    'cascade-mask-rcnn_asmlp-t_fpn_giou-4conv1fc_ms-1x_coco',
                    {'box AP': 48.4, 'mask AP': 42.0},
                    'ERBgXv6TN2BMmRXDSQqkWwUBHJUQZiCwIhxl-1cZKd0iWg?e=ddwlrG',
                ),
            ),
            (
                'svip-lab/AS-MLP-Semantic-Segmentation README; AS-MLP paper, arXiv 2107.08391v1, table 6',
                '',
                (
                    'base',
                    'upernet_asmlp-b_160k_ade20k-512x512',
                    {'mIoU (ms+flip)': 49.5},
                    'Eee6yxLZ27hAkk3yVAD6UtsB189avw7EFHN0cy59L9LOeA?e=Zc1ro0',
                ),
            ),
        )
        for arch, name, metrics, page in files
    )
    arch_defaults: ClassVar[dict] = dict(mlp_ratios=(4, 4, 4, 4))
    cpu_format: ClassVar[torch.memory_format] = torch.channels_last

    def __init__(self, arch: str | dict, *, shift_size: int = 5, dilation: int = 1, **kwargs: Any):
        odd = type(shift_size) is int and shift_size > 0 and shift_size % 2 == 1
        check('shift_size', shift_size, 'an odd integer of at least 1', odd)
        check('dilation', dilation, 'an integer of at least 1', type(dilation) is int and dilation > 0)
        self.shift_size = shift_size
        self.dilation = dilation
        super().__init__(arch, **kwargs)

    def make_stem(self, in_channels: int) -> nn.Module:
        return PatchEmbed(in_channels, self.arch['dims'][0], 4, GroupNorm1)

    def make_stage(self, index: int, drop_paths: list[float], with_cp: bool) -> nn.Module:
        dims, ratio = self.arch['dims'], self.arch['mlp_ratios'][index]
        channels = dims[index]
        # Scaling the weights pays off where the map has several times more positions than channels, at 224x224 also.
        mixer = partial(AxialShiftMixer, channels, self.shift_size, self.dilation, folds_in_graphs=index < 2)
        blocks = [AxialShiftBlock(channels, mixer(), GroupNorm1, ratio, rate) for rate in drop_paths]
        return Stage(blocks, PatchMerging(dims[index - 1], channels, GroupNorm1) if index else None, with_cp)

    def make_out_norm(self, channels: int) -> nn.Module:
        return GroupNorm1(channels)

    @staticmethod
    def init_layer(layer: nn.Module) -> None:
        """All convolutions: truncated normal of std 0.02, bias 0."""
        if isinstance(layer, nn.Conv2d):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
