"""The negatives of a batch, whichever they are: the sum over them, and the hardest of them, for every anchor.

The rules of `hard_negatives` ask for nothing else. A batch with both views as anchors answers for two directions: first
for the anchors u, then for the anchors v.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor

from aninfonce._typing import Float
from aninfonce.objectives._exchange import GatherRows
from aninfonce.objectives._hardest import hardest_of_own, hardest_of_shared
from aninfonce.objectives._pairs import Layout, U
from aninfonce.objectives._per_anchor import LogOwnNegatives
from aninfonce.objectives._streaming import LogNegatives

__all__ = ["InBatch", "Negatives", "PerAnchor", "Shared"]


class Negatives(ABC):
    """What a rule may ask; `concentration` is that of the similarity, `count` the number of negatives of an anchor."""

    concentration: Tensor
    count: int

    @abstractmethod
    def log_sums(self, power: float = 1.0) -> Tensor:
        """log Σ_j e^{power · s_ij} for every anchor, shape (directions, batch).

        To derivatives beyond the first, e^{(power - 1) s_ij} is a constant weight of the pair.
        """

    @abstractmethod
    def hardest(self, k: int, positive: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The anchors whose positive is among their k + 1 most similar candidates, and log Σ e^s over the k others.

        One pair a direction: the indices of the anchors that remain, shape (m,), and their sums, shape (m,).
        """


class InBatch(Negatives):
    """The other samples of the (global) batch."""

    def __init__(
        self, u: Float[Tensor, "n dim"], v: Float[Tensor, "n dim"], concentration: Float[Tensor, " dim"], layout: Layout
    ) -> None:
        self.views = (u, v)
        self.concentration = concentration
        self.layout = layout
        self.count = len(layout.sources(U)) * (layout.exchange.total(len(u)) - 1)

    def log_sums(self, power: float = 1.0) -> Tensor:
        """log r of the anchors u and, where they are anchors too, v."""
        concentration = self.concentration if power == 1 else power * self.concentration
        return cast(Tensor, LogNegatives.apply(*self.views, concentration, self.layout, power))

    def hardest(self, k: int, positive: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The anchors that remain and their sums, one pair a direction."""
        exchange = self.layout.exchange
        everyone = [GatherRows.apply(view, exchange) for view in self.views]
        total = len(everyone[U])
        index = exchange.own(torch.arange(total, device=positive.device))
        for view in self.layout.anchors:
            sources = self.layout.sources(view)
            candidates = torch.cat([everyone[source] for source in sources])
            own = torch.stack([index + total * order for order in range(len(sources))], 1)
            yield hardest_of_shared(
                self.views[view], candidates, own, self.concentration, positive, k, self.layout.chunk
            )


class Shared(Negatives):
    """Given negatives, the same for all anchors, shape (n, dim)."""

    def __init__(
        self,
        u: Float[Tensor, "b dim"],
        negatives: Float[Tensor, "n dim"],
        concentration: Float[Tensor, " dim"],
        chunk: int | None,
    ) -> None:
        self.u, self.negatives, self.concentration, self.chunk = u, negatives, concentration, chunk
        self.count = len(negatives)

    def log_sums(self, power: float = 1.0) -> Tensor:
        """log r of the anchors u."""
        layout = Layout.explicit(self.chunk)
        return cast(Tensor, LogNegatives.apply(self.u, self.negatives, power * self.concentration, layout, power))

    def hardest(self, k: int, positive: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The anchors that remain and their sums."""
        yield hardest_of_shared(self.u, self.negatives, None, self.concentration, positive, k, self.chunk)


class PerAnchor(Negatives):
    """Given negatives, for every anchor its own, shape (batch, n, dim); `offsets` are added to their similarities."""

    def __init__(
        self,
        u: Float[Tensor, "b dim"],
        negatives: Float[Tensor, "b n dim"],
        concentration: Float[Tensor, " dim"],
        offsets: Float[Tensor, "b n"] | None,
        chunk: int | None,
    ) -> None:
        self.u, self.negatives, self.concentration = u, negatives, concentration
        self.offsets, self.chunk = offsets, chunk
        self.count = negatives.shape[1]

    def log_sums(self, power: float = 1.0) -> Tensor:
        """log r of the anchors u."""
        offsets = None if self.offsets is None else power * self.offsets
        log_r = LogOwnNegatives.apply(self.u, self.negatives, power * self.concentration, offsets, self.chunk, power)
        return cast(Tensor, log_r)[None]

    def hardest(self, k: int, positive: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The anchors that remain and their sums."""
        yield hardest_of_own(self.u, self.negatives, self.concentration, self.offsets, positive, k, self.chunk)
