"""A neck between a backbone of one scale and what reads several."""

from collections.abc import Sequence
from math import ceil, log2

from torch import Tensor, nn
from torch.nn import functional as F

from ..registry import MODELS, register
from .norm import LayerNorm2d


class Rescale(nn.Module):
    """Map ``[B, C, H, W]`` to ``[B, C, ~scale * H, ~scale * W]``, rounded up.

    Powers of two are learned (transposed convolutions of stride 2) upwards and pooled (maximum) downwards; what is left
    of the scale is bilinear. Sizes stay at least 1.

    Args:
        channels: width C.
        scale: factor of the size, above 0.
    """

    def __init__(self, channels: int, scale: float):
        super().__init__()
        self.scale = scale
        power = round(log2(scale))
        self.exact = 2.0**power == scale
        steps: list[nn.Module] = []
        for i in range(power):
            steps += [LayerNorm2d(channels), nn.GELU()] if i else []
            steps.append(nn.ConvTranspose2d(channels, channels, 2, stride=2))
        if power < 0:
            steps.append(nn.MaxPool2d(2**-power, ceil_mode=True))
        self.steps = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        size = [max(ceil(side * self.scale), 1) for side in x.shape[2:]]
        x = self.steps(x)
        return x if self.exact else F.interpolate(x, size, mode='bilinear', align_corners=False)


@register(MODELS)
class RescalePyramid(nn.Module):
    """A neck that brings maps of one stride, or of few, to the strides that a detector or segmentor reads.

    It follows the simple feature pyramid of ViTDet (arXiv 2203.16527, section 3); between two transposed convolutions
    are LayerNorm and GELU. Unlike ViTDet, each output may come from another block, and widths do not change.

    Args:
        in_channels: width of each map.
        scales: for each map, the size of the output relative to it: its stride divided by the wanted one.

    Raises:
        ValueError: if there are not as many scales as maps, or one is not above 0.
    """

    def __init__(self, in_channels: Sequence[int], scales: Sequence[float]):
        super().__init__()
        if len(in_channels) != len(scales) or min(scales, default=0) <= 0:
            raise ValueError(
                f'scales={scales!r} is not valid: there must be one number above 0 for each of the {len(in_channels)} '
                f'maps of in_channels={in_channels!r}'
            )
        self.rescales = nn.ModuleList(Rescale(*pair) for pair in zip(in_channels, scales, strict=True))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map each ``[B, C_i, H_i, W_i]`` to ``[B, C_i, ~scales[i] * H_i, ~scales[i] * W_i]``."""
        return tuple(rescale(x) for rescale, x in zip(self.rescales, inputs, strict=True))
