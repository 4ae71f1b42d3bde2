"""Token mixers of the newer families as their papers write them, and without moving anything."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from mlp_backbones.backbones.activemlp import ActiveMixer
from mlp_backbones.backbones.msmlp import MixShift
from mlp_backbones.backbones.raftmlp import RAFT, RaftMixer
from mlp_backbones.backbones.ramlp import RegionMixer
from mlp_backbones.backbones.shiftvit import ShiftBlock
from mlp_backbones.backbones.spiralmlp import Offsets, SpiralLinear
from mlp_backbones.layers import Mlp
from mlp_backbones.ops import crop, pad_to_multiple

Forward = Callable[..., Tensor]
MIXERS = (ActiveMixer, MixShift, ShiftBlock, SpiralLinear)
# Of these the part that mixes has no other form.
GATHERERS = (RaftMixer, RegionMixer)


def naive_forward(module: nn.Module) -> Forward:
    """The forward method of one of :data:`MIXERS`, written plainly, on its weights."""
    plain = {
        ActiveMixer: partial(_active, deform_along),
        MixShift: partial(_mix, roll_groups),
        ShiftBlock: partial(_shift_block, assign_groups),
        SpiralLinear: lambda layer, x: deform_spiral(layer.offsets, x, layer.weight, layer.bias),
    }
    return partial(plain[type(module)], module)


def still_forward(module: nn.Module) -> Forward:
    """The same products, and nothing moves."""
    still = {
        ActiveMixer: partial(_active, lambda x, weight, bias, offset, dim: F.conv2d(x, weight, bias)),
        MixShift: partial(_mix, lambda x, shifts: x),
        ShiftBlock: partial(_shift_block, lambda x, shifts: x),
        SpiralLinear: lambda layer, x: F.conv2d(x, layer.weight, layer.bias),
    }
    return partial(still[type(module)], module)


def still_mix(module: RaftMixer | RegionMixer) -> Forward:
    """The mixing of a map without gathering lines or regions: products as large, over the memory as it lies."""
    return partial(_mix_regions if isinstance(module, RegionMixer) else _mix_lines, module)


def _mix_lines(mixer: RaftMixer, x: Tensor) -> Tensor:
    lines = x.permute(0, 2, 3, 1).reshape(len(x), RAFT * mixer.grid, mixer.grid, -1)
    return Mlp.forward(mixer, lines).reshape(len(x), mixer.grid, mixer.grid, -1).permute(0, 3, 1, 2)


def _mix_regions(mixer: RegionMixer, x: Tensor) -> Tensor:
    padded = pad_to_multiple(mixer.dwconv1(x), mixer.splits).permute(0, 2, 3, 1)
    size = mixer.sfc.in_channels
    vectors = padded.reshape(len(x), -1, x.shape[1] // mixer.width, size).permute(0, 3, 1, 2)
    mixed = mixer.sfc(vectors / size).permute(0, 2, 3, 1).reshape(padded.shape).permute(0, 3, 1, 2)
    return crop(mixed, 0, 0, *x.shape[2:])


def _active(along: Callable, mixer: ActiveMixer, x: Tensor, offsets: Tensor) -> Tensor:
    of_w, of_h = offsets.chunk(2, 1)
    along_w = along(x, mixer.atm_w.weight, mixer.atm_w.bias, of_w, 3)
    along_h = along(x, mixer.atm_h.weight, mixer.atm_h.bias, of_h, 2)
    return mixer.proj(mixer.fusion(along_w, along_h, mixer.atm_c(x)))


def deform_along(x: Tensor, weight: Tensor, bias: Tensor | None, offset: Tensor, dim: int) -> Tensor:
    """A 1x1 deformable convolution whose offset along the other axis is 0."""
    offset = offset.repeat_interleave(x.shape[1] // offset.shape[1], 1).to(weight.dtype)
    pair = (offset, torch.zeros_like(offset)) if dim == 2 else (torch.zeros_like(offset), offset)
    # It knows no bfloat16.
    return deform_conv2d(x.to(weight.dtype), torch.stack(pair, 2).flatten(1, 2), weight, bias).to(x.dtype)


def _mix(move: Callable, mixer: MixShift, x: Tensor) -> Tensor:
    along_w = mixer.dwconv_lr(move(x, mixer.along_w))
    return along_w + mixer.dwconv_td(move(x, mixer.along_h))


def roll_groups(x: Tensor, shifts: tuple) -> Tensor:
    """Rolls each group of channels."""
    return torch.cat([x[:, group].roll((-rows, -columns), (2, 3)) for group, rows, columns in shifts], 1)


def _shift_block(move: Callable, block: ShiftBlock, x: Tensor) -> Tensor:
    x = move(x, block.shifts)
    return x + block.drop_path(block.mlp(block.norm2(x)))


def assign_groups(x: Tensor, shifts: tuple) -> Tensor:
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


def deform_spiral(offsets: Offsets, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 1x1 deformable convolution with the offsets of the spiral."""
    with torch.inference_mode(False):
        offset = torch.tensor(offsets, dtype=weight.dtype, device=x.device).view(1, -1, 1, 1)
    return deform_conv2d(x.to(weight.dtype), offset.expand(len(x), -1, *x.shape[2:]), weight, bias).to(x.dtype)
