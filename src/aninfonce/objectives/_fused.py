"""The plain in-batch loss of small batches on the sphere, in one piece: normalisation, all similarities, the gradient.

A small batch's time goes into the number of operations, not into their size; here it is about half of what the same
loss takes in parts. With K_ij = e^{s(a_i, c_j)} off the diagonal and p_i = s(u_i, v_i), the sum r_i of an anchor's
negatives gives
    L_i = log(1 + r_i e^{-p_i}),   ∂L_i/∂s_ij = K_ij q_i / r_i,   ∂L_i/∂p_i = -q_i,   q_i = r_i / (r_i + e^{p_i}),
and what a weight on a similarity does to its two ends is written down in `_streaming`. K is kept for the backward pass.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from aninfonce._sphere import directions, directions_and_norms
from aninfonce._typing import Float
from aninfonce.objectives._exchange import Exchange
from aninfonce.objectives._gradient import Reference, written_out
from aninfonce.objectives._log_sums import log_sums
from aninfonce.objectives._pairs import Layout, U, V
from aninfonce.objectives._similarity import LARGEST_EXPONENT, NegativesFrom, plain_similarity

__all__ = ["FusedContrast", "suits"]

LARGEST_BATCH = 1024  # K takes 4 MB in float32, with negatives from both views three times as much


@torch.no_grad()
def suits(batch: int, concentration: Float[Tensor, " dim"]) -> bool:
    """Whether the batch is small enough, and every -s = |a - c|²_Λ ≤ 4 max Λ on the sphere is in [0, 60]."""
    if batch > LARGEST_BATCH:
        return False
    lowest, largest = torch.stack(torch.aminmax(concentration)).tolist()
    return bool(lowest >= 0 and 4 * largest <= LARGEST_EXPONENT)


def _kernel(a: Tensor, c: Tensor, qa: Tensor, qc: Tensor, scaled: Tensor) -> Tensor:
    """e^s with a zero diagonal; q = |a|²_Λ / ln 2, scaled = 2Λ / ln 2."""
    s = torch.addmm(qc, a * scaled, c.T, beta=-1)
    return s.sub_(qa[:, None]).exp2_().fill_diagonal_(0)


def _again(ctx: Any) -> Reference:
    """The same loss from its parts."""
    sums = ctx.saved_tensors[10]
    layout = Layout.in_batch(ctx.negatives_from, len(sums) == 2, None, Exchange())
    log_r = {view: sums.log() for view, sums in zip((U, V), sums, strict=False)}

    def loss(u: Tensor, v: Tensor, concentration: Tensor) -> Tensor:
        u, v = directions(u), directions(v)
        rest = log_sums(u, v, concentration, layout, log_r, 1.0)
        return F.softplus(rest - plain_similarity(u, v, concentration)).mean()

    return loss


class FusedContrast(torch.autograd.Function):
    """The mean loss of embeddings u, v that it projects onto the sphere; differentiable in u, v and Λ."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Float[Tensor, "n dim"],
        v: Float[Tensor, "n dim"],
        concentration: Float[Tensor, " dim"],
        negatives_from: NegativesFrom,
        symmetric: bool,
    ) -> Float[Tensor, ""]:
        """A scalar; for arguments that `suits` accepts."""
        arguments = (u, v, concentration)
        (y, norm_a), (z, norm_b) = directions_and_norms(u), directions_and_norms(v)
        concentration = concentration.contiguous()  # a single number, expanded, would be slow to multiply with
        difference = y - z
        distance = (difference * difference).mv(concentration)
        # Distances do not change under a common shift; the products lose fewer digits around the mean.
        center = z.mean(0)
        a, b = y - center, z - center
        scaled = concentration * (1 / math.log(2))
        qa, qb = (a * a).mv(scaled), (b * b).mv(scaled)
        scaled = 2 * scaled
        across = _kernel(a, b, qa, qb, scaled) if negatives_from != "anchors" else None
        within_a = _kernel(a, a, qa, qa, scaled) if negatives_from != "positives" else None
        within_b = _kernel(b, b, qb, qb, scaled) if negatives_from != "positives" and symmetric else None
        sums = [_total(across, within_a, 1)]
        if symmetric:
            sums.append(_total(across, within_b, 0))
        r = torch.stack(sums)
        logits = r.log().add_(distance)
        ctx.negatives_from = negatives_from
        kernels = (across, within_a, within_b)
        ctx.save_for_backward(*arguments, a, b, y, z, norm_a, norm_b, difference, r, logits, *kernels)
        return F.softplus(logits).mean()

    @staticmethod
    @written_out(_again, arguments=3)
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of u, v and Λ."""
        _, _, concentration, a, b, y, z, norm_a, norm_b, difference, r, logits, *kernels = ctx.saved_tensors
        across, within_a, within_b = kernels
        q = logits.sigmoid().mul_(grad / logits.numel())
        weights = q / r
        pull = q.sum(0)[:, None] * difference
        force_a, force_b = pull, -pull
        if across is not None:
            rows = weights[0][:, None]
            G = across * rows if len(weights) == 1 else torch.add(rows, weights[1]).mul_(across)
            force_a.addmm_(G, b).addcmul_(G.sum(1)[:, None], a, value=-1)
            force_b.addmm_(G.T, a).addcmul_(G.sum(0)[:, None], b, value=-1)
        # Within a view every sample meets a pair twice, as the anchor and as the negative; K is symmetric.
        for kernel, x, force, weight in ((within_a, a, force_a, weights[0]), (within_b, b, force_b, weights[-1])):
            if kernel is not None:
                G = torch.add(weight[:, None], weight).mul_(kernel)
                force.addmm_(G, x).addcmul_(G.sum(1)[:, None], x, value=-1)
        rates = (a * force_a).add_(b * force_b).sum(0) if ctx.needs_input_grad[2] else None
        results = []
        twice = 2 * concentration
        for x, force, norm in ((y, force_a, norm_a), (z, force_b, norm_b)):
            force *= twice
            results.append(force.addcmul_((force * x).sum(1, keepdim=True), x, value=-1).div_(norm))
        return *results, rates, None, None


def _total(across: Tensor | None, within: Tensor | None, axis: int) -> Tensor:
    """The sums over the rows (axis 1) or columns (axis 0) of the kernels there are."""
    first, *rest = [kernel.sum(axis) for kernel in (across, within) if kernel is not None]
    return first + rest[0] if rest else first
