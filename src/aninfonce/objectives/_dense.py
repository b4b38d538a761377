"""The negatives of a batch with all similarities at once, of operations that every transform of torch.func knows."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from aninfonce.objectives._negatives import Negatives
from aninfonce.objectives._similarity import pairwise_similarity

__all__ = ["Dense"]


class Dense(Negatives):
    """Similarities of the anchors with their negatives, (batch, n) for every direction; -inf where there is none."""

    def __init__(self, similarities: list[Tensor], concentration: Tensor, count: int) -> None:
        self.similarities, self.concentration, self.count = similarities, concentration, count

    @classmethod
    def in_batch(cls, u: Tensor, v: Tensor, concentration: Tensor, negatives_from: str, symmetric: bool) -> Dense:
        """The other samples of the batch, as `Layout.in_batch` says."""
        own = torch.eye(len(u), dtype=torch.bool, device=u.device)
        directions = []
        for anchors, positives in [(u, v), (v, u)] if symmetric else [(u, v)]:
            sources = {"positives": [positives], "anchors": [anchors], "both": [positives, anchors]}[negatives_from]
            blocks = [pairwise_similarity(anchors, c, concentration).masked_fill(own, -torch.inf) for c in sources]
            directions.append(torch.cat(blocks, 1))
        return cls(directions, concentration, (2 if negatives_from == "both" else 1) * (len(u) - 1))

    @classmethod
    def explicit(cls, u: Tensor, negatives: Tensor, concentration: Tensor, offsets: Tensor | None) -> Dense:
        """Given negatives, (n, dim) or (batch, n, dim); `offsets` (batch, n) are added to their similarities."""
        if negatives.ndim == 2:
            s = pairwise_similarity(u, negatives, concentration)
        else:
            s = -((u[:, None] - negatives).square() @ concentration)
        return cls([s if offsets is None else s + offsets], concentration, negatives.shape[-2])

    def log_sums(self, power: float = 1.0) -> Tensor:
        """log r of every anchor, one row a direction."""
        if power == 1:
            return torch.stack([s.logsumexp(1) for s in self.similarities])
        fixed = [((power - 1) * s).detach().masked_fill(s == -torch.inf, 0) for s in self.similarities]
        sums = torch.stack([(s + weight).logsumexp(1) for s, weight in zip(self.similarities, fixed, strict=True)])
        # The similarity counts `power` times; the value is that of the logarithm all the same.
        return sums + (power - 1) * (sums - sums.detach())

    def hardest(self, k: int, positive: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The anchors that remain and their sums, one pair a direction."""
        for s in self.similarities:
            largest = s.topk(min(k + 1, s.shape[1]), 1).values
            beyond = largest[:, k] if s.shape[1] > k else torch.full_like(positive, -torch.inf)
            rows = (positive >= beyond).nonzero()[:, 0]
            yield rows, largest[rows, :k].logsumexp(1)
