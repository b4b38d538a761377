"""The similarity s(a, c) = -Σ_k λ_k |a_k - c_k|^p, row by row and of all pairs of rows.

All pairs go one coordinate at a time, so that nothing larger than the matrix of similarities is ever made. A weight
G_ij on s(a_i, c_j) contributes, with W_ij = G_ij |a_ik - c_jk|^{p-1} sign(a_ik - c_jk),
    to a_ik:  -p λ_k Σ_j W_ij,   to c_jk:  p λ_k Σ_i W_ij,   to λ_k:  -Σ_ij W_ij (a_ik - c_jk),
which for p >= 1 is finite everywhere, and zero where coordinates coincide. `torch.cdist` takes a power of the distance
instead, which for p other than 1 and 2 is about ten times slower.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from aninfonce._typing import Float
from aninfonce.objectives._gradient import written_out

__all__ = ["lp_similarity", "pairwise_lp_similarity"]


def lp_similarity(
    a: Float[Tensor, "*batch dim"],
    c: Float[Tensor, "*batch dim"],
    concentration: Float[Tensor, " dim"],
    exponent: float,
) -> Float[Tensor, "*batch"]:
    """Row by row: s(a, c)."""
    return -(concentration * (a - c).abs() ** exponent).sum(-1)


def pairwise_lp_similarity(
    a: Float[Tensor, "n dim"], c: Float[Tensor, "m dim"], concentration: Float[Tensor, " dim"], exponent: float
) -> Float[Tensor, "n m"]:
    """Every row of `a` against every row of `c`; differentiable once, in both and in λ."""
    return cast(Tensor, _PairwiseSimilarity.apply(a, c, concentration, exponent))


class _PairwiseSimilarity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, c: Tensor, concentration: Tensor, exponent: float) -> Tensor:
        ctx.save_for_backward(a, c, concentration)
        ctx.exponent = exponent
        s = a.new_zeros(len(a), len(c))
        for k in range(a.shape[1]):
            s.addcmul_((a[:, k, None] - c[:, k]).abs_().pow_(exponent), concentration[k], value=-1)
        return s

    @staticmethod
    @written_out
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        a, c, concentration = ctx.saved_tensors
        grad_a, grad_c, grad_concentration = (torch.empty_like(x) for x in (a, c, concentration))
        for k in range(a.shape[1]):
            difference = a[:, k, None] - c[:, k]
            weight = difference.abs().pow_(ctx.exponent - 1).mul_(difference.sign()).mul_(grad)
            scale = ctx.exponent * concentration[k]
            grad_a[:, k] = -scale * weight.sum(1)
            grad_c[:, k] = scale * weight.sum(0)
            grad_concentration[k] = -weight.mul_(difference).sum()
        return grad_a, grad_c, grad_concentration, None
