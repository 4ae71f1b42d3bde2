import torch
from torch import Tensor, nn


class Affine(nn.Module):
    """``alpha * x + beta`` for each channel of ``[B, C, H, W]``.

    Source: ResMLP, arXiv 2105.03404, section 2, where it takes the place of norms.

    Args:
        channels: C.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.alpha[:, None, None] * x + self.beta[:, None, None]
