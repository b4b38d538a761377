"""Projection onto the unit sphere, with its gradient written out: half the passes over the batch of autograd's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aninfonce.objectives._gradient import written_out

__all__ = ["Normalize"]

SMALLEST_NORM = 1e-12  # as torch.nn.functional.normalize


class Normalize(torch.autograd.Function):
    """y = x / |x| along the last axis;  ∂L/∂x = (g - (g·y) y) / |x|.  Zero stays zero, with the gradient g / 1e-12."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Any shape (..., dim)."""
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(SMALLEST_NORM)
        y: Tensor = x / norm
        ctx.save_for_backward(y, norm)
        return y

    @staticmethod
    @written_out
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """The part of the gradient along the sphere."""
        y, norm = ctx.saved_tensors
        along = (grad * y).sum(-1, keepdim=True)
        along_sphere: Tensor = torch.addcmul(grad, along, y, value=-1).div_(norm)
        return along_sphere
