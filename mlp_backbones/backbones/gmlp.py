"""gMLP: one MLP a block, whose hidden channels are gated by a linear map of all positions. Source: arXiv 2105.08050."""

from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from ..checkpoints.weights import Weights
from ..layers import DropPath, LayerNorm2d, PositionLinear, init_pointwise, linear_gelu
from ..registry import register_family
from .published import PublishedNames
from .single_scale import SINGLE_SCALE, SingleScaleBackbone

Norm = partial(LayerNorm2d, eps=1e-6)


class SpatialGate(nn.Module):
    """Spatial gating unit, ``[B, 2C, H, W]`` to ``[B, C, H, W]``: a half times the other, mixed over positions (2.1).

    Args:
        channels: C.
        proj: the map of positions.
    """

    def __init__(self, channels: int, proj: nn.Module):
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.proj = proj

    def forward(self, x: Tensor) -> Tensor:
        u, v = x.chunk(2, 1)
        return u * self.proj(self.norm(v))


class GatedMlp(nn.Module):
    """A channel MLP with a spatial gate between its two maps, ``[B, C, H, W]`` to the same shape.

    Args:
        channels: C; the hidden width is 6 C, half of it after the gate.
        proj: the map of positions in the gate.
    """

    def __init__(self, channels: int, proj: nn.Module):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, 6 * channels, 1)
        self.gate = SpatialGate(3 * channels, proj)
        self.fc2 = nn.Conv2d(3 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.gate(linear_gelu(self.fc1, x)))


class GMLPBlock(nn.Module):
    """``x + DP(mixer(norm(x)))``, ``[B, C, H, W]`` to the same shape; there is no channel MLP beside the mixer."""

    def __init__(self, channels: int, mixer: nn.Module, drop_path: float):
        super().__init__()
        self.norm = Norm(channels)
        self.mixer = mixer
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.mixer(self.norm(x)))


@register_family
class GMLP(SingleScaleBackbone):
    """gMLP (arXiv 2105.08050), a network of one scale; every block is a stage.

    Padding an image changes its numbers: with ``spatial_rule='tile'`` those of the tiles at the border, with
    ``'resize'`` all.

    Args:
        arch: 'ti16', 's16', 'b16', or ``dict(dim=..., depth=..., patch_size=..., native_size=224)``, the sizes in
            pixels.

    The other arguments are those of :class:`.SingleScaleBackbone`, the attributes and the errors those of
    :class:`MLPBackbone`.
    """

    variants: ClassVar[dict[str, dict]] = {
        'ti16': dict(dim=128, depth=30, patch_size=16),
        's16': dict(dim=256, depth=30, patch_size=16),
        'b16': dict(dim=512, depth=30, patch_size=16),
    }
    # The names are timm's.
    published_names: ClassVar[PublishedNames | None] = PublishedNames(
        (*SINGLE_SCALE, (r'\.mixer\.', '.mlp_channels.')),
        linear=r'\.(fc[12]|gate\.proj)\.weight$',
        flat=True,
    )
    published_weights: ClassVar[tuple[Weights, ...]] = (
        Weights(
            'gmlp_s16',
            'https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/'
            'gmlp_s16_224_raa-10536d42.pth',
            {'Top 1 Accuracy': 79.6},
            source='huggingface/pytorch-image-models README',
            licence='Apache-2.0',
            sha256='10536d42',
            mean=(127.5, 127.5, 127.5),
            std=(127.5, 127.5, 127.5),
            note="trained by timm's authors",
        ),
    )

    def make_block(self, channels: int, drop_path: float) -> nn.Module:
        return GMLPBlock(channels, GatedMlp(channels, PositionLinear(self.grid, self.spatial_rule)), drop_path)

    def make_out_norm(self, channels: int) -> nn.Module:
        return Norm(channels)

    @staticmethod
    def init_layer(layer: nn.Module) -> None:
        """Point-wise maps: truncated normal of std 0.02, bias 0; gates begin as 1, section 2.1."""
        if isinstance(layer, PositionLinear):
            nn.init.normal_(layer.weight, std=1e-6)
            nn.init.ones_(layer.bias)  # pyright: ignore[reportArgumentType]
        else:
            init_pointwise(layer)
