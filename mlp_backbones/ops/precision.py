import torch
from torch import Tensor

from .capture import fx_leaf


@fx_leaf
def autocast_once(x: Tensor) -> Tensor:
    """Casts ``x`` as autocast would for the next product, for several products to read one copy.

    Args:
        x: any tensor.

    Returns:
        ``x`` in the dtype that autocast has for products on its device; ``x`` itself outside of autocast, and in
        float64, which autocast leaves alone.
    """
    # A compiler shares the casts of the products by itself.
    if torch.compiler.is_compiling() or not torch.amp.is_autocast_available(device := x.device.type):
        return x
    casts = torch.is_autocast_enabled(device) and x.dtype != torch.float64
    return x.to(torch.get_autocast_dtype(device)) if casts else x
