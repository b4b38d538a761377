"""The similarity of the theory, and the names of the choices of negatives.

    s(a, c) = -(a - c)ᵀ Λ (a - c) = -Σ_k Λ_k (a_k - c_k)²        (arXiv 2407.00143, Eq. 3; no factor 1/2)

Loss of an anchor a with positive p and negatives n_1 … n_M (arXiv 2407.00143, Eq. 4):
    -log( e^{s(a,p)} / (e^{s(a,p)} + Σ_m e^{s(a,n_m)}) )  =  log(1 + exp(log r - s(a,p))),   r = Σ_m e^{s(a,n_m)}
"""

from __future__ import annotations

from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from aninfonce._checks import nearest_name
from aninfonce._typing import Float
from aninfonce.objectives._gradient import Reference, written_out

__all__ = [
    "LARGEST_EXPONENT",
    "NegativesFrom",
    "check_negatives_from",
    "pairwise_similarity",
    "plain_similarity",
    "similarity",
]

# e^-60 is 1e-26: plain sums of e^s down to there keep all digits of float32, whose smallest normal number is 1e-38.
LARGEST_EXPONENT = 60.0

NegativesFrom = Literal["positives", "anchors", "both"]


def check_negatives_from(name: str) -> NegativesFrom:
    """Return `name` as one of the three choices of in-batch negatives, or raise ValueError (TypeError for no text)."""
    if not isinstance(name, str):
        raise TypeError(f"negatives_from must be one of {', '.join(get_args(NegativesFrom))}, got {name!r}")
    known = nearest_name("choice of negatives (negatives_from)", name, get_args(NegativesFrom))
    return known  # type: ignore[return-value]  # nearest_name returned one of the literals


def plain_similarity(a: Tensor, c: Tensor, concentration: Tensor) -> Tensor:
    """Row by row, of plain operations."""
    return -((a - c).square() * concentration).sum(-1)


def pairwise_similarity(
    a: Float[Tensor, "n dim"], c: Float[Tensor, "m dim"], concentration: Float[Tensor, " dim"]
) -> Float[Tensor, "n m"]:
    """Every row of `a` against every row of `c`, of plain operations."""
    # Distances do not change under a common shift; the products lose fewer digits around the mean.
    center = c.detach().mean(0)
    a, c = a - center, c - center
    weighted = a * concentration
    return 2 * weighted @ c.T - (weighted * a).sum(1)[:, None] - (c * c) @ concentration


def _again(ctx: Any) -> Reference:
    return plain_similarity


class _Similarity(torch.autograd.Function):
    """Row by row, with the gradient written out: ∂s/∂a = -2Λ(a-c) = -∂s/∂c, ∂s/∂Λ_k = -(a_k-c_k)²."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, c: Tensor, concentration: Tensor) -> Tensor:
        difference = a - c
        ctx.save_for_backward(a, c, concentration, difference)
        return (difference * difference).mv(concentration).neg_()

    @staticmethod
    @written_out(_again, arguments=3)
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        _, _, concentration, difference = ctx.saved_tensors
        force = difference * grad[:, None]
        rates = -(force * difference).sum(0) if ctx.needs_input_grad[2] else None
        force *= -2 * concentration
        return force, -force if ctx.needs_input_grad[1] else None, rates


def similarity(
    a: Float[Tensor, "batch dim"], c: Float[Tensor, "batch dim"], concentration: Float[Tensor, " dim"]
) -> Float[Tensor, " batch"]:
    """Row by row: s(a, c) = -Σ_k Λ_k (a_k - c_k)²; with its gradient written out."""
    return cast(Tensor, _Similarity.apply(a, c, concentration))
