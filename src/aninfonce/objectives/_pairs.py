"""Which pairs of samples a batch contrasts, dealt out in blocks: two chunks of rows, and all similarities between them.

A block is one product of augmented factors. With x = 2Λa / ln 2 and q(a) = aᵀΛa / ln 2,
    [x, -q(a), -1] · [c, 1, q(c)] = (2 aᵀΛc - aᵀΛa - cᵀΛc) / ln 2 = s(a, c) / ln 2,
so that exp2 of a block is e^s.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from aninfonce._typing import Float
from aninfonce.objectives._exchange import Exchange

__all__ = ["Block", "Layout", "Pairs"]

# Blocks of this many rows and columns stay in a core's cache; a GPU needs larger ones to be busy.
CPU_CHUNK = 512
CUDA_CHUNK = 4096

U, V = 0, 1


@dataclass(frozen=True)
class Layout:
    """Which rows are contrasted with which: the views are numbered U = 0, V = 1 (or the explicit negatives).

    Arguments:
        terms: pairs of views (rows, columns); rows are anchors, columns their negatives.
        anchors: the views whose rows are anchors; columns of such a view collect sums from the same blocks.
        paired: row i of U and row i of V are one sample, so that no sample is its own negative.
        chunk: rows and columns of a block; chosen by itself if None.
        exchange: the processes the blocks are dealt out to.
    """

    terms: tuple[tuple[int, int], ...]
    anchors: tuple[int, ...]
    paired: bool
    chunk: int | None
    exchange: Exchange

    @classmethod
    def in_batch(cls, negatives_from: str, symmetric: bool, chunk: int | None, exchange: Exchange) -> Layout:
        """The batch's other samples as negatives: v_j ("positives"), u_j ("anchors") or all of them ("both"), j ≠ i."""
        terms = []
        if negatives_from != "anchors":
            terms.append((U, V))
        if negatives_from != "positives":
            terms.append((U, U))
            if symmetric:
                terms.append((V, V))
        return cls(tuple(terms), (U, V) if symmetric else (U,), True, chunk, exchange)

    @classmethod
    def explicit(cls, chunk: int | None) -> Layout:
        """Given negatives, the same for all anchors U; they stay in the process that holds them."""
        return cls(((U, V),), (U,), False, chunk, Exchange())

    def sources(self, view: int) -> list[int]:
        """The views from which the anchors of `view` take their negatives."""
        return [columns if rows == view else rows for rows, columns in self.terms if view in (rows, columns)]

    def chunk_for(self, rows: int, device: torch.device) -> int:
        """The number of rows and columns of a block: enough blocks for all processes, none larger than useful."""
        if self.chunk is not None:
            return min(self.chunk, rows)  # memory for a block is taken as a square of this size
        return min(CUDA_CHUNK if device.type == "cuda" else CPU_CHUNK, -(-rows // self.exchange.world))


@dataclass
class Block:
    """The similarities of the rows I of one view with the columns J of another, in units of ln 2."""

    rows: int
    columns: int
    I: slice  # noqa: E741  # the index sets of the formulas
    J: slice
    s: Tensor
    within: bool  # a view's chunk with itself: each pair stands here twice, as (i, j) and as (j, i)
    own: bool  # the diagonal holds the samples' similarities with themselves


class Pairs:
    """The blocks of a layout that fall to this process."""

    def __init__(
        self,
        views: tuple[Float[Tensor, "n dim"], Float[Tensor, "m dim"]],
        concentration: Float[Tensor, " dim"],
        layout: Layout,
    ) -> None:
        self.layout = layout
        self.dim = len(concentration)
        self.scaled = concentration / math.log(2)
        # Distances do not change under a common shift; the products lose fewer digits around the mean.
        center = views[V].mean(0)
        self.right = tuple(self._right(view, center) for view in views)

    def _right(self, view: Tensor, center: Tensor) -> Tensor:
        right = view.new_empty(len(view), self.dim + 2)
        c = torch.sub(view, center, out=right[:, : self.dim])
        right[:, self.dim] = 1
        torch.mv(c * c, self.scaled, out=right[:, self.dim + 1])
        return right

    def _left(self, right: Tensor) -> Tensor:
        left = torch.empty_like(right)
        torch.mul(right[:, : self.dim], 2 * self.scaled, out=left[:, : self.dim])
        torch.neg(right[:, self.dim + 1], out=left[:, self.dim])
        left[:, self.dim + 1] = -1
        return left

    def scratch(self) -> Tensor:
        """Memory for one block."""
        chunk = self.layout.chunk_for(max(map(len, self.right)), self.scaled.device)
        return self.scaled.new_empty(chunk, chunk)

    def blocks(self) -> Iterator[Block]:
        """The blocks, each pair of samples once; those of one view only on and above the diagonal.

        A block is overwritten by the next one.
        """
        layout = self.layout
        lengths = [len(right) for right in self.right]
        chunk = layout.chunk_for(max(lengths), self.scaled.device)
        scratch = self.scratch()
        index = 0
        for rows, columns in layout.terms:
            for i in range(0, lengths[rows], chunk):
                left = None
                for j in range(i if rows == columns else 0, lengths[columns], chunk):
                    index += 1
                    if index % layout.exchange.world != layout.exchange.rank:
                        continue
                    I = slice(i, i + chunk)  # noqa: E741
                    J = slice(j, j + chunk)
                    if left is None:
                        left = self._left(self.right[rows][I])
                    right = self.right[columns][J].T
                    s = torch.mm(left, right, out=scratch[: left.shape[0], : right.shape[1]])
                    yield Block(rows, columns, I, J, s, rows == columns and i == j, layout.paired and i == j)
