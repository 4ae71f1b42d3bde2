from torch import Tensor, nn


class GlobalAverage(nn.Module):
    """The mean over all positions: ``[B, C, H, W]`` to ``[B, C]``.

    Args:
        channels: C.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.out_channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))
