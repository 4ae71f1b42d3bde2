import torch
from torch import Tensor


def autocast_once(x: Tensor) -> Tensor:
    """Casts ``x`` as autocast would for the next product, for several products to read one copy.

    Args:
        x: any tensor.

    Returns:
        ``x`` in the dtype that autocast has for products on its device; ``x`` itself outside of autocast.
    """
    device = x.device.type
    on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return x.to(torch.get_autocast_dtype(device)) if on else x
