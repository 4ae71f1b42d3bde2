"""The same networks written plainly, and without their token rearrangement: what ours are compared to.

Each token mixer is written out from its paper's formulation, on the weights of the module it stands for, so that
nothing here gets faster when :mod:`mlp_backbones` does.
"""

import copy
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from mlp_backbones.backbones import FAMILIES, ConvMLP, HireMLP, MLPBackbone
from mlp_backbones.backbones.asmlp import AxialShiftMixer
from mlp_backbones.backbones.cyclemlp import CycleMixer
from mlp_backbones.backbones.hiremlp import HireMixer
from mlp_backbones.backbones.sparsemlp import Experts
from mlp_backbones.backbones.swinmlp import WindowMixer
from mlp_backbones.backbones.visionpermutator import PermuteMixer
from mlp_backbones.backbones.wavemlp import WaveMixer
from mlp_backbones.layers import LayerNorm2d
from mlp_backbones.ops import use_backend

from .naive_successors import GATHERERS, MIXERS, naive_forward, still_forward, still_mix

# They rearrange no tokens.
WITHOUT_BOUND = ('CMT', 'ConvMLP', 'GMLP', 'MLPMixer', 'ResMLP', 'SparseMLP', 'WaveMLP')


class Rearrangement(NamedTuple):
    """What rearranges tokens; the first four with the arguments of those in :mod:`mlp_backbones.ops`."""

    cycle_linear: Callable[[Tensor, Tensor, Tensor | None, int, int], Tensor]
    axial_shift: Callable[[Tensor, int, int, int], Tensor]
    fold_regions: Callable[[Tensor, int, int, int], Tensor]
    unfold_regions: Callable[[Tensor, int, int, int, int], Tensor]
    window_linear: Callable[[WindowMixer, Tensor], Tensor]
    swap_segments: Callable[[Tensor, int, int], Tensor]


def deform_cycle_linear(x: Tensor, weight: Tensor, bias: Tensor | None, step_size: int, dim: int) -> Tensor:
    """A 1x1 deformable convolution whose offsets are whole numbers, as the papers' code has it."""
    # It knows no bfloat16; autocast, where torchvision has one for it, turns to float32 likewise.
    offset = _offsets(x.shape[1], step_size, dim, weight.dtype, x.device).expand(len(x), -1, *x.shape[2:])
    return deform_conv2d(x.to(weight.dtype), offset, weight, bias).to(x.dtype)


def roll_axial_shift(x: Tensor, shift_size: int, dim: int, dilation: int) -> Tensor:
    """Pads with zeros, rolls each chunk of the channels, crops."""
    reach = shift_size // 2 * dilation
    padded = F.pad(x, (reach, reach) if dim == 3 else (0, 0, reach, reach))
    offsets = range(-reach, reach + 1, dilation)
    # Few channels make fewer chunks than there are offsets.
    chunks = zip(padded.chunk(shift_size, 1), offsets, strict=False)
    return torch.cat([chunk.roll(offset, dim) for chunk, offset in chunks], 1).narrow(dim, reach, x.shape[dim])


