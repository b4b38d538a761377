"""The frame of every gradient that is written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["written_out"]


def written_out(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a backward pass as not differentiable again, and compute it in the precision of its arguments.

    (Called inside an autocast region, its products would be in half precision.)
    """

    @wraps(backward)
    def in_full_precision(ctx: Any, grad: Tensor) -> Any:
        with torch.autocast(grad.device.type, enabled=False):
            return backward(ctx, grad)

    marked: Callable[..., Any] = once_differentiable(in_full_precision)
    return marked
