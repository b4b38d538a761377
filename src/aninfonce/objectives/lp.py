"""InfoNCE with an L^p similarity, for embeddings in a box or in R^d.

Similarity:   s(a, c) = -Σ_k λ_k |a_k - c_k|^p

Loss of an anchor a with positive p and negatives n_1 … n_M, as everywhere in this package:
    -log( e^{s(a,p)} / (e^{s(a,p)} + Σ_m e^{s(a,n_m)}) )  =  log(1 + exp(logsumexp_m s(a,n_m) - s(a,p)))
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from aninfonce._typing import Float
from aninfonce.objectives._arguments import (
    check_count,
    check_flag,
    check_has_negatives,
    check_number,
    check_views,
    initial_concentration,
)
from aninfonce.objectives._lp_similarity import lp_similarity, pairwise_lp_similarity
from aninfonce.objectives._objective import Objective
from aninfonce.objectives._similarity import NegativesFrom, check_negatives_from

__all__ = ["LpInfoNCE", "lp_contrast", "lp_contrast_explicit"]


def _log_sum_of_others(s: Float[Tensor, "n n"]) -> Float[Tensor, " n"]:
    """The logsumexp of each row without its own sample (the diagonal)."""
    own = torch.eye(len(s), dtype=torch.bool, device=s.device)
    return s.masked_fill(own, -torch.inf).logsumexp(1)


def lp_contrast(
    u: Float[Tensor, "batch dim"],
    v: Float[Tensor, "batch dim"],
    concentration: Float[Tensor, " dim"],
    exponent: float,
    negatives_from: NegativesFrom,
    symmetric: bool,
) -> Float[Tensor, ""]:
    """Mean loss with the batch's other samples as negatives.

    Anchor u_i has the positive v_i and the negatives v_j ("positives"), u_j ("anchors") or all of them ("both"), j ≠ i.
    Symmetrised: the average with the same loss where u and v change places.
    """
    positive = lp_similarity(u, v, concentration, exponent)
    rows: list[Tensor] = []  # log sums over the negatives of the anchors u, one term a source
    columns: list[Tensor] = []  # the same of the anchors v
    if negatives_from in ("positives", "both"):
        across = pairwise_lp_similarity(u, v, concentration, exponent, other=True)
        rows.append(_log_sum_of_others(across))
        columns.append(_log_sum_of_others(across.T))
    if negatives_from in ("anchors", "both"):
        rows.append(_log_sum_of_others(pairwise_lp_similarity(u, u, concentration, exponent, other=True)))
        if symmetric:
            columns.append(_log_sum_of_others(pairwise_lp_similarity(v, v, concentration, exponent, other=True)))
    directions = (rows, columns) if symmetric else (rows,)
    losses = [F.softplus(torch.stack(sums).logsumexp(0) - positive).mean() for sums in directions]
    return torch.stack(losses).mean()


def lp_contrast_explicit(
    u: Float[Tensor, "batch dim"],
    v: Float[Tensor, "batch dim"],
    negatives: Float[Tensor, "n dim"] | Float[Tensor, "batch n dim"],
    concentration: Float[Tensor, " dim"],
    exponent: float,
) -> Float[Tensor, ""]:
    """Mean loss of the anchors u with the positives v and given negatives, shared by all anchors or one set each."""
    positive = lp_similarity(u, v, concentration, exponent)
    if negatives.ndim == 2:
        others = pairwise_lp_similarity(u, negatives, concentration, exponent)
    else:
        others = lp_similarity(u[:, None].expand_as(negatives), negatives, concentration, exponent)
    return F.softplus(others.logsumexp(1) - positive).mean()


class LpInfoNCE(Objective):
    """InfoNCE with the similarity -Σ_k λ_k |u_k - v_k|^p; embeddings are taken as they are, never normalised.

    What it identifies (Zimmermann et al. 2021). Let the latents be uniform on a convex body Z, such as a box, let
    positives follow p(u | z) ∝ exp(-λ Σ_k |u_k - z_k|^p) on Z (`TruncatedGeneralizedNormal`), and negatives be draws of
    the marginal. Let the generator be differentiable and injective, the encoder f differentiable, with range Z, and a
    minimiser of this loss, of the same p and λ, with infinitely many negatives. Then z ↦ f(g(z)) is affine; and for
    p >= 1, p ≠ 2, a permutation of the coordinates, with flips of sign (about the centre of a box) and rescalings.
    For p = 2 the rotations that map Z onto itself remain undetermined, on a ball all of them, because a squared
    distance has no axes.

    The normalising constant C(z) of the truncated conditional depends on z, and cancels, as the softmax of each anchor
    is normalised by itself: negatives_from="anchors" with symmetric=False is the loss of the theorem, and λ̂ = λ its
    optimum for any number of negatives. The other choices bias λ̂ (on [-1, 1]² by up to 3 % for λ = 2, 6, by up to 7 %
    for 0.5 and 1): near the walls the marginal of the positives is not uniform, and p(z | u) has a factor 1/C(z).

    On R^d no marginal is uniform, and the theorem says nothing; the statement is approached as the marginal gets wide
    and flat next to the conditional.

    A learnable λ̂ is one for each dimension, or one for all. Unless the encoder's range is imposed, only its product
    with the p-th power of the embedding's scale means something. All pairwise similarities of a batch are held at once,
    and batches are not gathered across processes; for p = 2 `AnInfoNCE` with normalize=False is the same loss, and does
    better.

    Arguments:
        exponent: p >= 1 (below, the gradient is infinite where two coordinates coincide).
        dim: the number of embedding dimensions, for a λ each; None for one λ = 1/τ shared by however many there are.
        init: λ > 0, the initial one if `learnable`: a number, or with `dim` one for each dimension, shape (dim,).
        learnable: train λ, through its logarithm; give the optimiser `loss.param_groups(lr=0.1)`, since weight decay
            would pull λ to 1.
        negatives_from: which other samples of the batch are an anchor's negatives: "positives" (the other view's),
            "anchors" (the anchor's own view: draws from the marginal), or "both".
        symmetric: average the loss over both views as anchors; otherwise u alone are anchors.

    Raises:
        TypeError: if an option is of another type.
        ValueError: if `exponent` is below 1 or not finite, `dim` is below 1, `init` has another shape than () or (dim,)
            or is not positive and finite, or `negatives_from` is unknown.

    See also: `AnInfoNCE`, `aninfonce.distributions.UniformBox`, `aninfonce.distributions.TruncatedGeneralizedNormal`.

    References:
        Zimmermann, Sharma, Schneider, Bethge, Brendel, "Contrastive Learning Inverts the Data Generating Process",
        arXiv 2102.08850 (ICML 2021), section 3.2.

    Example:
        >>> import torch
        >>> from aninfonce.objectives.lp import LpInfoNCE
        >>> u, v = torch.eye(3), torch.eye(3)
        >>> print(f"{LpInfoNCE(exponent=1.0)(u, v):.4f}")  # log(1 + 2/e²)
        0.2395
    """

    def __init__(
        self,
        exponent: float = 1.0,
        dim: int | None = None,
        init: float | Sequence[float] | Tensor = 1.0,
        *,
        learnable: bool = False,
        negatives_from: str = "positives",
        symmetric: bool = True,
    ) -> None:
        super().__init__()
        self.exponent = check_number("exponent", exponent)
        if not 1 <= self.exponent < math.inf:
            raise ValueError(f"exponent must be at least 1 and finite, got {exponent}")
        self.dim = None if dim is None else check_count("dim", dim)
        self.learnable = check_flag("learnable", learnable)
        self.negatives_from = check_negatives_from(negatives_from)
        self.symmetric = check_flag("symmetric", symmetric)
        initial, exact = initial_concentration(init, self.dim)
        self.raw_concentration: Tensor
        self._begin("raw_concentration", initial.log(), exact.log(), trainable=learnable, like=init)

    @property
    def concentration(self) -> Tensor:
        """λ > 0, shape (dim,), or a scalar tensor without `dim`; differentiable."""
        return self.raw_concentration.exp()

    def forward(self, u: Tensor, v: Tensor, negatives: Tensor | None = None) -> Tensor:
        """The mean loss of the batch, in nats.

        Arguments:
            u: embeddings of the first view (the anchors), shape (batch, dim).
            v: embeddings of the second view (the positives), row by row, shape (batch, dim).
            negatives: embeddings to tell the positives from, shape (n, dim) for all anchors or (batch, n, dim) for each
                its own. Then u alone are anchors. Without them the other samples of the batch serve, as
                `negatives_from` says.

        Returns:
            A scalar tensor, at least float32 (also under autocast).

        Raises:
            TypeError: if an argument is not a floating-point tensor, or dtypes differ.
            ValueError: if shapes or devices do not fit, an entry is NaN or infinite, or the batch has one row and no
                explicit negatives.
            RuntimeError: on a second differentiation for 1 < p < 2, if coordinates coincide, where it is infinite.
        """
        check_views(u, v, negatives)
        dim = u.shape[1]
        if self.dim not in (None, dim):
            raise ValueError(f"embeddings must have {self.dim} dimensions (the loss's dim), got {dim}")
        if negatives is None:
            check_has_negatives(len(u), explicit=", or pass negatives=")
        # Half precision has too few digits for a softmax over distances.
        dtype = torch.promote_types(u.dtype, torch.float32)
        with torch.autocast(u.device.type, enabled=False):
            u, v = u.to(dtype), v.to(dtype)
            concentration = self.raw_concentration.to(u).exp().expand(dim)
            if negatives is None:
                return lp_contrast(u, v, concentration, self.exponent, self.negatives_from, self.symmetric)
            return lp_contrast_explicit(u, v, negatives.to(dtype), concentration, self.exponent)

    def extra_repr(self) -> str:
        """The settings, for `print(loss)`."""
        return (
            f"exponent={self.exponent:g}, dim={self.dim}, learnable={self.learnable}, "
            f"negatives_from={self.negatives_from!r}, symmetric={self.symmetric}"
        )
