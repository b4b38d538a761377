"""Which of several candidates is the positive? The posterior with a free concentration, and its maximum likelihood.

With δ_c = u - c for every candidate c, the log odds are -Σ_k Λ_k δ_ck², π is their softmax over the candidates, and

    loss      -log π⁺
    score     g = δ⁺² - Σ_c π_c δ_c²        (element-wise squares; one vector of shape (dim,) an anchor)
    Hessian   H = Cov_π(δ_c²)

The loss is convex in Λ. Rows are dealt at random into groups, and an anchor's negatives are the other rows of its
group: anchors of one group depend on each other (the pair i, k is a candidate twice), different groups do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import logsumexp

from aninfonce._checks import nearest_name
from aninfonce._typing import ArrayLike, Float, FloatArray, Int
from aninfonce.metrics._arrays import as_points, same_shape

__all__ = [
    "Choices",
    "Evaluation",
    "Posterior",
    "deal",
    "evaluate",
    "group_hessians",
    "maximum_likelihood",
    "posteriors",
]

_NEGATIVES = 16  # an anchor, unless told otherwise
_GROUPS = 30  # at least, since the standard errors are taken from the spread between groups
_CHUNK = 2_000_000  # numbers held at once in an array of one entry a candidate and dimension: 16 MB
_NEWTON_STEPS = 200
_DECREMENT = 1e-13  # gᵀH⁻¹g at the end: with 100,000 anchors, 1e-4 standard errors
_SINGULAR = 1e-10  # eigenvalue of the Hessian, relative to its diagonal at Λ = 0, below which it counts as zero


@dataclass(frozen=True, eq=False)
class Choices:
    """Anchors, their positives and negatives; row i belongs to group i // size, whose others are its negatives.

    Attributes:
        u, v: anchors and positives, shape (rows, dim), in the order dealt.
        negatives_of: the matrix that negatives are taken from, `u` or `v`.
        size: rows of a group, M + 1.
        order: the rows of the input, in the order dealt, shape (rows,).
        anchors: the rows that take part as anchors; all rows serve as negatives.
    """

    u: FloatArray
    v: FloatArray
    negatives_of: FloatArray
    size: int
    order: npt.NDArray[np.int64]
    anchors: npt.NDArray[np.int64] = field(repr=False)

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self.u) // self.size

    def only(self, anchors: npt.NDArray[np.int64]) -> Choices:
        """Return the same groups with fewer anchors."""
        return replace(self, anchors=anchors)


def deal(
    u: ArrayLike, v: ArrayLike, *, negatives: int | None, negatives_from: str, normalize: bool, seed: int
) -> Choices:
    """Check the embeddings and deal the rows into groups of `negatives` + 1 at random; a rest is left out.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers.
        ValueError: if the shapes differ, an entry is not finite, dim < 2, there are fewer than 30 groups,
            `negatives_from` is unknown, or with `normalize` a row is zero.
    """
    nearest_name("source of negatives", negatives_from, ("anchors", "positives"))
    anchors, positives = as_points("u", u, normalize), as_points("v", v, normalize)
    same_shape("u", anchors, "v", positives)
    rows, dim = anchors.shape
    if dim < 2:
        raise ValueError(f"u and v must have at least 2 dimensions, got {dim}")
    most = rows // _GROUPS - 1
    if most < 1:
        raise ValueError(f"u and v must have at least {2 * _GROUPS} rows, got {rows}")
    count = min(_NEGATIVES, most) if negatives is None else negatives
    if not 1 <= count <= most:
        raise ValueError(
            f"negatives must be from 1 to {most}, so that {rows} rows make {_GROUPS} groups of negatives + 1, "
            f"got {count}"
        )
    size = count + 1
    order = np.random.default_rng(seed).permutation(rows)[: rows // size * size]
    dealt, dealt_positives = anchors[order], positives[order]
    pool = dealt if negatives_from == "anchors" else dealt_positives
    return Choices(dealt, dealt_positives, pool, size, order, np.arange(len(order)))


class Posterior(NamedTuple):
    """Some anchors, the differences δ of all their candidates, where their positives stand, and π."""

    groups: Int[npt.NDArray[np.int64], " anchors"]
    positive: tuple[Int[npt.NDArray[np.int64], " anchors"], Int[npt.NDArray[np.int64], " anchors"]]
    difference: Float[FloatArray, "anchors size dim"]
    logits: Float[FloatArray, "anchors size"]
    probability: Float[FloatArray, "anchors size"]


def posteriors(choices: Choices, concentration: Float[FloatArray, " dim"], width: int = 0) -> Iterator[Posterior]:
    """Go through the anchors in chunks that fit into memory, with `width` numbers a candidate if more than dim."""
    step = max(1, _CHUNK // (choices.size * max(choices.u.shape[1], width)))
    for start in range(0, len(choices.anchors), step):
        anchors = choices.anchors[start : start + step]
        groups, place = np.divmod(anchors, choices.size)
        candidates = groups[:, None] * choices.size + np.arange(choices.size)
        positive = np.arange(len(anchors)), place  # in the place of the anchor's own row, which is no candidate
        difference = choices.u[anchors, None] - choices.negatives_of[candidates]
        difference[positive] = choices.u[anchors] - choices.v[anchors]
        logits = -(difference**2) @ concentration
        probability = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        yield Posterior(groups, positive, difference, logits, probability)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The loss at one Λ, its derivatives, and what else a pass over the anchors gives (means over the anchors)."""

    concentration: FloatArray
    loss: float
    gradient: FloatArray
    hessian: FloatArray
    group_scores: FloatArray  # (groups, dim), sums of g over the anchors of each group
    hit_at_1: float
    effective_candidates: float


