"""log Σ e^s over negatives that every anchor has for itself, a few anchors at a time.

The negatives alone take batch × n × dim numbers; nothing else of that size is made, except their gradient if it is
asked for. With π_ij = e^{s_ij - log r_i} and the gradient g_i of log r_i, G_ij = g_i π_ij contributes
    to a_i:  -2Λ Σ_j G_ij (a_i - c_ij),   to c_ij:  2Λ G_ij (a_i - c_ij),   to Λ_k:  -Σ_ij G_ij (a_ik - c_ijk)².
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from aninfonce._typing import Float
from aninfonce.objectives._gradient import Reference, written_out
from aninfonce.objectives._log_sums import own_log_sums

__all__ = ["LogOwnNegatives"]

NUMBERS_AT_ONCE = 1 << 20  # 4 MB in float32


def _again(ctx: Any) -> Reference:
    """log r as a function that can be differentiated again."""
    offsets, rows, power = ctx.saved_tensors[3], ctx.rows, ctx.power
    return lambda anchors, negatives, concentration: own_log_sums(
        anchors, negatives, concentration, offsets, rows, power
    )


class LogOwnNegatives(torch.autograd.Function):
    """log r_i = log Σ_j e^{s(a_i, c_ij) + b_ij}; differentiable in a, c and Λ (not in the offsets b).

    Where Λ is a multiple of that of the similarity, `power`, further derivatives are those of `_log_sums`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        anchors: Float[Tensor, "batch dim"],
        negatives: Float[Tensor, "batch n dim"],
        concentration: Float[Tensor, " dim"],
        offsets: Float[Tensor, "batch n"] | None,
        chunk: int | None,
        power: float = 1.0,
    ) -> Float[Tensor, " batch"]:
        """Shape (batch,); `chunk` anchors at a time, chosen by itself if None."""
        ctx.power = power
        ctx.rows = chunk or max(1, NUMBERS_AT_ONCE // (negatives.shape[1] * negatives.shape[2]))
        log_r = anchors.new_empty(len(anchors))
        for start in range(0, len(anchors), ctx.rows):
            rows = slice(start, start + ctx.rows)
            difference = anchors[rows, None] - negatives[rows]
            log_r[rows] = _similarities(difference, concentration, offsets, rows).logsumexp(1)
        ctx.save_for_backward(anchors, negatives, concentration, offsets, log_r)
        return log_r

    @staticmethod
    @written_out(_again, arguments=3)
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the anchors, the negatives and Λ."""
        anchors, negatives, concentration, offsets, log_r = ctx.saved_tensors
        grad_anchors = torch.empty_like(anchors)
        grad_negatives = torch.empty_like(negatives) if ctx.needs_input_grad[1] else None
        grad_concentration = torch.zeros_like(concentration)
        for start in range(0, len(anchors), ctx.rows):
            rows = slice(start, start + ctx.rows)
            difference = anchors[rows, None] - negatives[rows]
            s = _similarities(difference, concentration, offsets, rows)
            # e^-40 of the sum counts for nothing; subnormal numbers would be slow
            weights = grad[rows, None] * (s - log_r[rows, None]).clamp_min_(-40).exp_()
            pull = torch.einsum("bn,bnd->bd", weights, difference)
            grad_anchors[rows] = -2 * concentration * pull
            if grad_negatives is not None:
                torch.mul(difference, weights[..., None] * (2 * concentration), out=grad_negatives[rows])
            grad_concentration -= torch.einsum("bn,bnd,bnd->d", weights, difference, difference)
        return grad_anchors, grad_negatives, grad_concentration, None, None, None


def _similarities(difference: Tensor, concentration: Tensor, offsets: Tensor | None, rows: slice) -> Tensor:
    s = -(difference.square() @ concentration)
    return s if offsets is None else s.add_(offsets[rows])
