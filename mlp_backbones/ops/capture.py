"""What else than plain eager execution may run a network: graph capture, and the transforms of ``torch.func``."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad


def is_captured() -> bool:
    """Whether a graph is captured from this call: by torch.compile, torch.export or torch.jit.trace."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def is_transformed() -> bool:
    """Whether a transform of ``torch.func`` or forward-mode differentiation runs this call.

    These know torch's own operators, not every memory format, in-place operator and autograd.Function.
    """
    if torch.compiler.is_compiling():
        return False  # Dynamo traces transforms itself, and cannot trace these questions
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def contiguous(x: Tensor, memory_format: torch.memory_format) -> Tensor:
    """``x.contiguous(memory_format=memory_format)``; ``x`` itself in transforms, where vmap has no such operator."""
    return x if is_transformed() else x.contiguous(memory_format=memory_format)


def fx_leaf(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a function of a tensor, its first argument, that torch.fx records as one node.

    So the function may look at sizes, which torch.fx does not know.
    """

    @wraps(function)
    def call(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if isinstance(x, torch.fx.Proxy):
            return x.tracer.create_proxy('call_function', call, (x, *args), kwargs)
        return function(x, *args, **kwargs)

    return call
