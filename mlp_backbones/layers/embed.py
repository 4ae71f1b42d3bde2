from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..ops import crop, pad_end, pad_to_least, pad_to_multiple, spatial_shape
from .fuse import fold_norm_after


class ConvEmbed(nn.Module):
    """Patch embedding or downsampling by a convolution: ``[B, C, H, W]`` to a coarser grid.

    A map smaller than the kernel is padded with zeros at the right and bottom, so that any size runs.

    Args:
        in_channels: width of the input.
        out_channels: width of the output.
        kernel_size: side of the kernel in pixels.
        stride: the grid gets coarser by this factor.
        padding: zeros on each side, in pixels.
        norm: makes the norm that follows from the number of channels. Default None: there is none.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        padding: int,
        norm: Callable[[int], nn.Module] | None = None,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = padding
        self.missing = 0
        self.proj = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        self.norm = norm(out_channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = pad_end(x, self.missing, self.missing) if self.stride == 1 and self.missing else self.pad(x)
        return self.norm(self.proj(x))

    def pad(self, x: Tensor) -> Tensor:
        return pad_to_least(x, self.kernel_size - 2 * self.padding)

    def keep_grid(self, dilation: int) -> None:
        """Lose the stride: map to a grid as fine as that of the input, by the kernel spread by ``dilation``.

        Every stride-th row and column of the result is a row and column of the strided one.
        """
        self.stride = 1
        self.missing = max(self.kernel_size - 1 - 2 * self.padding, 0) * dilation
        self.proj.stride, self.proj.dilation = (1, 1), (dilation, dilation)
        self.proj.padding = (self.padding * dilation,) * 2

    def fuse(self) -> None:
        self.norm = fold_norm_after(self.proj, self.norm)


class PatchEmbed(ConvEmbed):
    """Patches side by side, zeros completing the last ones: ``[B, C, H, W]`` to ``[B, C', ~H / P, ~W / P]``.

    ``patch_size`` is the side P of a patch in pixels; the other arguments are those of :class:`ConvEmbed`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, patch_size: int, norm: Callable[[int], nn.Module] | None = None
    ):
        super().__init__(in_channels, out_channels, patch_size, patch_size, 0, norm)

    def pad(self, x: Tensor) -> Tensor:
        return pad_to_multiple(x, self.kernel_size)


class PatchMerging(nn.Module):
    """Four neighbours side by side in the channels, norm, linear map: half the size.

    Source: Swin Transformer, arXiv 2103.14030, section 3.1. ``norm`` makes a norm layer from the number of channels.
    """

    def __init__(self, channels: int, out_channels: int, norm: Callable[[int], nn.Module]):
        super().__init__()
        self.stride = 2
        self.dilation = 1
        self.norm = norm(4 * channels)
        self.reduction = nn.Conv2d(4 * channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # The published order of the neighbours: rows run fastest.
        if self.stride == 1:
            far, (height, width) = self.dilation, spatial_shape(x)
            x = pad_end(x, far, far)
            neighbours = [crop(x, row, column, height, width) for column in (0, far) for row in (0, far)]
        else:
            x = pad_to_multiple(x, 2)
            neighbours = [x[:, :, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(neighbours, 1)))

    def keep_grid(self, dilation: int) -> None:
        """Lose the stride: merge neighbours that are ``dilation`` apart, around every position."""
        self.stride, self.dilation = 1, dilation
