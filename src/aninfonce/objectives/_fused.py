"""The in-batch loss of `_dense.contrast` with its gradient written out: one exponential a pair of samples.

With K_ij = exp(s(a_i, c_j)) off the diagonal and p_i = s(u_i, v_i), the sum r_i of an anchor's negatives gives
    L_i = log(1 + r_i e^{-p_i}),   ∂L_i/∂s_ij = K_ij / (r_i + e^{p_i}),   ∂L_i/∂p_i = -r_i / (r_i + e^{p_i}),
and a weight G_ij on s(a_i, c_j) = -(a_i - c_j)ᵀΛ(a_i - c_j) contributes
    to a_i:  -2Λ Σ_j G_ij (a_i - c_j),   to c_j:  2Λ Σ_i G_ij (a_i - c_j),   to Λ_k:  -Σ_ij G_ij (a_ik - c_jk)².
G is K with its rows (and columns, where both views are anchors) weighted, so that every sum over G is a product of K
with a matrix of few columns, and G itself is never formed; within one view K is symmetric and one product serves both
of its sides. Nothing is taken through a logsumexp: about three times as fast as the dense form. All exponents are ≤ 0,
so nothing overflows; `is_safe` says when nothing underflows either.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from aninfonce._typing import Float
from aninfonce.objectives._dense import NegativesFrom, similarity

__all__ = ["FusedContrast", "is_safe"]

# exp(-60) is 1e-26: sums of such terms keep all digits of float32, whose smallest normal number is 1e-38.
LARGEST_EXPONENT = 60.0
LARGEST_BATCH = 2048  # K is stored: 16 MB in float32, up to three of them


@torch.no_grad()
def is_safe(u: Float[Tensor, "batch dim"], v: Float[Tensor, "batch dim"], concentration: Float[Tensor, " dim"]) -> bool:
    """Whether every similarity in the batch lies in [-60, 0], by the bound 4 · max Λ · max |a|²."""
    if len(u) > LARGEST_BATCH or bool((concentration < 0).any()):
        return False
    radius = torch.maximum((u * u).sum(1).max(), (v * v).sum(1).max())
    return bool(4 * concentration.max() * radius <= LARGEST_EXPONENT)


def _kernel(a: Tensor, c: Tensor, concentration: Tensor) -> Tensor:
    """K = exp(s(a_i, c_j)) with a zero diagonal, as one product of augmented factors and one in-place exp2."""
    weighted = a * (concentration / math.log(2))
    ones = a.new_ones(len(a), 1)
    left = torch.cat([2 * weighted, -(weighted * a).sum(1, keepdim=True), -ones], 1)
    right = torch.cat([c, ones, ((c * c) @ (concentration / math.log(2)))[:, None]], 1)
    return (left @ right.T).exp2_().fill_diagonal_(0)


def _row_sums(*kernels: Tensor | None) -> Tensor:
    """The sums of the rows of all kernels there are, shape (n, 1)."""
    return torch.stack([K.sum(1, keepdim=True) for K in kernels if K is not None]).sum(0)


def _weighted(K: Tensor, left: Tensor, right: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_j G_ij and Σ_j G_ij c_j of G_ij = (left_i + right_j) K_ij, shapes (n, 1) and (n, dim)."""
    c = torch.cat([torch.ones_like(right), c], 1)
    plain, weighted = (K @ torch.cat([c, right * c], 1)).chunk(2, 1)
    sums = torch.addcmul(weighted, left, plain)
    return sums[:, :1], sums[:, 1:]


class FusedContrast(torch.autograd.Function):
    """`_dense.contrast` for batches that `is_safe` accepts; differentiable once, in u, v and Λ."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, v: Tensor, concentration: Tensor, negatives_from: NegativesFrom, symmetric: bool
    ) -> Tensor:
        """The mean loss, a scalar; arguments as `_dense.contrast`."""
        # Distances do not change under a common shift; the products lose fewer digits around the mean.
        center = v.mean(0)
        u, v = u - center, v - center
        own = torch.exp(similarity(u, v, concentration))[:, None]
        across = _kernel(u, v, concentration) if negatives_from != "anchors" else None
        within_u = _kernel(u, u, concentration) if negatives_from != "positives" else None
        within_v = _kernel(v, v, concentration) if negatives_from != "positives" and symmetric else None
        r_u = _row_sums(across, within_u)
        loss = torch.log1p(r_u / own).mean()
        r_v = None
        if symmetric:
            r_v = _row_sums(None if across is None else across.T, within_v)
            loss = (loss + torch.log1p(r_v / own).mean()) / 2
        ctx.save_for_backward(u, v, concentration, own, r_u, r_v, across, within_u, within_v)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of u, v and Λ."""
        u, v, concentration, own, r_u, r_v, across, within_u, within_v = ctx.saved_tensors
        scale = grad / (len(u) * (1 if r_v is None else 2))
        weight_u = scale / (r_u + own)
        weight_v = torch.zeros_like(weight_u) if r_v is None else scale / (r_v + own)
        # The positives: ∂L_i/∂p_i, p_i = -(u_i - v_i)ᵀΛ(u_i - v_i).
        pull = r_u * weight_u if r_v is None else r_u * weight_u + r_v * weight_v
        difference = u - v
        force = pull * difference
        # Half the gradients of u and v before they are scaled with Λ.
        force_u, force_v = force, -force
        grad_concentration = (force * difference).sum(0)
        if across is not None:
            rows, sums_u = _weighted(across, weight_u, weight_v, v)
            columns, sums_v = _weighted(across.T, weight_v, weight_u, u)
            force_u = force_u + sums_u - rows * u
            force_v = force_v + sums_v - columns * v
            grad_concentration += (2 * u * sums_u - rows * u * u - columns * v * v).sum(0)
        # K is symmetric: every sample meets G_ij = weight_i K_ij twice, as the anchor and as the negative.
        if within_u is not None:
            rows, sums = _weighted(within_u, weight_u, weight_u, u)
            force_u = force_u + sums - rows * u
            grad_concentration += (u * (sums - rows * u)).sum(0)
        if within_v is not None:
            rows, sums = _weighted(within_v, weight_v, weight_v, v)
            force_v = force_v + sums - rows * v
            grad_concentration += (v * (sums - rows * v)).sum(0)
        return 2 * concentration * force_u, 2 * concentration * force_v, grad_concentration, None, None
