"""The sums of `_streaming` and `_per_anchor` as functions that have derivatives of every order.

Where the value log r_i is known, the sum is Σ_j e^{s_ij - log r_i}, a plain sum over blocks of pairs that cannot
overflow; its value is 1, and log r_i plus its logarithm has the derivatives of log Σ_j e^{s_ij}. So nothing larger than
a block is made at any order.

With a power, the sum is of e^{power · s_ij}, of which e^{(power - 1) s_ij} counts as the weight of a pair, a constant
(see `Reweighted`): the first derivative is that of log Σ_j e^{power · s_ij}, the further ones are at fixed weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from aninfonce.objectives._pairs import Layout
from aninfonce.objectives._parts import Part, Parts, sum_of_parts
from aninfonce.objectives._similarity import pairwise_similarity

__all__ = ["log_sums", "own_log_sums"]


def _with_fixed_weights(s: Tensor, power: float) -> Tensor:
    """The similarities s, given as power · s, so that only s itself, once, is variable."""
    return s if power == 1 else s / power + (s * (1 - 1 / power)).detach()


def _terms(s: Tensor, log_r: Tensor, own: Tensor | None) -> Tensor:
    """e^{s - log r}, zero for the sample itself and for what counts for nothing beside the sum."""
    exponents = s - log_r
    # As subnormal numbers they would make a matrix product two hundred times slower.
    nothing = exponents < 2.5 * math.log(torch.finfo(s.dtype).eps)
    if own is not None:
        nothing = nothing | own
    return exponents.masked_fill(nothing, -torch.inf).exp()


def _block_function(
    log_r: tuple[Tensor, Tensor | None], paired: bool, power: float
) -> Callable[..., tuple[Tensor, ...]]:
    """(rows of anchors, rows of negatives, Λ) to the sums of the block's rows and, if wanted, of its columns."""

    def function(part: Part, a: Tensor, c: Tensor, concentration: Tensor) -> tuple[Tensor, ...]:
        s = _with_fixed_weights(pairwise_similarity(a, c, concentration), power)
        own = torch.eye(*s.shape, dtype=torch.bool, device=s.device) if paired and part["I"] == part["J"] else None
        rows, columns = log_r
        sums = [_terms(s, rows[part["I"], None], own).sum(1)]
        if columns is not None:
            sums.append(_terms(s, columns[None, part["J"]], own).sum(0))
        return tuple(sums)

    return function


def log_sums(
    u: Tensor, v: Tensor, concentration: Tensor, layout: Layout, log_r: dict[int, Tensor], power: float
) -> Tensor:
    """log r of the layout's anchors, of the values `log_r`, as a function of u, v and power · Λ."""
    views = (u, v)
    chunk = layout.chunk_for(max(len(u), len(v)), u.device)
    sums: dict[int, Tensor] = {}
    for rows, columns in layout.terms:
        both = columns != rows and columns in log_r
        function = _block_function((log_r[rows], log_r[columns] if both else None), layout.paired, power)
        blocks = [
            {"I": slice(i, i + chunk), "J": slice(j, j + chunk)}
            for i in range(0, len(views[rows]), chunk)
            for j in range(0, len(views[columns]), chunk)
        ]
        outputs, found = (("I", "J"), (rows, columns)) if both else (("I",), (rows,))
        shapes = tuple(views[view].shape[:1] for view in found)
        parts = Parts(function, blocks, ("I", "J", "whole"), outputs, shapes)
        for view, total in zip(found, sum_of_parts(parts, views[rows], views[columns], concentration), strict=True):
            sums[view] = sums[view] + total if view in sums else total
    return torch.stack([log_r[view] + power * sums[view].log() for view in layout.anchors])


def own_log_sums(
    anchors: Tensor,
    negatives: Tensor,
    concentration: Tensor,
    offsets: Tensor | None,
    rows: int,
    power: float,
) -> Tensor:
    """log r of anchors with negatives of their own, as a function of both and of power · Λ; `rows` at a time."""

    def function(part: Part, a: Tensor, c: Tensor, concentration: Tensor) -> tuple[Tensor, ...]:
        s = -((a[:, None] - c).square() @ concentration)
        if offsets is not None:
            s = s + offsets[part["I"]]
        return (power * _with_fixed_weights(s, power).logsumexp(1),)

    blocks = [{"I": slice(i, i + rows)} for i in range(0, len(anchors), rows)]
    parts = Parts(function, blocks, ("I", "I", "whole"), ("I",), (anchors.shape[:1],))
    return sum_of_parts(parts, anchors, negatives, concentration)[0]
