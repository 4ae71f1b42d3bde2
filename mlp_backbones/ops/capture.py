"""Detection of graph capture and of the transforms of ``torch.func``."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..compat import is_compiling, is_dynamo_compiling


def is_captured() -> bool:
    """Return whether this call is captured as a graph, by torch.compile, torch.export or torch.jit.trace."""
    return is_compiling() or torch.jit.is_tracing()


def is_exporting() -> bool:
    """Return whether this call is captured by torch.export, as it is for ONNX."""
    # torch.compiler.is_exporting() is true in compilation, too.
    return is_compiling() and not is_dynamo_compiling()


def is_transformed() -> bool:
    """Return whether a transform of ``torch.func`` or forward-mode differentiation runs this call.

    These know torch's own operators, not every memory format, in-place operator and autograd.Function.
    """
    if is_compiling():
        return False  # Dynamo traces transforms itself, and cannot trace these questions
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


def contiguous(x: Tensor, memory_format: torch.memory_format) -> Tensor:
    """Call ``x.contiguous``, except in transforms, where vmap lacks it."""
    return x if is_transformed() else x.contiguous(memory_format=memory_format)


def without_autocast(device: str) -> AbstractContextManager:
    """Compute a block in the precision of its tensors; exported graphs have no autocast."""
    return nullcontext() if is_exporting() else torch.autocast(device, enabled=False)


def fx_leaf(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function so that torch.fx records it as one node; its first argument is a tensor.

    The function may read sizes, which torch.fx does not know.
    """

    @wraps(function)
    def call(x: Tensor, *args: Any, **kwargs: Any) -> Any:
        if isinstance(x, torch.fx.Proxy):
            return x.tracer.create_proxy('call_function', call, (x, *args), kwargs)
        return function(x, *args, **kwargs)

    return call
