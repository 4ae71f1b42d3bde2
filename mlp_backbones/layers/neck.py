from torch import Tensor, nn


class Neck(nn.Module):
    """The part of a classifier between the last map ``[B, C, H, W]`` and the linear layer.

    A tuple of maps, as mmpretrain gives it, becomes a tuple of the last one's vector.

    Args:
        out_channels: width of the vector.
    """

    def __init__(self, out_channels: int):
        super().__init__()
        self.out_channels = out_channels

    def forward(self, x: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        return (self.pool(x[-1]),) if isinstance(x, tuple) else self.pool(x)

    def pool(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to ``[B, out_channels]``."""
        raise NotImplementedError


class GlobalAverage(Neck):
    """The mean over all positions: ``[B, C, H, W]`` to ``[B, C]``."""

    def pool(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))