def permute_fold_regions(x: Tensor, region_size: int, step: int, dim: int) -> Tensor:
    """Rolls, pads around the circle, then reshapes and permutes."""
    x = x.roll(step, dim)
    lacking = -x.shape[dim] % region_size
    while lacking:
        # Circular padding goes around once at most, and a side shorter than a region may need more.
        part = min(lacking, x.shape[dim])
        x = F.pad(x, (0, part, 0, 0) if dim == 3 else (0, 0, 0, part), mode='circular')
        lacking -= part
    batch, channels, height, width = x.shape
    if dim == 2:
        x = x.reshape(batch, channels, height // region_size, region_size, width).permute(0, 1, 3, 2, 4)
        return x.reshape(batch, channels * region_size, height // region_size, width)
    x = x.reshape(batch, channels, height, width // region_size, region_size).permute(0, 1, 4, 2, 3)
    return x.reshape(batch, channels * region_size, height, width // region_size)


def permute_unfold_regions(x: Tensor, region_size: int, step: int, dim: int, length: int) -> Tensor:
    """Permutes and reshapes back, crops, then rolls back."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels // region_size, region_size, height, width)
    if dim == 2:
        x = x.permute(0, 1, 3, 2, 4).reshape(batch, channels // region_size, height * region_size, width)
    else:
        x = x.permute(0, 1, 3, 4, 2).reshape(batch, channels // region_size, height, width * region_size)
    return x.narrow(dim, 0, length).roll(-step, dim)


def partition_window_linear(mixer: WindowMixer, x: Tensor) -> Tensor:
    """Pads, partitions in windows, then a grouped 1-D convolution, as the published code has it."""
    size, heads = mixer.window_size, mixer.heads
    before = [size - size // 2 if mixer.shifted and side > size else 0 for side in x.shape[2:]]
    after = [-(side + first) % size for side, first in zip(x.shape[2:], before, strict=True)]
    padded = F.pad(x, (before[1], after[1], before[0], after[0])).permute(0, 2, 3, 1)
    batch, height, width, channels = padded.shape
    shape = batch, height // size, width // size, size, size, channels
    windows = padded.reshape(batch, height // size, size, width // size, size, channels).transpose(2, 3)
    windows = windows.reshape(-1, size**2, heads, channels // heads).transpose(1, 2)
    mixed = F.conv1d(
        windows.reshape(-1, heads * size**2, channels // heads),
        mixer.spatial_mlp.weight,
        mixer.spatial_mlp.bias,
        groups=heads,
    )
    mixed = mixed.reshape(-1, heads, size**2, channels // heads).transpose(1, 2).reshape(shape).transpose(2, 3)
    mixed = mixed.reshape(padded.shape).permute(0, 3, 1, 2)
    return mixed.narrow(2, before[0], x.shape[2]).narrow(3, before[1], x.shape[3])


def permute_segments(x: Tensor, segments: int, dim: int) -> Tensor:
    """Reshapes, permutes, reshapes."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, segments, channels // segments, height, width)
    order = (0, 3, 2, 1, 4) if dim == 2 else (0, 4, 2, 3, 1)
    return x.permute(order).reshape(batch, channels, height, width)


def plain_linear(x: Tensor, weight: Tensor, bias: Tensor | None, step_size: int, dim: int) -> Tensor:
    """A 1x1 convolution: nothing moves."""
    return F.conv2d(x, weight, bias)


def stand_still(x: Tensor, shift_size: int, dim: int, dilation: int) -> Tensor:
    return x


def reinterpret_fold(x: Tensor, region_size: int, step: int, dim: int) -> Tensor:
    """The shape of the folded map over the memory as it lies; only a side that does not divide costs a copy."""
    lacking = -x.shape[dim] % region_size
    if lacking:
        x = F.pad(x, (0, lacking) if dim == 3 else (0, 0, 0, lacking))
    sides = [x.shape[2], x.shape[3]]
    sides[dim - 2] //= region_size
    return _reinterpret(x, x.shape[1] * region_size, *sides)


def reinterpret_unfold(x: Tensor, region_size: int, step: int, dim: int, length: int) -> Tensor:
    """The shape of the unfolded map over the memory as it lies."""
    sides = [x.shape[2], x.shape[3]]
    sides[dim - 2] *= region_size
    return _reinterpret(x, x.shape[1] // region_size, *sides).narrow(dim, 0, length)


def reinterpret_window_linear(mixer: WindowMixer, x: Tensor) -> Tensor:
    """Products as large, over the memory as it lies; only a side that does not divide costs a copy."""
    size, heads = mixer.window_size, mixer.heads
    height, width = x.shape[2:]
    longer = [size if mixer.shifted and side > size else 0 for side in (height, width)]
    lacking = [-side % size + more for side, more in zip((height, width), longer, strict=True)]
    if any(lacking):
        x = F.pad(x, (0, lacking[1], 0, lacking[0]))
    x = x.permute(0, 2, 3, 1)
    weight = mixer.spatial_mlp.weight.view(heads, size**2, size**2)
    mixed = torch.bmm(weight, x.reshape(heads, size**2, -1)).add_(mixer.spatial_mlp.bias.view(heads, size**2, 1))
    return mixed.view(x.shape).permute(0, 3, 1, 2).narrow(2, 0, height).narrow(3, 0, width)


def leave_segments(x: Tensor, segments: int, dim: int) -> Tensor:
    return x


NAIVE = Rearrangement(
    deform_cycle_linear,
    roll_axial_shift,
    permute_fold_regions,
    permute_unfold_regions,
    partition_window_linear,
    permute_segments,
)
NOTHING = Rearrangement(
    plain_linear, stand_still, reinterpret_fold, reinterpret_unfold, reinterpret_window_linear, leave_segments
)


def naive(net: MLPBackbone) -> MLPBackbone:
    """A copy of a backbone with the same weights and numbers, written plainly.

    CycleMLP, AS-MLP, Hire-MLP, Swin-MLP and Vision Permutator get :data:`NAIVE` operators; ConvMLP, which rearranges no
    tokens, runs with each channel's positions side by side in memory (NCHW). Sparse-MLP sends every token to all
    experts, Wave-MLP adds waves by grouped convolutions. ActiveMLP and SpiralMLP use deformable convolution, MS-MLP
    rolls groups of channels, ShiftViT fills a map of zeros. CMT, gMLP, MLP-Mixer, RaftMLP, RaMLP and ResMLP have no
    other form.
    """
    net = _rewritten(net, NAIVE)
    net.forward = partial(_plain_forward, net)
    net.cpu_format = None  # the papers' code of AS-MLP and Hire-MLP runs in NCHW throughout
    if isinstance(net, (ConvMLP, HireMLP)):
        net.memory_format = torch.contiguous_format
        for module in net.modules():
            if isinstance(module, LayerNorm2d):
                # It hands out channels-last maps, and the convolutions after it would go on with them.
                module.forward = partial(_contiguous_norm, module)
    return net


def bound(net: MLPBackbone) -> MLPBackbone | None:
    """A copy of a backbone that does all but the token rearrangement, with the same parameters and MACs.

    Its numbers are others. None for families without such a rearrangement.
    """
    return None if isinstance(net, tuple(FAMILIES[name] for name in WITHOUT_BOUND)) else _rewritten(net, NOTHING)


def _rewritten(net: MLPBackbone, ops: Rearrangement) -> MLPBackbone:
    net = copy.deepcopy(net)
    for module in net.modules():
        if isinstance(module, CycleMixer):
            module.forward = partial(_cycle_mixer, module, ops)
        elif isinstance(module, AxialShiftMixer):
            module.forward = partial(_axial_shift_mixer, module, ops, net.shift_size, net.dilation)
        elif isinstance(module, HireMixer):
            module.forward = partial(_hire_mixer, module, ops)
        elif isinstance(module, WindowMixer):
            module.forward = partial(ops.window_linear, module)
        elif isinstance(module, PermuteMixer):
            module.mix = partial(_permute_mixer, module, ops)
        elif isinstance(module, WaveMixer):
            module.forward = partial(_wave_mixer, module)
        elif isinstance(module, MIXERS):
            module.forward = still_forward(module) if ops is NOTHING else naive_forward(module)
        elif isinstance(module, GATHERERS) and ops is NOTHING:
            module.mix = still_mix(module)
        elif isinstance(module, Experts):
            module._chosen_experts = partial(_all_experts, module)
    return net


def _plain_forward(net: MLPBackbone, x: Tensor) -> tuple[Tensor, ...]:
    # What is not written out here runs as its definition, whatever backend is chosen.
    with use_backend('plain'):
        return type(net).forward(net, x)


def _cycle_mixer(mixer: CycleMixer, ops: Rearrangement, x: Tensor) -> Tensor:
    along_w, along_h = (
        ops.cycle_linear(x, branch.weight, branch.bias, branch.step_size, dim)
        for branch, dim in ((mixer.sfc_h, 3), (mixer.sfc_w, 2))
    )
    return mixer.proj(_reweight(mixer.reweight, along_w, along_h, mixer.mlp_c(x)))


def _axial_shift_mixer(mixer: AxialShiftMixer, ops: Rearrangement, shift_size: int, dilation: int, x: Tensor) -> Tensor:
    x = F.gelu(_sample_norm(mixer.norm1, mixer.conv1(x)))
    along_w, along_h = (
        F.gelu(F.conv2d(ops.axial_shift(x, shift_size, dim, dilation), conv.weight, conv.bias))
        for conv, dim in ((mixer.conv2_1, 3), (mixer.conv2_2, 2))
    )
    return mixer.conv3(_sample_norm(mixer.norm2, along_w + along_h))


def _hire_mixer(mixer: HireMixer, ops: Rearrangement, x: Tensor) -> Tensor:
    size, step = mixer.region_size, mixer.step
    along_h = mixer.mlp_h1_norm(mixer.mlp_h1(ops.fold_regions(x, size, step, 2)))
    along_h = ops.unfold_regions(mixer.mlp_h2(F.relu(along_h)), size, step, 2, x.shape[2])
    along_w = mixer.mlp_w1_norm(mixer.mlp_w1(ops.fold_regions(x, size, step, 3)))
    along_w = ops.unfold_regions(mixer.mlp_w2(F.relu(along_w)), size, step, 3, x.shape[3])
    return mixer.proj(_reweight(mixer.reweight, along_h, along_w, mixer.mlp_c(x)))


def _permute_mixer(mixer: PermuteMixer, ops: Rearrangement, x: Tensor) -> Tensor:
    along_h, along_w = (
        ops.swap_segments(mlp(ops.swap_segments(x, mixer.segments, dim)), mixer.segments, dim)
        for mlp, dim in ((mixer.mlp_h, 2), (mixer.mlp_w, 3))
    )
    return mixer.proj(_reweight(mixer.reweight, along_h, along_w, mixer.mlp_c(x)))


def _wave_mixer(mixer: WaveMixer, x: Tensor) -> Tensor:
    branches = (
        (mixer.tfc_h, mixer.fc_h, mixer.theta_h_conv),
        (mixer.tfc_w, mixer.fc_w, mixer.theta_w_conv),
    )
    maps = ((conv, fc(x), theta(x)) for conv, fc, theta in branches)
    along_w, along_h = (conv(torch.cat([y * phase.cos(), y * phase.sin()], 1)) for conv, y, phase in maps)
    return mixer.proj(_reweight(mixer.reweight, along_w, along_h, mixer.fc_c(x)))


def _all_experts(layer: Experts, x: Tensor, weights: Tensor, chosen: Tensor) -> Tensor:
    hidden = F.gelu(torch.einsum('nc,ehc->enh', x, layer.fc1) + layer.bias1[:, None])
    mapped = torch.einsum('enh,ech->enc', hidden, layer.fc2) + layer.bias2[:, None]
    shares = torch.zeros(len(x), len(layer.fc1), dtype=weights.dtype, device=x.device).scatter(1, chosen, weights)
    return torch.einsum('enc,ne->nc', mapped, shares)


def _reweight(layer: nn.Module, *branches: Tensor) -> Tensor:
    average = sum(branches).mean((2, 3), keepdim=True)
    weights = layer.fc2(F.gelu(layer.fc1(average)))
    weights = weights.reshape(len(average), -1, len(branches), 1, 1).softmax(2)
    return sum(branch * weights[:, :, i] for i, branch in enumerate(branches))


def _sample_norm(layer: nn.GroupNorm, x: Tensor) -> Tensor:
    return F.group_norm(x, 1, layer.weight, layer.bias, layer.eps)


def _contiguous_norm(layer: LayerNorm2d, x: Tensor) -> Tensor:
    x = F.layer_norm(x.permute(0, 2, 3, 1), layer.normalized_shape, layer.weight, layer.bias, layer.eps)
    return x.permute(0, 3, 1, 2).contiguous()


@lru_cache
def _offsets(channels: int, step_size: int, dim: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Offsets (rows, columns) of each channel, [1, 2 * channels, 1, 1], kept as the papers' code keeps them."""
    half = step_size // 2
    # A training step cannot use what was made in inference mode.
    with torch.inference_mode(False):
        offsets = torch.zeros(channels, 2, dtype=dtype, device=device)
        offsets[:, dim - 2] = (torch.arange(channels, device=device) + half) % step_size - half
        return offsets.view(1, -1, 1, 1)


def _reinterpret(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Another shape over the same memory, in the memory format of ``x``."""
    if x.is_contiguous():
        return x.reshape(len(x), channels, height, width)
    return x.permute(0, 2, 3, 1).reshape(len(x), height, width, channels).permute(0, 3, 1, 2)
