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
from aninfonce.objectives._gradient import Reference, transformed, written_out
from aninfonce.objectives._parts import Part, Parts, sum_of_parts

__all__ = ["lp_similarity", "pairwise_lp_similarity"]


def lp_similarity(
    a: Float[Tensor, "*batch dim"],
    c: Float[Tensor, "*batch dim"],
    concentration: Float[Tensor, " dim"],
    exponent: float,
) -> Float[Tensor, "*batch"]:
    """Row by row: s(a, c)."""
    difference = a - c
    if 1 < exponent < 2 and not transformed():
        powers = cast(Tensor, _Power.apply(difference, exponent))
    else:
        powers = _power(difference, exponent)
    return -(concentration * powers).sum(-1)


def pairwise_lp_similarity(
    a: Float[Tensor, "n dim"],
    c: Float[Tensor, "m dim"],
    concentration: Float[Tensor, " dim"],
    exponent: float,
    *,
    other: bool = False,
) -> Float[Tensor, "n m"]:
    """Every row of `a` against every row of `c`; differentiable in both and in λ.

    With `other` the rows of one index belong to one sample, and nobody asks for their similarity: the diagonal has no
    derivatives.

    Raises:
        RuntimeError: on a second differentiation for 1 < p < 2, if two coordinates coincide, where it is infinite.
    """
    if not transformed():
        return cast(Tensor, _PairwiseSimilarity.apply(a, c, concentration, exponent, other))
    difference = _without_own(a[:, None] - c, torch.eye(len(a), len(c), device=a.device)[..., None] if other else None)
    return -(concentration * _power(difference, exponent)).sum(-1)


def _without_own(difference: Tensor, own: Tensor | None) -> Tensor:
    """The differences of other samples; those of the own ones are a constant, other than zero."""
    return difference if own is None else torch.where(own > 0, 1.0, difference)


def _power(difference: Tensor, exponent: float) -> Tensor:
    """|d|^p, of plain operations; of an even p every derivative is right also at zero."""
    return difference ** int(exponent) if exponent % 2 == 0 else difference.abs() ** exponent


def _curved_power(difference: Tensor, exponent: float) -> Tensor:
    """|d|^p for second derivatives."""
    if 1 < exponent < 2 and bool((difference == 0).any()):
        raise RuntimeError(
            f"|u - v|^p with p = {exponent:g} < 2 has no second derivative where two coordinates coincide: it is "
            "infinite"
        )
    return _power(difference, exponent)


def _power_again(ctx: Any) -> Reference:
    exponent = ctx.exponent
    return lambda difference: _curved_power(difference, exponent)


class _Power(torch.autograd.Function):
    """|d|^p, whose second derivative is refused where it does not exist."""

    @staticmethod
    def forward(ctx: Any, difference: Tensor, exponent: float) -> Tensor:
        ctx.save_for_backward(difference)
        ctx.exponent = exponent
        return difference.abs() ** exponent

    @staticmethod
    @written_out(_power_again, arguments=1)
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        return grad * (ctx.exponent * difference.abs() ** (ctx.exponent - 1)) * difference.sgn(), None


def _again(ctx: Any) -> Reference:
    """All similarities as a function that can be differentiated again: the sum over the coordinates."""
    exponent, other = ctx.exponent, ctx.other

    def function(part: Part, a: Tensor, c: Tensor, concentration: Tensor) -> tuple[Tensor, ...]:
        own = torch.eye(len(a), len(c), device=a.device) if other else None
        return (-concentration * _curved_power(_without_own(a[:, None] - c, own), exponent),)

    def similarities(a: Tensor, c: Tensor, concentration: Tensor) -> Tensor:
        parts: list[Part] = [{"k": (slice(None), k), "entry": slice(k, k + 1)} for k in range(a.shape[1])]
        shape = torch.Size((len(a), len(c)))
        return sum_of_parts(Parts(function, parts, ("k", "k", "entry"), ("whole",), (shape,)), a, c, concentration)[0]

    return similarities


class _PairwiseSimilarity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, c: Tensor, concentration: Tensor, exponent: float, other: bool) -> Tensor:
        ctx.save_for_backward(a, c, concentration)
        ctx.exponent, ctx.other = exponent, other
        s = a.new_zeros(len(a), len(c))
        for k in range(a.shape[1]):
            s.addcmul_((a[:, k, None] - c[:, k]).abs_().pow_(exponent), concentration[k], value=-1)
        return s

    @staticmethod
    @written_out(_again, arguments=3)
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        a, c, concentration = ctx.saved_tensors
        grad_a, grad_c, grad_concentration = (torch.empty_like(x) for x in (a, c, concentration))
        for k in range(a.shape[1]):
            difference = a[:, k, None] - c[:, k]
            weight = difference.abs().pow_(ctx.exponent - 1).mul_(difference.sign()).mul_(grad)
            scale = ctx.exponent * concentration[k]
            grad_a[:, k] = -scale * weight.sum(1)
            grad_c[:, k] = scale * weight.sum(0)
            grad_concentration[k] = -weight.mul_(difference).sum()
        return grad_a, grad_c, grad_concentration, None, None
