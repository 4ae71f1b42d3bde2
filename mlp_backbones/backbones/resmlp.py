"""ResMLP: a linear map of all positions, then an MLP over channels, without norms. Source: arXiv 2105.03404."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from ..checkpoints.weights import Weights
from ..layers import Affine, DropPath, Mlp, PositionLinear, init_pointwise
from ..registry import register_family
from .published import PublishedNames
from .single_scale import SINGLE_SCALE, SingleScaleBackbone


class ResMLPBlock(nn.Module):
    """``x + DP(gamma_1 * mixer(norm1(x)))``, then ``x + DP(gamma_2 * mlp(norm2(x)))``, ``[B, C, H, W]`` to the same.

    Args:
        channels: C.
        mixer: the token mixer.
        layer_scale: the initial value of ``gamma_1`` and ``gamma_2``, which scale each channel.
        drop_path: probability of a branch being dropped in training.
    """

    def __init__(self, channels: int, mixer: nn.Module, layer_scale: float, drop_path: float):
        super().__init__()
        self.norm1 = Affine(channels)
        self.mixer = mixer
        self.gamma_1 = nn.Parameter(torch.full((channels,), layer_scale))
        self.norm2 = Affine(channels)
        self.mlp = Mlp(channels, 4 * channels)
        self.gamma_2 = nn.Parameter(torch.full((channels,), layer_scale))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(_by_channel(self.gamma_1) * self.mixer(self.norm1(x)))
        return x + self.drop_path(_by_channel(self.gamma_2) * self.mlp(self.norm2(x)))


def _by_channel(vector: Tensor) -> Tensor:
    return vector[:, None, None]


@register_family
class ResMLP(SingleScaleBackbone):
    """ResMLP (arXiv 2105.03404), a network of one scale; every block is a stage.

    Padding an image changes its numbers: with ``spatial_rule='tile'`` those of the tiles at the border, with
    ``'resize'`` all.

    Args:
        arch: 's12', 's24', 's36', 'b24', or ``dict(dim=..., depth=..., patch_size=..., native_size=224,
            layer_scale=0.1)``, the sizes in pixels; ``layer_scale`` is the initial scale of the branches.
        drop_path_rate: stochastic depth, the same of all blocks. Default 0.

    The other arguments are those of :class:`.SingleScaleBackbone`, the attributes and the errors those of
    :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        's12': dict(dim=384, depth=12, patch_size=16, layer_scale=0.1),
        's24': dict(dim=384, depth=24, patch_size=16, layer_scale=1e-5),
        's36': dict(dim=384, depth=36, patch_size=16, layer_scale=1e-6),
        'b24': dict(dim=768, depth=24, patch_size=8, layer_scale=1e-6),
    }
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        (*SINGLE_SCALE, (r'^stem\.', 'patch_embed.'), (r'\.mixer\.', '.attn.')),
        linear=r'\.(attn|mlp\.fc[12])\.weight$',
        flat=True,
        # timm's.
        others=(
            (
                (r'^patch_embed\.', 'stem.'),
                (r'\.attn\.', '.linear_tokens.'),
                (r'\.mlp\.', '.mlp_channels.'),
                (r'\.gamma_([12])$', r'.ls\1'),
            ),
        ),
    )
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            f'resmlp_{arch}',
            f'https://dl.fbaipublicfiles.com/deit/{file}_dist.pth',
            {'Top 1 Accuracy': top1},
            source='facebookresearch/deit README_resmlp.md: with distillation',
            licence='Apache-2.0',
            note='trained with distillation',
        )
        for arch, file, top1 in (
            ('s12', 'resmlp_12', 77.8),
            ('s24', 'resmlp_24', 80.8),
            ('s36', 'resmlp_36', 81.1),
            ('b24', 'resmlpB_24', 83.6),
        )
    )
    arch_defaults: ClassVar[dict] = dict(native_size=224, layer_scale=0.1)
    constant_drop_path: ClassVar[bool] = True

    def make_block(self, channels: int, drop_path: float) -> nn.Module:
        mixer = PositionLinear(self.grid, self.spatial_rule)
        return ResMLPBlock(channels, mixer, self.arch['layer_scale'], drop_path)

    def make_out_norm(self, channels: int) -> nn.Module:
        return Affine(channels)

    init_layer = staticmethod(init_pointwise)
