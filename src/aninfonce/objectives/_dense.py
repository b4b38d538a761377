"""The contrastive loss as a pure function of two views and a concentration, written out densely.

Similarity (arXiv 2407.00143, Eq. 3; no factor 1/2):   s(a, c) = -(a - c)ᵀ Λ (a - c) = -Σ_k Λ_k (a_k - c_k)²

Loss of an anchor a with positive p and negatives n_1 … n_M (arXiv 2407.00143, Eq. 4):
    -log( e^{s(a,p)} / (e^{s(a,p)} + Σ_m e^{s(a,n_m)}) )  =  log(1 + exp(logsumexp_m s(a,n_m) - s(a,p)))
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from aninfonce._checks import nearest_name
from aninfonce._typing import Float

__all__ = [
    "NegativesFrom",
    "check_negatives_from",
    "contrast",
    "contrast_explicit",
    "pairwise_similarity",
    "similarity",
]

NegativesFrom = Literal["positives", "anchors", "both"]


def check_negatives_from(name: str) -> NegativesFrom:
    """Return `name` as one of the three choices of in-batch negatives, or raise ValueError."""
    known = nearest_name("choice of negatives (negatives_from)", name, get_args(NegativesFrom))
    return known  # type: ignore[return-value]  # nearest_name returned one of the literals


def similarity(
    a: Float[Tensor, "*batch dim"], c: Float[Tensor, "*batch dim"], concentration: Float[Tensor, " dim"]
) -> Float[Tensor, "*batch"]:
    """Row by row: s(a, c) = -Σ_k Λ_k (a_k - c_k)²."""
    return -(concentration * (a - c).square()).sum(-1)


def pairwise_similarity(
    a: Float[Tensor, "n dim"], c: Float[Tensor, "m dim"], concentration: Float[Tensor, " dim"]
) -> Float[Tensor, "n m"]:
    """Every row of `a` against every row of `c`: s = 2 aᵀΛc - aᵀΛa - cᵀΛc."""
    # Distances do not change under a common shift; the products below lose fewer digits around the mean.
    center = c.detach().mean(0)
    a, c = a - center, c - center
    weighted = a * concentration
    return 2 * weighted @ c.T - (weighted * a).sum(1)[:, None] - (c * c) @ concentration


def _others(s: Float[Tensor, "n n"]) -> Float[Tensor, " n"]:
    """logsumexp over each row without its own sample (the diagonal)."""
    own = torch.eye(len(s), dtype=torch.bool, device=s.device)
    return s.masked_fill(own, -torch.inf).logsumexp(1)


def contrast(
    u: Float[Tensor, "batch dim"],
    v: Float[Tensor, "batch dim"],
    concentration: Float[Tensor, " dim"],
    negatives_from: NegativesFrom,
    symmetric: bool,
) -> Float[Tensor, ""]:
    """Mean loss with the batch's other samples as negatives.

    Anchor u_i has the positive v_i and the negatives: v_j ("positives"), u_j ("anchors", the marginal of the anchors,
    for which the theorem is stated) or all of them ("both", as NT-Xent), j ≠ i. Symmetrised: the average with the
    same loss where u and v change places.
    """
    positive = similarity(u, v, concentration)
    rows: list[Tensor] = []  # logsumexp of the negatives of anchors u, one term a source
    columns: list[Tensor] = []  # the same for anchors v
    if negatives_from in ("positives", "both"):
        across = pairwise_similarity(u, v, concentration)
        rows.append(_others(across))
        if symmetric:
            columns.append(_others(across.T))
    if negatives_from in ("anchors", "both"):
        rows.append(_others(pairwise_similarity(u, u, concentration)))
        if symmetric:
            columns.append(_others(pairwise_similarity(v, v, concentration)))
    loss = F.softplus(torch.stack(rows).logsumexp(0) - positive).mean()
    if symmetric:
        loss = (loss + F.softplus(torch.stack(columns).logsumexp(0) - positive).mean()) / 2
    return loss


def contrast_explicit(
    u: Float[Tensor, "batch dim"],
    v: Float[Tensor, "batch dim"],
    negatives: Float[Tensor, "n dim"] | Float[Tensor, "batch n dim"],
    concentration: Float[Tensor, " dim"],
) -> Float[Tensor, ""]:
    """Mean loss of the anchors u with the positives v and given negatives, shared by all anchors or one set each."""
    positive = similarity(u, v, concentration)
    if negatives.ndim == 2:
        others = pairwise_similarity(u, negatives, concentration)
    else:
        others = similarity(u[:, None].expand_as(negatives), negatives, concentration)
    return F.softplus(others.logsumexp(1) - positive).mean()
