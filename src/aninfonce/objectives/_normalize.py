"""Projection onto the unit sphere, with its gradient written out: half the passes over the batch of autograd's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aninfonce._sphere import directions, directions_and_norms
from aninfonce.objectives._gradient import Reference, written_out

__all__ = ["Normalize"]


def _again(ctx: Any) -> Reference:
    return directions


class Normalize(torch.autograd.Function):
    """y = x / |x| along the last axis;  ∂L/∂x = (g - (g·y) y) / |x|.  Zero stays zero, without a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Any shape (..., dim)."""
        y, norm = directions_and_norms(x)
        ctx.save_for_backward(x, y, norm)
        return y

    @staticmethod
    @written_out(_again, arguments=1)
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """The part of the gradient along the sphere."""
        _, y, norm = ctx.saved_tensors
        along = (grad * y).sum(-1, keepdim=True)
        along_sphere: Tensor = torch.addcmul(grad, along, y, value=-1).div_(norm)
        return along_sphere
