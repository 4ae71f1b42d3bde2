"""Parameters, multiply-adds and activations of a network."""

from dataclasses import dataclass
from math import prod

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from ..backbones import build_backbone, build_classifier


@dataclass(frozen=True)
class Count:
    """Of a network or a part of it, for one image.

    Attributes:
        parameters: number of trainable and frozen parameters.
        macs: multiply-adds of all convolutions and linear maps. Norms, activation functions, shifts and averages are
            not counted.
        activations: output elements of all convolutions and linear maps.
    """

    parameters: int
    macs: int
    activations: int


def complexity(name: str, size: tuple[int, int] = (224, 224), classifier: bool = True) -> tuple[int, int]:
    """The parameters and multiply-adds in all, see :func:`complexity_by_part`."""
    total = complexity_by_part(name, size, classifier)['all']
    return total.parameters, total.macs


def complexity_by_part(name: str, size: tuple[int, int] = (224, 224), classifier: bool = True) -> dict[str, Count]:
    """Counts a variant, on torch's meta device: nothing is computed, no memory is taken.

    Args:
        name: a variant, as in :func:`mlp_backbones.list_backbones`.
        size: (H, W) of the image, in pixels. Default (224, 224).
        classifier: with the linear head of 1,000 classes, as the papers count; else the dense backbone. Default True.

    Returns:
        Counts of 'all', 'stem', 'stage 1' and so on, each with its downsampling, and of the rest, which is 'head', the
        last norm and linear map of a classifier, or 'norms', the output norms of a dense backbone.
    """
    with torch.device('meta'):
        model: nn.Module = (build_classifier if classifier else build_backbone)(name).eval()
    backbone = model.backbone if classifier else model
    prefix = 'backbone.' if classifier else ''
    stages = {f'{prefix}stages.{i}': f'stage {i + 1}' for i in range(len(backbone.stages))}
    counts = count(model, size, {f'{prefix}stem': 'stem', **stages})
    rest = counts.pop('rest')
    return {**counts, 'head' if classifier else 'norms': rest}


def count(model: nn.Module, size: tuple[int, int], parts: dict[str, str]) -> dict[str, Count]:
    """Counts any network that takes images ``[1, 3, H, W]``, in all and by part.

    Args:
        model: in eval mode, on any device.
        size: (H, W) of the image, in pixels.
        parts: names of parts, by the name of their module in ``model``.

    Returns:
        Counts of 'all', of the parts, and of the 'rest', which belongs to none of them.
    """
    macs, activations = FlopCounterMode(display=False), FlopCounterMode(display=False, custom_mapping=_OUTPUTS)
    with torch.no_grad(), macs, activations:
        model(torch.empty(1, 3, *size, device=next(model.parameters()).device))
    root = type(model).__name__

    def of(module: str) -> Count:
        path = f'{root}.{module}'.rstrip('.')
        # A part without convolutions and linear maps has no entry.
        flops, outputs = (sum(counter.get_flop_counts().get(path, {}).values()) for counter in (macs, activations))
        return Count(sum(p.numel() for p in model.get_submodule(module).parameters()), flops // 2, outputs)

    total, found = of(''), {name: of(module) for module, name in parts.items()}
    rest = (getattr(total, key) - sum(getattr(part, key) for part in found.values()) for key in total.__dict__)
    return {'all': total, **found, 'rest': Count(*rest)}


def _outputs(*args: object, out_shape: tuple[int, ...], **kwargs: object) -> int:
    return prod(out_shape)


# torch's counter, made to count outputs in place of operations.
_OUTPUTS = dict.fromkeys(flop_registry, _outputs)
