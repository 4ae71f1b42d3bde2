"""Dilated networks: transitions that lose their stride, and operators that keep their reach in pixels."""

from math import prod
from typing import Any

from torch import nn

from ..registry import FAMILIES
from .arguments import check


def hold_stride(stages: nn.ModuleList, stride: int, output_stride: int) -> None:
    """Let no stage of a network get coarser than ``output_stride``; no parameter changes.

    A transition that would exceed it loses its stride: its kernel reads the same places of the image around every
    position of the finer grid. What follows is dilated by the factor that was lost, as in DeepLab (arXiv 1706.05587,
    section 3.1): convolutions by their own dilation, token mixers by ``dilate``.

    Args:
        stages: the stages, whose modules are in the order in which they run. Those with ``keep_grid(dilation)`` and
            ``stride`` are transitions; those with ``dilate(factor)`` are token mixers.
        stride: that of the result of the first stage.
        output_stride: the coarsest stride that is left.
    """
    transitions: Any = [module for module in stages[0].modules() if hasattr(module, 'keep_grid')]
    stride //= prod(module.stride for module in transitions)
    dilation = 1

    def visit(module: Any) -> None:
        nonlocal stride, dilation
        if hasattr(module, 'keep_grid'):
            if stride * module.stride <= output_stride:
                stride *= module.stride
            else:
                factor = module.stride
                module.keep_grid(dilation)
                dilation *= factor
        elif dilation > 1 and hasattr(module, 'dilate'):
            module.dilate(dilation)
        elif dilation > 1 and isinstance(module, nn.Conv2d):
            padding: Any = module.padding
            module.padding = tuple(side * dilation for side in padding)
            module.dilation = tuple(side * dilation for side in module.dilation)
        else:
            for child in module.children():
                visit(child)

    visit(stages)


def check_output_stride(family: type, output_stride: Any) -> None:
    """Check the coarsest stride of a family's outputs; None is that of the published network.

    Raises:
        ValueError: naming the value, what is allowed, and the families that can be dilated if this one cannot.
    """
    if output_stride is None:
        return
    if not family.dilates:
        dilated = ', '.join(name for name, kind in FAMILIES.items() if kind.dilates)
        raise ValueError(
            f'output_stride={output_stride!r} is not valid for {family.__name__}, whose strides cannot be changed: '
            f'leave it out, or choose one of {dilated}'
        )
    ok = type(output_stride) is int and output_stride in (8, 16, 32)
    check('output_stride', output_stride, '8, 16, 32, or None for the strides of the published network', ok)
