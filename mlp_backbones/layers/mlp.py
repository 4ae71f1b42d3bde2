from torch import Tensor, nn

from ..ops import gelu
from ..ops.tensors import gelu_
from .plain import is_plain


def linear_gelu(layer: nn.Module, x: Tensor, kind: type[nn.Module] = nn.Conv2d) -> Tensor:
    """Call a layer of the class ``kind``, then GELU, in inference in place unless something watches the layer."""
    y = layer(x)
    return gelu_(y) if is_plain(layer, kind) else gelu(y)


class Mlp(nn.Module):
    """Two point-wise linear maps with GELU (exact) between, at each position of ``[B, C, H, W]``.

    Args:
        channels: width of the input.
        hidden_channels: width between the two maps.
        out_channels: width of the output. Default: ``channels``.
    """

    def __init__(self, channels: int, hidden_channels: int, out_channels: int | None = None):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden_channels, 1)
        self.fc2 = nn.Conv2d(hidden_channels, out_channels or channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(linear_gelu(self.fc1, x))
