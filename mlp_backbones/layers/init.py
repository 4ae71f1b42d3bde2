"""Initialisations of single layers, for ``MLPBackbone.init_layer``."""

from torch import nn


def init_pointwise(layer: nn.Module) -> None:
    """Point-wise maps: truncated normal of std 0.02, bias 0; all other layers stay as torch initialises them."""
    if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
