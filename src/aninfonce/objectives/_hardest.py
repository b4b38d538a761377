"""The hardest negatives of every anchor, chosen so that the softmax over them stays the exact posterior."""

from __future__ import annotations

import torch
from torch import Tensor

from aninfonce._typing import Float, Int
from aninfonce.objectives._per_anchor import LogOwnNegatives

__all__ = ["hardest_of_own", "hardest_of_shared"]

SIMILARITIES_AT_ONCE = 1 << 22  # 16 MB in float32


def _choose(s: Tensor, k: int, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of similarities (rows, n): the rows with at most k entries above their `positive`; there, the k largest.

    Returns the indices of these rows (m,), the columns (m, k) and offsets (m, k): -inf where a row has fewer than k
    entries above -inf.
    """
    largest, columns = s.topk(min(k + 1, s.shape[1]), 1)
    # The positive is among the k + 1 most similar candidates unless k + 1 negatives surpass it.
    remain = positive >= largest[:, k] if s.shape[1] > k else torch.ones_like(positive, dtype=torch.bool)
    rows = remain.nonzero()[:, 0]
    largest, columns = largest[rows, :k], columns[rows, :k]
    return rows, columns, torch.zeros_like(largest).masked_fill_(largest == -torch.inf, -torch.inf)


def hardest_of_shared(
    anchors: Float[Tensor, "n dim"],
    candidates: Float[Tensor, "m dim"],
    own: Int[Tensor, "n own"] | None,
    concentration: Float[Tensor, " dim"],
    positive: Float[Tensor, " n"],
    k: int,
    chunk: int | None,
) -> tuple[Int[Tensor, " left"], Float[Tensor, " left"]]:
    """The anchors whose positive is among their k + 1 most similar candidates, and log Σ e^s over the k others.

    `own`: the columns of `candidates` that belong to the anchor's own sample and are no negatives.
    """
    at_once = max(1, SIMILARITIES_AT_ONCE // len(candidates))
    chosen = []
    with torch.no_grad():
        # Distances do not change under a common shift; the products lose fewer digits around the mean.
        center = candidates.mean(0)
        c = candidates - center
        for start in range(0, len(anchors), at_once):
            rows = slice(start, start + at_once)
            a = anchors[rows] - center
            weighted = a * concentration
            s = 2 * weighted @ c.T - (weighted * a).sum(1)[:, None] - (c * c) @ concentration
            if own is not None:
                s.scatter_(1, own[rows], -torch.inf)
            left, columns, offsets = _choose(s, k, positive[rows])
            chosen.append((left + start, columns, offsets))
        rows_left, columns, offsets = (torch.cat(parts) for parts in zip(*chosen, strict=True))
    log_r = LogOwnNegatives.apply(anchors[rows_left], candidates[columns], concentration, offsets, chunk)
    return rows_left, log_r


def hardest_of_own(
    anchors: Float[Tensor, "n dim"],
    negatives: Float[Tensor, "n m dim"],
    concentration: Float[Tensor, " dim"],
    offsets: Float[Tensor, "n m"] | None,
    positive: Float[Tensor, " n"],
    k: int,
    chunk: int | None,
) -> tuple[Int[Tensor, " left"], Float[Tensor, " left"]]:
    """The same for anchors with negatives of their own, whose similarities get `offsets`."""
    with torch.no_grad():
        s = -((anchors[:, None] - negatives).square_() @ concentration)
        if offsets is not None:
            s += offsets
        rows, columns, none = _choose(s, k, positive)
        added = none if offsets is None else none + offsets[rows[:, None], columns]
    log_r = LogOwnNegatives.apply(anchors[rows], negatives[rows[:, None], columns], concentration, added, chunk)
    return rows, log_r
