from torch import Tensor, nn

from ..ops import group_norm_gelu, layer_norm

_NORMS = {'BN': nn.BatchNorm2d, 'BN2d': nn.BatchNorm2d, 'SyncBN': nn.SyncBatchNorm, 'GN': nn.GroupNorm}


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of ``[B, C, H, W]``, at each position; ``eps`` is added to the variance."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__(channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight, self.bias, self.eps)


class GroupNorm1(nn.GroupNorm):
    """GroupNorm of one group: mean and variance over C, H and W of each sample (eps 1e-5); ``act``: GELU follows."""

    def __init__(self, channels: int, act: bool = False):
        super().__init__(1, channels)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return group_norm_gelu(x, self.weight, self.bias, self.eps, self.act)


def build_norm(norm_cfg: dict | None, channels: int) -> nn.Module:
    """Build the norm that an OpenMMLab ``norm_cfg`` describes.

    Args:
        norm_cfg: ``dict(type='BN')``, ``'SyncBN'`` or ``'GN'`` (with ``num_groups``); ``requires_grad`` (default True)
            and the options of torch's layer (``eps``, ``momentum``, ...) may follow. None: ``dict(type='BN')``.
        channels: width of the map.

    Raises:
        ValueError: if the type is another one, or torch's layer refuses an option.
    """
    norm_cfg = dict(type='BN') if norm_cfg is None else norm_cfg
    options = dict(norm_cfg) if isinstance(norm_cfg, dict) else {}
    kind = options.pop('type', None)
    requires_grad = options.pop('requires_grad', True)
    if kind not in _NORMS:
        raise ValueError(f'norm_cfg={norm_cfg!r} is not valid: norm_cfg must be a dict of type {", ".join(_NORMS)}')
    try:
        norm = _NORMS[kind](**options, **{'num_channels' if kind == 'GN' else 'num_features': channels})
    except (TypeError, ValueError) as error:
        raise ValueError(f'norm_cfg={norm_cfg!r} does not fit a map of {channels} channels: {error}') from error
    return norm.requires_grad_(requires_grad)
