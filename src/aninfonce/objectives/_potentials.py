"""The powers of distances that alignment is made of, and the potential that uniformity is, to any derivative.

Their first derivatives are those that autograd finds for `vector_norm` and `pdist`. These know no second ones: of
`pdist` there is none, and of a norm it is wrong where two rows coincide.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from aninfonce._typing import Float
from aninfonce.objectives._exchange import Exchange
from aninfonce.objectives._gradient import Reference, transformed, written_out
from aninfonce.objectives._pairs import Layout
from aninfonce.objectives._streaming import LogNegatives

__all__ = ["distance_power", "log_mean_potential"]


def distance_power(difference: Float[Tensor, "n dim"], exponent: float) -> Float[Tensor, " n"]:
    """|d|^α for every row d."""
    if transformed():
        return _plain_power(difference, exponent)
    return cast(Tensor, _Written.apply(difference, exponent, _norm_power, _curved_power))


def log_mean_potential(u: Float[Tensor, "n dim"], scale: float) -> Float[Tensor, ""]:
    """log of the mean of e^{-t|u_i - u_j|²} over all pairs of different rows."""
    if transformed():
        first, second = torch.triu_indices(len(u), len(u), 1, device=u.device)
        potential = -scale * (u[first] - u[second]).square().sum(1)
        return potential.logsumexp(0) - math.log(len(potential))
    return cast(Tensor, _Written.apply(u, scale, _pdist_potential, _streamed_potential))


def _norm_power(difference: Tensor, exponent: float) -> Tensor:
    powers: Tensor = torch.linalg.vector_norm(difference, dim=1) ** exponent
    return powers


def _plain_power(difference: Tensor, exponent: float) -> Tensor:
    squares = difference.square().sum(1)
    if exponent % 2 == 0:
        return squares ** int(exponent / 2)
    # A constant where rows coincide: every derivative that exists there is zero.
    same = squares == 0
    return torch.where(same, 0.0, torch.where(same, 1.0, squares) ** (exponent / 2))


def _curved_power(difference: Tensor, exponent: float) -> Tensor:
    if exponent < 2 and bool((difference == 0).all(1).any()):
        raise RuntimeError(
            f"|u - v|^α with α = {exponent:g} < 2 has no second derivative where two embeddings coincide"
        )
    return _plain_power(difference, exponent)


def _pdist_potential(u: Tensor, scale: float) -> Tensor:
    # Distances of the rows themselves, not products of them: near rows keep their digits, equal rows have no gradient.
    potential = -scale * F.pdist(u) ** 2
    return potential.logsumexp(0) - math.log(len(potential))


def _streamed_potential(u: Tensor, scale: float) -> Tensor:
    layout = Layout.in_batch("anchors", False, None, Exchange())
    log_r: Tensor = LogNegatives.apply(u, u, u.new_full(u.shape[1:], scale), layout)
    return log_r.logsumexp((0, 1)) - math.log(len(u) * (len(u) - 1))


def _again(ctx: Any) -> Reference:
    number, reference = ctx.number, ctx.reference
    return lambda x: reference(x, number)


class _Written(torch.autograd.Function):
    """A function of x and a number with its own first derivative, and with a reference's further ones."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, number: float, function: Any, reference: Any) -> Tensor:
        ctx.number, ctx.reference = number, reference
        ctx.save_for_backward(x)
        with torch.enable_grad():
            ctx.alias = x.detach().requires_grad_()
            ctx.value = function(ctx.alias, number)
        return cast(Tensor, ctx.value.detach())

    @staticmethod
    @written_out(_again, arguments=1)
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = torch.autograd.grad(ctx.value, ctx.alias, grad, retain_graph=True)
        return gradient, None, None, None
