"""Token mixers of the newer families as their papers write them, and without moving anything."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from mlp_backbones.backbones.activemlp import ActiveMixer
from mlp_backbones.backbones.msmlp import MixShift
from mlp_backbones.backbones.shiftvit import ShiftBlock
from mlp_backbones.backbones.spiralmlp import SpiralLinear

Forward = Callable[..., Tensor]
MIXERS = (ActiveMixer, MixShift, ShiftBlock, SpiralLinear)


def naive_forward(module: nn.Module) -> Forward:
    """The forward method of one of :data:`MIXERS`, written plainly, on its weights."""
    plain = {
        ActiveMixer: partial(_active, _deformable),
        MixShift: partial(_mix, _rolled),
        ShiftBlock: partial(_shift_block, _assigned),
        SpiralLinear: _spiral,
    }
    return partial(plain[type(module)], module)


def still_forward(module: nn.Module) -> Forward:
    """The same products, and nothing moves."""
    still = {
        ActiveMixer: partial(_active, lambda conv, x, offsets, dim: conv(x)),
        MixShift: partial(_mix, lambda x, shifts: x),
        ShiftBlock: partial(_shift_block, lambda x, shifts: x),
        SpiralLinear: lambda layer, x: F.conv2d(x, layer.weight, layer.bias),
    }
    return partial(still[type(module)], module)


def _active(along: Callable, mixer: ActiveMixer, x: Tensor, offsets: Tensor) -> Tensor:
    of_w, of_h = offsets.chunk(2, 1)
    along_w, along_h = along(mixer.atm_w, x, of_w, 3), along(mixer.atm_h, x, of_h, 2)
    return mixer.proj(mixer.fusion(along_w, along_h, mixer.atm_c(x)))


def _deformable(conv: nn.Conv2d, x: Tensor, offset: Tensor, dim: int) -> Tensor:
    """A 1x1 deformable convolution whose offset along the other axis is 0."""
    offset = offset.repeat_interleave(x.shape[1] // offset.shape[1], 1).to(conv.weight.dtype)
    pair = (offset, torch.zeros_like(offset)) if dim == 2 else (torch.zeros_like(offset), offset)
    # It knows no bfloat16.
    offsets = torch.stack(pair, 2).flatten(1, 2)
    return deform_conv2d(x.to(conv.weight.dtype), offsets, conv.weight, conv.bias).to(x.dtype)


def _mix(move: Callable, mixer: MixShift, x: Tensor) -> Tensor:
    along_w = mixer.dwconv_lr(move(x, mixer.along_w))
    return along_w + mixer.dwconv_td(move(x, mixer.along_h))


def _rolled(x: Tensor, shifts: tuple) -> Tensor:
    """Rolls each group of channels."""
    return torch.cat([x[:, group].roll((-rows, -columns), (2, 3)) for group, rows, columns in shifts], 1)


def _shift_block(move: Callable, block: ShiftBlock, x: Tensor) -> Tensor:
    x = move(x, block.shifts)
    return x + block.drop_path(block.mlp(block.norm2(x)))


def _assigned(x: Tensor, shifts: tuple) -> Tensor:
    """Fills a map of zeros slice by slice, as the paper's listing does."""
    out = torch.zeros_like(x)
    for group, rows, columns in shifts:
        target, source = out[:, group], x[:, group]
        for dim, step in ((2, rows), (3, columns)):
            kept = max(x.shape[dim] - abs(step), 0)
            target = target.narrow(dim, 0 if step > 0 else x.shape[dim] - kept, kept)
            source = source.narrow(dim, x.shape[dim] - kept if step > 0 else 0, kept)
        target.copy_(source)
    return out


def _spiral(layer: SpiralLinear, x: Tensor) -> Tensor:
    """A 1x1 deformable convolution with the offsets of the spiral."""
    with torch.inference_mode(False):
        offset = torch.tensor(layer.offsets, dtype=layer.weight.dtype, device=x.device).view(1, -1, 1, 1)
    offset = offset.expand(len(x), -1, *x.shape[2:])
    return deform_conv2d(x.to(layer.weight.dtype), offset, layer.weight, layer.bias).to(x.dtype)
