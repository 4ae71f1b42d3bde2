"""Detection of layers whose call a faster implementation may skip."""

from torch import nn
from torch.nn.modules import module as _global


def is_plain(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Return whether a call of ``layer`` runs only ``kind.forward``, so that its weights may be read instead.

    A layer that was replaced, wrapped or parametrized, that has hooks (its own, or those of all modules), another
    ``forward`` or a compiled one is not, and must be called as a layer. ``kind`` is the exact class that was built.
    """
    return type(layer) is kind and not is_watched(layer)


def is_watched(layer: nn.Module) -> bool:
    """Return whether more than ``forward`` of its class runs when ``layer`` is called."""
    return bool(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
        or _global._global_forward_hooks
        or _global._global_forward_pre_hooks
        or _global._global_backward_hooks
        or _global._global_backward_pre_hooks
        or 'forward' in vars(layer)
        or vars(layer).get('_compiled_call_impl') is not None
    )
