"""The frame of every gradient that is written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

__all__ = ["written_out"]


class _NotAgain(torch.autograd.Function):
    """The tensor x itself; differentiating it raises RuntimeError."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, required: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        raise RuntimeError(
            "the gradient of a contrastive objective is written out by hand and cannot be differentiated again "
            "(create_graph=True): write the loss out densely where a second derivative is needed"
        )


def written_out(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Frame a backward pass: computed in the precision of its arguments, and not differentiable again.

    Called inside an autocast region, its products would be in half precision. And with create_graph=True the result
    would pass for a constant (torch's own `once_differentiable` notices only if the incoming gradient needs one).
    """

    @wraps(backward)
    def framed(ctx: Any, grad: Tensor) -> Any:
        with torch.no_grad(), torch.autocast(grad.device.type, enabled=False):
            results = backward(ctx, grad)
        if not torch.is_grad_enabled():
            return results
        required = torch.zeros((), device=grad.device, requires_grad=True)
        several = isinstance(results, tuple)
        marked = [
            _NotAgain.apply(x, required) if isinstance(x, Tensor) else x for x in (results if several else [results])
        ]
        return tuple(marked) if several else marked[0]

    return framed