def evaluate(choices: Choices, concentration: Float[FloatArray, " dim"]) -> Evaluation:
    """Evaluate the loss, gradient and Hessian at one Λ."""
    dim, count = len(concentration), len(choices.anchors)
    hessian, scores = np.zeros((dim, dim)), np.zeros((choices.groups, dim))
    loss = effective = 0.0
    hits = 0
    for groups, positive, difference, logits, probability in posteriors(choices, concentration):
        squares = difference**2
        mean = (probability[:, None] @ squares)[:, 0]
        np.add.at(scores, groups, squares[positive] - mean)
        squares -= mean[:, None]
        squares *= np.sqrt(probability)[..., None]
        flat = squares.reshape(-1, dim)
        hessian += flat.T @ flat
        loss += float((logsumexp(logits, axis=1) - logits[positive]).sum())
        effective += float((1 / (probability**2).sum(axis=1)).sum())
        others = logits.copy()
        others[positive] = -np.inf
        hits += int((logits[positive] > others.max(axis=1)).sum())
    return Evaluation(
        concentration=concentration,
        loss=loss / count,
        gradient=scores.sum(axis=0) / count,
        hessian=hessian / count,
        group_scores=scores,
        hit_at_1=hits / count,
        effective_candidates=effective / count,
    )


def group_hessians(
    choices: Choices, concentration: Float[FloatArray, " dim"]
) -> Iterator[tuple[slice, Float[FloatArray, "groups dim dim"]]]:
    """The Hessian summed over the anchors of each group, as many groups at a time as fit into memory."""
    dim = len(concentration)
    step = max(1, _CHUNK // dim**2)
    of_anchor = choices.anchors // choices.size
    for start in range(0, choices.groups, step):
        block = slice(start, min(start + step, choices.groups))
        hessians = np.zeros((block.stop - start, dim, dim))
        inside = choices.only(choices.anchors[(of_anchor >= start) & (of_anchor < block.stop)])
        for groups, _, difference, _, probability in posteriors(inside, concentration, dim * dim // choices.size):
            squares = difference**2
            squares -= probability[:, None] @ squares
            squares *= np.sqrt(probability)[..., None]
            np.add.at(hessians, groups - start, squares.transpose(0, 2, 1) @ squares)
        yield block, hessians


def maximum_likelihood(choices: Choices) -> Evaluation:
    """Minimise the loss over every real Λ, by Newton's method with a line search from Λ = 0.

    Raises:
        ValueError: if there is no unique finite minimum: dimensions that do not vary or vary only together, or
            positives that can be told from the negatives without an error.
    """
    here = evaluate(choices, np.zeros(choices.u.shape[1]))
    scale = _scale(here.hessian)
    for _ in range(_NEWTON_STEPS):
        try:
            # In units that make the diagonal at Λ = 0 one: dimensions of small variance are no singularity.
            factor = cho_factor(here.hessian / np.outer(scale, scale))
        except LinAlgError:
            break
        step = cho_solve(factor, here.gradient / scale) / scale
        decrement = float(here.gradient @ step)
        if decrement <= _DECREMENT:
            if _smallest_eigenvalue(here.hessian, scale)[0] <= _SINGULAR:
                break
            return here
        here = _search(choices, here, step, decrement)
        if here.hit_at_1 == 1.0:  # some Λ is always right, and its multiples bring the loss down to 0
            break
    raise ValueError(
        f"Λ must be determined by the data, but {len(choices.anchors)} anchors with {choices.size - 1} negatives each "
        f"have no finite maximum of the likelihood (Hit@1 {here.hit_at_1:.4g}: the positives are too easy to tell from "
        "the negatives); take more negatives, more rows, or pairs that differ more"
    )


def _search(choices: Choices, here: Evaluation, step: FloatArray, decrement: float) -> Evaluation:
    size, rounding = 1.0, 64 * np.finfo(np.float64).eps * max(1.0, here.loss)
    while True:
        there = evaluate(choices, here.concentration - size * step)
        if there.loss <= here.loss - 1e-4 * size * decrement + rounding:
            return there
        size /= 2


def _scale(hessian: Float[FloatArray, "dim dim"]) -> Float[FloatArray, " dim"]:
    variance = np.diag(hessian)
    fixed = np.flatnonzero(variance <= np.finfo(np.float64).eps ** 3 * variance.max())
    if len(fixed):
        raise ValueError(
            f"every dimension of u and v must vary for its concentration to be determined, got {len(fixed)} that "
            f"do not: {fixed[:10].tolist()}{'...' if len(fixed) > 10 else ''}"
        )
    scale = np.sqrt(variance)
    smallest, direction = _smallest_eigenvalue(hessian, scale)
    if smallest <= _SINGULAR:
        together = np.flatnonzero(np.abs(direction) > 0.1)
        raise ValueError(
            "the squared differences of the dimensions must vary independently for the concentrations to be "
            f"determined, got some that only vary together: {together[:10].tolist()}"
        )
    return scale


def _smallest_eigenvalue(hessian: FloatArray, scale: FloatArray) -> tuple[float, FloatArray]:
    values, vectors = np.linalg.eigh(hessian / np.outer(scale, scale))
    return float(values[0]), vectors[:, 0]
