"""Parameters and multiply-adds of a network."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def complexity(name: str, size: tuple[int, int] = (224, 224), classifier: bool = True) -> tuple[int, int]:
    """Counts a variant, on torch's meta device: nothing is computed, no memory is taken.

    Args:
        name: a variant, as in :func:`mlp_backbones.list_backbones`.
        size: (H, W) of the image, in pixels. Default (224, 224).
        classifier: with the linear head of 1,000 classes, as the papers count; else the dense backbone. Default True.

    Returns:
        (parameters, multiply-adds of all convolutions and linear maps for one image). Norms, activations, shifts and
        averages are not counted.
    """
    from .. import build_backbone, build_classifier

    with torch.device('meta'):
        model: nn.Module = (build_classifier if classifier else build_backbone)(name).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.empty(1, 3, *size))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2
