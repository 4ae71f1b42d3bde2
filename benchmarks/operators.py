"""The operators that move tokens, each with the product behind it where ours and the paper's code have both in one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from mlp_backbones import ops
from mlp_backbones.backbones import FAMILIES
from mlp_backbones.backbones.msmlp import MixShift
from mlp_backbones.backbones.shiftvit import ShiftBlock
from mlp_backbones.backbones.spiralmlp import SpiralLinear, spiral_offsets

from .naive import NAIVE, NOTHING
from .naive_successors import assign_groups, deform_along, deform_spiral, roll_groups

# Axes of an operator, by the name in rows; those without one move along both.
AXES = {'w': 3, 'h': 2}


@dataclass(frozen=True)
class Operator:
    """An operator as one stage of a network has it.

    Attributes:
        versions: maps 'ours', 'bound' and, where the paper's code has another form, 'naive' to functions of the map
            and the weights, ``[B, C, H, W]`` to the same shape.
        channels, stride: of the map.
        memory_format: of the map.
        weights: its weights, in fp32.
    """

    versions: dict[str, Callable[..., Tensor]]
    channels: int
    stride: int
    memory_format: torch.memory_format
    weights: Sequence[Tensor] = ()

    def inputs(self, size: Sequence[int], batch: int, dtype: torch.dtype, device: str) -> list[Tensor]:
        """Return a random map of images of ``size`` (H, W) and the weights."""
        sides = [-(-side // self.stride) for side in size]
        x = torch.rand(batch, self.channels, *sides, device=device, dtype=dtype)
        return [x.contiguous(memory_format=self.memory_format), *(w.to(device, dtype) for w in self.weights)]


def operators(name: str) -> Iterator[tuple[str, Operator]]:
    """Yield one of :data:`OPERATORS` with the name of its row: each axis, each stage of its smallest variant."""
    make, has_axes = OPERATORS[name]
    for axis, dim in AXES.items() if has_axes else {'': None}.items():
        for stage in range(4):
            parts = (name, axis, f'stage{stage + 1}') if axis else (name, f'stage{stage + 1}')
            yield '_'.join(parts), make(stage, *(() if dim is None else (dim,)))


def _operator(
    versions: dict[str, Callable[..., Tensor]],
    family: str,
    arch: str,
    stage: int,
    *weights: Tensor,
    expand_ratio: int = 1,
) -> Operator:
    backbone = FAMILIES[family]
    channels = backbone.variants[arch]['dims'][stage] * expand_ratio
    return Operator(versions, channels, 4 << stage, backbone.memory_format, weights)


def _linear(channels: int, out_channels: int | None = None) -> tuple[Tensor, Tensor]:
    return torch.rand(out_channels or channels, channels, 1, 1), torch.rand(out_channels or channels)


def _cycle_linear(stage: int, dim: int) -> Operator:
    functions = {'ours': ops.cycle_linear, 'naive': NAIVE.cycle_linear, 'bound': NOTHING.cycle_linear}
    versions = {kind: partial(_with_step_size, function, dim) for kind, function in functions.items()}
    weights = _linear(FAMILIES['CycleMLP'].variants['b1']['dims'][stage])
    return _operator(versions, 'CycleMLP', 'b1', stage, *weights)


def _with_step_size(function: Callable, dim: int, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return function(x, weight, bias, 3, dim)


def _axial_shift(stage: int, dim: int) -> Operator:
    versions = {
        'ours': lambda x: ops.axial_shift(x, 5, dim),
        'naive': lambda x: NAIVE.axial_shift(x, 5, dim, 1),
        'bound': _pass_once,
    }
    return _operator(versions, 'ASMLP', 'tiny', stage)


def _regions(stage: int, dim: int) -> Operator:
    # Region sizes of the published variants, and the step of a stage's second block.
    size, step = (4, 3, 3, 2)[stage], (2, 2, 1, 1)[stage]

    def there_and_back(fold: Callable, unfold: Callable, x: Tensor) -> Tensor:
        return unfold(fold(x, size, step, dim), size, step, dim, x.shape[dim])

    versions = {
        'ours': partial(there_and_back, ops.fold_regions, ops.unfold_regions),
        'naive': partial(there_and_back, NAIVE.fold_regions, NAIVE.unfold_regions),
        'bound': lambda x: x * 1 * 1,
    }
    return _operator(versions, 'HireMLP', 'tiny', stage)


def _sample_along(stage: int, dim: int) -> Operator:
    """With the product that makes the offsets, a pixel or so long, and that of the branch."""
    channels = FAMILIES['ActiveMLP'].variants['tiny']['dims'][stage]
    groups = channels // FAMILIES['ActiveMLP'].arch_defaults['share_sizes'][stage]

    def along(read: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor, *of_offsets: Tensor) -> Tensor:
        return read(x, weight, bias, F.conv2d(x, *of_offsets), dim)

    versions = {
        'ours': partial(along, lambda x, weight, bias, o, dim: F.conv2d(ops.sample_along(x, o, dim), weight, bias)),
        'naive': partial(along, deform_along),
        # The offsets have a part in it, as their product and gradient belong to all three.
        'bound': partial(along, lambda x, weight, bias, o, dim: F.conv2d(x, weight, bias) + o.mean()),
    }
    of_offsets = torch.randn(groups, channels, 1, 1) / channels**0.5, torch.zeros(groups)
    return _operator(versions, 'ActiveMLP', 'tiny', stage, *_linear(channels), *of_offsets)


def _rolled_groups(stage: int, dim: int) -> Operator:
    channels = FAMILIES['MSMLP'].variants['tiny']['dims'][stage]
    mixer = MixShift(channels, (1,) * 5)
    shifts = mixer.along_h if dim == 2 else mixer.along_w
    versions = {
        'ours': lambda x: ops.shift_channels(x, shifts, wrap=True),
        'naive': lambda x: roll_groups(x, shifts),
        'bound': _pass_once,
    }
    return _operator(versions, 'MSMLP', 'tiny', stage)


def _shifted_groups(stage: int) -> Operator:
    variant = FAMILIES['ShiftViT'].variants['t_light']
    shifts = ShiftBlock(variant['dims'][stage], variant['n_div'], 1, 0).shifts
    versions = {
        'ours': lambda x: ops.shift_channels(x, shifts),
        'naive': lambda x: assign_groups(x, shifts),
        'bound': _pass_once,
    }
    return _operator(versions, 'ShiftViT', 't_light', stage)


def _spiral_linear(stage: int) -> Operator:
    channels = FAMILIES['SpiralMLP'].variants['b1']['dims'][stage]
    offsets, ((_, shifts),) = spiral_offsets(channels), SpiralLinear(channels).corners
    versions = {
        'ours': lambda x, weight, bias: F.conv2d(ops.shift_channels(x, shifts), weight, bias),
        'naive': partial(deform_spiral, offsets),
        'bound': lambda x, weight, bias: F.conv2d(x, weight, bias),
    }
    return _operator(versions, 'SpiralMLP', 'b1', stage, *_linear(channels))


def _dilated_regions(stage: int) -> Operator:
    defaults = FAMILIES['RaMLP'].arch_defaults
    where = defaults['splits'][stage], defaults['widths'][stage]
    versions = {
        'ours': lambda x: ops.scatter_dilated(ops.gather_dilated(x, *where), x, *where),
        'bound': lambda x: x * 1 * 1,
    }
    return _operator(versions, 'RaMLP', 'tiny', stage, expand_ratio=defaults['expand_ratios'][stage])


def _pass_once(x: Tensor) -> Tensor:
    """Nothing moves, but the map is read and written once, in each direction."""
    return x * 1


# What makes an operator, of a stage and an axis where it has one.
OPERATORS: dict[str, tuple[Callable[..., Operator], bool]] = {
    'cycle_linear': (_cycle_linear, True),
    'axial_shift': (_axial_shift, True),
    'regions': (_regions, True),
    'sample_along': (_sample_along, True),
    'rolled_groups': (_rolled_groups, True),
    'shifted_groups': (_shifted_groups, False),
    'spiral_linear': (_spiral_linear, False),
    'dilated_regions': (_dilated_regions, False),
}
