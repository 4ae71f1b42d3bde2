"""Linear maps of slice copies with an explicit adjoint: autograd's own backward pass of them is far slower."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LinearMap = Callable[[Tensor], Tensor]


def apply_linear(x: Tensor, forward: LinearMap, adjoint: LinearMap) -> Tensor:
    """Compute ``forward(x)``, with ``adjoint`` as its backward pass; differentiable any number of times."""
    return _Linear.apply(x, forward, adjoint)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: LinearMap, adjoint: LinearMap) -> Tensor:
        ctx.maps = adjoint, forward
        return forward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Linear.apply(grad, *ctx.maps), None, None
