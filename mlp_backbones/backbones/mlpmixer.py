"""MLP-Mixer: MLPs over all positions of a fixed grid, then over channels. Source: arXiv 2105.01601."""

from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from ..checkpoints.weights import Weights
from ..layers import LayerNorm2d, Mlp
from ..ops import on_native_grid
from ..registry import register_family
from .base import Block
from .published import PublishedNames
from .single_scale import SINGLE_SCALE, SingleScaleBackbone

Norm = partial(LayerNorm2d, eps=1e-6)


class TokenMixer(Mlp):
    """An MLP over the positions of the native grid, alike for all channels: ``[B, C, H, W]`` to the same shape.

    Args:
        grid: side of the native grid, in positions.
        hidden: width between the two maps.
        spatial_rule: see :func:`.ops.on_native_grid`.
    """

    def __init__(self, grid: int, hidden: int, spatial_rule: str):
        super().__init__(grid**2, hidden)
        self.grid = grid
        self.spatial_rule = spatial_rule

    def forward(self, x: Tensor) -> Tensor:
        return on_native_grid(x, self.grid, self.spatial_rule, self.mix)

    def mix(self, x: Tensor) -> Tensor:
        positions_first = x.flatten(2).transpose(1, 2).unsqueeze(3)
        return super().forward(positions_first).squeeze(3).transpose(1, 2).unflatten(2, (self.grid, self.grid))


@register_family
class MLPMixer(SingleScaleBackbone):
    """MLP-Mixer (arXiv 2105.01601), a network of one scale; every block is a stage.

    Padding an image changes its numbers: with ``spatial_rule='tile'`` those of the tiles at the border, with
    ``'resize'`` all.

    Args:
        arch: 's32', 's16', 'b16', 'l16', or ``dict(dim=..., depth=..., patch_size=..., native_size=224)``, the sizes in
            pixels; the native grid has ``native_size / patch_size`` positions along each side.

    The other arguments are those of :class:`.SingleScaleBackbone`, the attributes and the errors those of
    :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        's32': dict(dim=512, depth=8, patch_size=32),
        's16': dict(dim=512, depth=8, patch_size=16),
        'b16': dict(dim=768, depth=12, patch_size=16),
        'l16': dict(dim=1024, depth=24, patch_size=16),
    }
    # The names are timm's; no dense network was published.
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        (*SINGLE_SCALE, (r'\.mixer\.', '.mlp_tokens.'), (r'\.mlp\.', '.mlp_channels.')),
        linear=r'\.fc[12]\.weight$',
        flat=True,
    )
    published_weights: ClassVar[tuple[Weights, ...]] = tuple(
        Weights(
            f'mlpmixer_{arch}',
            'https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-vitjx/'
            f'jx_mixer_{arch}_224-{sha256}.pth',
            {'Top 1 Accuracy': top1, 'Top 5 Accuracy': top5},
            source='mmpretrain, configs/mlp_mixer/metafile.yml',
            licence='Apache-2.0',
            sha256=sha256,
            mean=(127.5, 127.5, 127.5),
            std=(127.5, 127.5, 127.5),
            note='pre-trained on ImageNet-21k',
        )
        for arch, sha256, top1, top5 in (('b16', '76587d61', 76.68, 92.25), ('l16', '92f9adc4', 72.34, 88.02))
    )

    def make_block(self, channels: int, drop_path: float) -> nn.Module:
        mixer = TokenMixer(self.grid, max(channels // 2, 1), self.spatial_rule)
        return Block(channels, mixer, Norm, 4, drop_path)

    def make_out_norm(self, channels: int) -> nn.Module:
        return Norm(channels)

    @staticmethod
    def init_layer(layer: nn.Module) -> None:
        """All maps: truncated normal of variance 1 / fan-in, bias 0."""
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.trunc_normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
            nn.init.zeros_(layer.bias)
