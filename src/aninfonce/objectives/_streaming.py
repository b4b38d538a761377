"""log Σ e^s over an anchor's negatives, exactly, without ever holding the batch × batch matrix of similarities.

For the anchors a_i and their negatives c_j, with s_ij = s(a_i, c_j):
    log r_i = log Σ_j e^{s_ij},      ∂ log r_i / ∂s_ij = e^{s_ij} / r_i.
Given the gradient g_i of what is made of log r_i, a pair has the weight G_ij = g_i e^{s_ij} / r_i (plus the same for
c_j, where the columns are anchors too: one block serves both directions) and contributes
    to a_i:  -2Λ Σ_j G_ij (a_i - c_j),   to c_j:  2Λ Σ_i G_ij (a_i - c_j),   to Λ_k:  -Σ_ij G_ij (a_ik - c_jk)².
With F_a = Σ_j G_ij (c_j - a_i) for every sample in either role, these are 2Λ F_a and Σ_a a_k F_ak.

The forward pass visits the blocks of `_pairs` once and keeps O(batch) sums; the backward pass computes the blocks again
and needs O(batch · dim) besides.

Two paths. If Λ ≥ 0 and all similarities lie in [-60, 0], the plain sums of e^s can neither overflow nor lose anything:
one exponential a pair. Otherwise rows and columns carry their running maxima.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from aninfonce._typing import Float
from aninfonce.objectives._gradient import Reference, written_out
from aninfonce.objectives._log_sums import log_sums
from aninfonce.objectives._pairs import Block, Layout, Pairs, U, V
from aninfonce.objectives._similarity import LARGEST_EXPONENT

__all__ = ["LogNegatives"]


def plain_sums_suffice(pairs: Pairs) -> bool:
    """Whether Λ ≥ 0 and -s = |a - c|²_Λ ≤ (|a|_Λ + |c|_Λ)² ≤ 60 for all pairs."""
    extremes = [pairs.scaled.min(), *(right[:, -1].max() for right in pairs.right)]  # the last column: |c|²_Λ / ln 2
    lowest, *largest = torch.stack(extremes).tolist()
    return bool(lowest >= 0 and 4 * math.log(2) * max(largest) <= LARGEST_EXPONENT)


class PlainSums:
    """Σ_j e^{s_ij} as it stands."""

    def __init__(self, pairs: Pairs) -> None:
        self.sums = {view: pairs.right[view].new_zeros(len(pairs.right[view])) for view in pairs.layout.anchors}

    @staticmethod
    def prepare(block: Block) -> Tensor:
        """e^s, without the samples themselves; in place."""
        kernel = block.s.exp2_()
        return kernel.fill_diagonal_(0) if block.own else kernel

    def add(self, block: Block, kernel: Tensor) -> None:
        """Collect the block's rows, and its columns where they are anchors."""
        self.sums[block.rows][block.I] += kernel.sum(1)
        if block.columns in self.sums and not block.within:
            self.sums[block.columns][block.J] += kernel.sum(0)

    def finish(self, pairs: Pairs) -> dict[int, Tensor]:
        """log r in units of ln 2."""
        exchange = pairs.layout.exchange
        return {view: exchange.sum(sums).log2() for view, sums in self.sums.items()}

    @staticmethod
    def weights(
        block: Block, kernel: Tensor, log_r: dict[int, Tensor], grads: dict[int, Tensor], out: Tensor
    ) -> Tensor:
        """G = e^{s_ij} (g_i / r_i + g_j / r_j)."""
        scale = {view: grads[view] * (-log_r[view]).exp2() for view in grads}
        left = scale[block.rows][block.I, None]
        if block.columns not in scale:
            return torch.mul(kernel, left, out=out)
        return torch.add(left, scale[block.columns][None, block.J], out=out).mul_(kernel)


class ScaledSums:
    """Σ_j e^{s_ij} relative to the largest term, which is found on the way.

    Terms are not let below 1e-17 (float32) of the largest: they count for nothing, and as subnormal numbers they would
    make a matrix product two hundred times slower.
    """

    def __init__(self, pairs: Pairs) -> None:
        self.floor = self.lowest_exponent(pairs.scaled)
        self.scratch = pairs.scratch()
        self.sums, self.largest = {}, {}
        for view in pairs.layout.anchors:
            self.sums[view] = pairs.right[view].new_zeros(len(pairs.right[view]))
            # Below every similarity, yet finite, so that differences are defined before the first term has come.
            self.largest[view] = torch.full_like(self.sums[view], torch.finfo(pairs.scaled.dtype).min / 4)

    @staticmethod
    def lowest_exponent(x: Tensor) -> float:
        """Of two: -57 in float32, -130 in float64."""
        return 2.5 * math.log2(torch.finfo(x.dtype).eps)

    @staticmethod
    def prepare(block: Block) -> Tensor:
        """s in units of ln 2, -inf for the samples themselves; in place."""
        return block.s.fill_diagonal_(-torch.inf) if block.own else block.s

    def add(self, block: Block, s: Tensor) -> None:
        """Collect the block's rows, and its columns where they are anchors."""
        self._add(block.rows, block.I, s, 1)
        if block.columns in self.sums and not block.within:
            self._add(block.columns, block.J, s, 0)

    def _add(self, view: int, where: slice, s: Tensor, axis: int) -> None:
        before = self.largest[view][where]
        largest = torch.maximum(before, s.amax(axis))
        terms = torch.sub(s, largest.unsqueeze(axis), out=self.scratch[: s.shape[0], : s.shape[1]])
        added = terms.clamp_min_(self.floor).exp2_().sum(axis)
        self.sums[view][where] = self.sums[view][where] * (before - largest).exp2_() + added
        self.largest[view][where] = largest

    def finish(self, pairs: Pairs) -> dict[int, Tensor]:
        """log r in units of ln 2."""
        exchange = pairs.layout.exchange
        log_r = {}
        for view, sums in self.sums.items():
            largest = exchange.max(self.largest[view])
            log_r[view] = largest + exchange.sum(sums * (self.largest[view] - largest).exp2_()).log2()
        return log_r

    @classmethod
    def weights(
        cls, block: Block, s: Tensor, log_r: dict[int, Tensor], grads: dict[int, Tensor], out: Tensor
    ) -> Tensor:
        """G = g_i e^{s_ij} / r_i + g_j e^{s_ij} / r_j; overwrites s."""
        floor = cls.lowest_exponent(s)
        smallest = torch.finfo(s.dtype).tiny * 2**-floor
        scale = {view: torch.where(grad.abs() < smallest, 0, grad) for view, grad in grads.items()}
        weights = torch.sub(s, log_r[block.rows][block.I, None], out=out).clamp_min_(floor).exp2_()
        weights *= scale[block.rows][block.I, None]
        if block.columns in scale:
            other = s.sub_(log_r[block.columns][None, block.J]).clamp_min_(floor).exp2_()
            weights.addcmul_(other, scale[block.columns][None, block.J])
        return weights


