import torch
from torch import Tensor, nn

from ..ops import pad_end


class ConvEmbed(nn.Module):
    """Patch embedding or downsampling by an overlapping convolution: ``[B, C, H, W]`` to a coarser grid.

    A map smaller than the kernel is padded with zeros at the right and bottom, so that any size runs.

    Args:
        in_channels: width of the input.
        out_channels: width of the output.
        kernel_size: side of the kernel in pixels.
        stride: the grid gets coarser by this factor.
        padding: zeros on each side, in pixels.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, padding: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        self.smallest = kernel_size - 2 * padding

    def forward(self, x: Tensor) -> Tensor:
        if self.smallest > 1:
            # torch.jit.trace, which counters of operations use, has tensors there.
            sides = map(int, x.shape[2:]) if torch.jit.is_tracing() else x.shape[2:]
            x = pad_end(x, *(torch.sym_max(self.smallest - side, 0) for side in sides))
        return self.proj(x)
