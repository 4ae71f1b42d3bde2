import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Mlp(nn.Module):
    """Two point-wise linear maps with GELU (exact) between, on every position of ``[B, C, H, W]`` alone.

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
        x = self.fc1(x)
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self.fc2(F.gelu(x))
        return self.fc2(torch.ops.aten.gelu_(x))  # in place, as no gradient will ask for what went in