def _again(ctx: Any) -> Reference | None:
    """log r as a function that can be differentiated again, unless its samples come from several processes."""
    layout, power = ctx.pairs.layout, ctx.power
    if layout.exchange.world > 1:
        return None
    saved = [math.log(2) * x for x in ctx.saved_tensors[3:]]
    log_r = dict(zip(layout.anchors, saved, strict=True))
    return lambda u, v, concentration: log_sums(u, v, concentration, layout, log_r, power)


class LogNegatives(torch.autograd.Function):
    """log r of the anchors, one row a sample, for one or both views; differentiable in u, v and Λ.

    Where Λ is a multiple of that of the similarity, `power`, further derivatives are those of `_log_sums`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        u: Float[Tensor, "n dim"],
        v: Float[Tensor, "m dim"],
        concentration: Float[Tensor, " dim"],
        layout: Layout,
        power: float = 1.0,
    ) -> Float[Tensor, "views n"]:
        """log r, one row for every view of `layout.anchors`, for this process's samples.

        The other processes' samples are fetched by the layout's exchange.
        """
        exchange = layout.exchange
        arguments = (u, v, concentration)
        if exchange.world > 1:
            u, v = exchange.gather(torch.stack([u, v], 1)).unbind(1)
        pairs = Pairs((u, v), concentration, layout)
        collect = PlainSums(pairs) if plain_sums_suffice(pairs) else ScaledSums(pairs)
        for block in pairs.blocks():
            collect.add(block, collect.prepare(block))
        log_r = collect.finish(pairs)
        ctx.pairs, ctx.form, ctx.power = pairs, type(collect), power
        ctx.save_for_backward(*arguments, *log_r.values())
        return torch.stack([exchange.own(log_r[view]) for view in layout.anchors]).mul_(math.log(2))

    @staticmethod
    @written_out(_again, arguments=3)
    def backward(ctx: Any, grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of u, v and Λ."""
        pairs: Pairs = ctx.pairs
        layout = pairs.layout
        _, _, concentration, *saved = ctx.saved_tensors
        log_r = dict(zip(layout.anchors, saved, strict=True))
        everyone = layout.exchange.gather(grads.T.contiguous()).T.contiguous()
        weights_of = dict(zip(layout.anchors, everyone, strict=True))
        needs_concentration = ctx.needs_input_grad[2]
        needed = [view for view in (U, V) if ctx.needs_input_grad[view] or needs_concentration]
        # Σ_j G_ij c_j and Σ_j G_ij of every sample, in either role
        sums = {view: torch.zeros_like(pairs.right[view][:, : pairs.dim]) for view in needed}
        masses = {view: sums[view].new_zeros(len(sums[view])) for view in needed}
        scratch = pairs.scratch()
        for block in pairs.blocks():
            prepared = ctx.form.prepare(block)
            out = scratch[: prepared.shape[0], : prepared.shape[1]]
            weights = ctx.form.weights(block, prepared, log_r, weights_of, out)
            if block.rows in sums:
                sums[block.rows][block.I].addmm_(weights, pairs.right[block.columns][block.J, : pairs.dim])
                masses[block.rows][block.I] += weights.sum(1)
            if block.columns in sums and not block.within:
                sums[block.columns][block.J].addmm_(weights.T, pairs.right[block.rows][block.I, : pairs.dim])
                masses[block.columns][block.J] += weights.sum(0)
        results: list[Tensor | None] = [None, None]
        rates = torch.zeros_like(concentration)
        for view in needed:
            sample = pairs.right[view][:, : pairs.dim]
            force = sums[view].addcmul_(masses[view][:, None], sample, value=-1)
            if needs_concentration:
                rates += (sample * force).sum(0)
            if ctx.needs_input_grad[view]:
                results[view] = layout.exchange.scatter_sum(force.mul_(2 * concentration))
        return *results, rates if needs_concentration else None, None, None
