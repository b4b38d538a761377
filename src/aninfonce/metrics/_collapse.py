"""How an embedding fills its space: effective rank, alignment, uniformity, and how easily positives are found."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import entr, logsumexp
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.preprocessing import normalize as unit_rows

from aninfonce._typing import ArrayLike
from aninfonce.metrics._arrays import as_matrix, as_points, row_blocks, same_shape

__all__ = ["alignment", "effective_rank", "hit_at_k", "uniformity"]


def effective_rank(h: ArrayLike, *, center: bool = False) -> float:
    """Effective rank of an embedding: exp of the entropy of its singular values, normalised to sum to one.

    Arguments:
        h: embedding, shape (rows, dim).
        center: subtract the mean of every column first. RankMe does not; without it a mean that is large beside the
            variation counts as one dominant direction.

    Returns:
        A number from 1 (all rows on one line through the origin) to min(rows, dim) (all singular values equal);
        0 if `h` is zero, or with `center` if all its rows are equal.

    Raises:
        TypeError: if `h` is not an array or tensor of real numbers.
        ValueError: if it is not of shape (rows, dim), or an entry is not finite.

    References:
        Roy, Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO 2007.
        Garrido et al., "RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by
        Their Rank", ICML 2023, arXiv 2210.02885.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> print(round(metrics.effective_rank(np.eye(5)), 6), round(metrics.effective_rank(np.ones((5, 3))), 6))
        5.0 1.0
    """
    values = as_matrix("h", h)
    # What is left of equal rows after centring is rounding, of this size.
    rounding = max(values.shape) * np.finfo(np.float64).eps * float(np.linalg.norm(values))
    if center:
        values = values - values.mean(axis=0)
    spectrum = np.linalg.svd(values, compute_uv=False)
    spectrum = spectrum[spectrum > rounding]
    if len(spectrum) == 0:
        return 0.0
    return math.exp(float(entr(spectrum / spectrum.sum()).sum()))


def alignment(u: ArrayLike, v: ArrayLike, alpha: float = 2.0, *, normalize: bool = True) -> float:
    """Mean distance of positive pairs, E|u - v|^α.

    Arguments:
        u: embeddings of one view, shape (rows, dim).
        v: embeddings of the other view, the same shape; row by row positives.
        alpha: α > 0.
        normalize: project every row onto the unit sphere first.

    Returns:
        A number ≥ 0, 0 if the views coincide; on the sphere at most 2^α.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers.
        ValueError: if the shapes differ, an entry is not finite, α is not positive and finite, or with `normalize` a
            row is zero and has no direction.

    References:
        Wang, Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
        Hypersphere", ICML 2020, arXiv 2005.10242.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> print(round(metrics.alignment(np.eye(3), -2 * np.eye(3)), 6))
        4.0
    """
    _check_positive("alpha", alpha)
    first, second = as_points("u", u, normalize), as_points("v", v, normalize)
    same_shape("u", first, "v", second)
    return float((np.linalg.norm(first - second, axis=1) ** alpha).mean())


def uniformity(u: ArrayLike, t: float = 2.0, *, normalize: bool = True) -> float:
    """Logarithm of the mean Gaussian potential of all pairs of different rows, log E exp(-t |u_i - u_j|²).

    Arguments:
        u: embeddings, shape (rows, dim), at least 2 rows. Time grows with rows², memory only with rows.
        t: t > 0.
        normalize: project every row onto the unit sphere first.

    Returns:
        A number ≤ 0: 0 if all rows coincide, and the lower the more evenly they are spread. On the sphere it is at
        least -4t, and about -2t + log 0F1(; dim/2; t²) for rows drawn uniformly.

    Raises:
        TypeError: if `u` is not an array or tensor of real numbers.
        ValueError: if it has fewer than 2 rows, an entry is not finite, t is not positive and finite, or with
            `normalize` a row is zero and has no direction.

    References:
        Wang, Isola, arXiv 2005.10242 (see `alignment`).

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> print(round(metrics.uniformity(np.array([[3.0, 0.0], [-1.0, 0.0]])), 6))
        -8.0
    """
    _check_positive("t", t)
    points = as_points("u", u, normalize, min_rows=2)
    points = points - points.mean(axis=0)  # no distance changes, but large means would cost digits
    rows = len(points)
    # Pairs i < j, in blocks; summed as logarithms, since a large t would underflow.
    parts = []
    for block in row_blocks(rows):
        potential = -t * euclidean_distances(points[block], points[block.start :], squared=True)
        potential[np.tri(*potential.shape, dtype=np.bool_)] = -np.inf
        # The last block may be a single row, which has no pair left.
        if potential.shape[1] > 1:
            parts.append(logsumexp(potential))
    return float(logsumexp(parts)) - math.log(rows * (rows - 1) / 2)


def hit_at_k(u: ArrayLike, v: ArrayLike, k: int = 1) -> float:
    """Fraction of anchors whose positive is among the k most similar of all candidates, by cosine similarity.

    Hit@1 near 1 says that positives are too easy to tell from negatives: the loss is saturated then, and hardly
    determines Λ̂.

    Arguments:
        u: anchors, shape (rows, dim).
        v: candidates, the same shape; row i is the positive of anchor i.
        k: from 1 to the number of rows.

    Returns:
        A number in [0, 1]; k / rows by chance. A candidate as similar as the positive counts against it, so a
        collapsed embedding scores 0. A zero row has similarity 0 with everything.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers.
        ValueError: if the shapes differ, an entry is not finite, or k is out of range.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> metrics.hit_at_k(np.eye(4), np.eye(4)), metrics.hit_at_k(np.ones((4, 2)), np.ones((4, 2)))
        (1.0, 0.0)
    """
    anchors, candidates = as_matrix("u", u), as_matrix("v", v)
    same_shape("u", anchors, "v", candidates)
    rows, dim = anchors.shape
    if not 1 <= k <= rows:
        raise ValueError(f"k must be from 1 to the number of rows ({rows}), got {k}")
    anchors, candidates = unit_rows(anchors), unit_rows(candidates)
    tie = 4 * (dim + 2) * np.finfo(np.float64).eps  # the rounding of a product of two unit rows
    hits = 0
    for block in row_blocks(rows):
        similarity = anchors[block] @ candidates.T
        positive = similarity[np.arange(len(similarity)), np.arange(block.start, block.stop)]
        not_below = (similarity >= positive[:, None] - tie).sum(axis=1)  # the positive itself is one of them
        hits += int((not_below <= k).sum())
    return float(hits / rows)


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
