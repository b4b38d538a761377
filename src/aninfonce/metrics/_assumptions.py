"""Are the theory's assumptions on the marginal and on Λ met? Tests from embeddings alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2
from scipy.stats import f as fisher

from aninfonce._typing import ArrayLike, FloatArray
from aninfonce.metrics._arrays import as_matrix, as_points, as_targets, same_rows
from aninfonce.metrics._leave_out import jackknife
from aninfonce.metrics._posterior import deal, maximum_likelihood
from aninfonce.metrics._specification import TestResult

__all__ = ["Stationarity", "bingham_test", "rayleigh_test", "stationarity_test"]

_ANCHORS = 30  # in a cluster, at least


def rayleigh_test(u: ArrayLike) -> TestResult:
    """Test that directions are uniform on the sphere, against those that prefer one side.

    With ū the mean of the unit vectors, S = d·n·|ū|² is χ²_d under uniformity; with Jupp's correction
    (1 - 1/(2n))·S + S²/(2n(d + 2)) the error is of order n⁻². Blind to what is symmetric about the origin: see
    `bingham_test`.

    Arguments:
        u: embeddings, shape (rows, dim), at least 2 rows and dimensions; projected onto the unit sphere.

    Returns:
        The `TestResult`, with the corrected statistic.

    Raises:
        TypeError: if `u` is not an array or tensor of real numbers.
        ValueError: if it has fewer than 2 rows or dimensions, an entry is not finite, or a row is zero.

    References:
        Mardia, Jupp, "Directional Statistics", Wiley 2000, section 10.4.1.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> x = np.random.default_rng(0).normal(size=(500, 4))
        >>> print(metrics.rayleigh_test(x).p_value > 0.05, metrics.rayleigh_test(x + [0.5, 0, 0, 0]).p_value < 0.05)
        True True
    """
    points = _directions(u)
    n, d = points.shape
    plain = d * n * float((points.mean(axis=0) ** 2).sum())
    statistic = (1 - 1 / (2 * n)) * plain + plain**2 / (2 * n * (d + 2))
    return TestResult(statistic, float(chi2.sf(statistic, d)), (d,))


def bingham_test(u: ArrayLike) -> TestResult:
    """Test that directions are uniform on the sphere, against those that prefer some axes.

    With T = Σ uuᵀ / n, the statistic (n·d·(d + 2)/2)·(tr T² - 1/d) is χ² with (d - 1)(d + 2)/2 degrees of freedom
    under uniformity. Blind to a preferred side: see `rayleigh_test`.

    Arguments:
        u: embeddings, shape (rows, dim), at least 2 rows and dimensions; projected onto the unit sphere.

    Returns:
        The `TestResult`.

    Raises:
        TypeError: if `u` is not an array or tensor of real numbers.
        ValueError: if it has fewer than 2 rows or dimensions, an entry is not finite, or a row is zero.

    References:
        Mardia, Jupp, "Directional Statistics", Wiley 2000, section 10.7.1.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> x = np.random.default_rng(0).normal(size=(500, 4))
        >>> print(metrics.bingham_test(x).p_value > 0.05, metrics.bingham_test(x * [2, 1, 1, 1]).p_value < 0.05)
        True True
    """
    points = _directions(u)
    n, d = points.shape
    scatter = points.T @ points / n
    statistic = n * d * (d + 2) / 2 * float(((scatter - np.eye(d) / d) ** 2).sum())  # tr T = 1
    dof = (d - 1) * (d + 2) // 2
    return TestResult(statistic, float(chi2.sf(statistic, dof)), (dof,))


@dataclass(frozen=True, eq=False)
class Stationarity:
    """Λ̂ cluster by cluster, and the test that they are equal.

    Attributes:
        test: Hotelling's version of Wald's test of equality; its statistic is F-distributed under the hypothesis.
        labels: the labels of the clusters, sorted, shape (clusters,).
        concentration: Λ̂ for the anchors of each cluster, shape (clusters, dim).
        standard_error: the standard error of each entry, the same shape.
    """

    test: TestResult
    labels: npt.NDArray[Any]
    concentration: FloatArray
    standard_error: FloatArray


def stationarity_test(
    u: ArrayLike,
    v: ArrayLike,
    clusters: ArrayLike,
    *,
    negatives: int | None = None,
    negatives_from: str = "anchors",
    normalize: bool = True,
    seed: int = 0,
) -> Stationarity:
    """Test that one Λ holds everywhere: refit it for the anchors of each cluster and compare.

    As in `anisotropy`, with the anchors of one cluster at a time; their negatives come from all rows, since those of
    the cluster alone would not be uniform. The estimates share negatives and so depend on each other; their joint
    covariance is taken from the same groups of rows, by leaving out one of them at a time. With K groups and
    q = (clusters - 1)·dim the statistic W·(K - q)/((K - 1)·q) is held against F(q, K - q), W being Wald's. This is
    asymptotic in the anchors of each cluster that are not easy; with 20 of them the test rejected 3 % at a level of 5 %
    (the plain sandwich 17 %).

    Arguments:
        u: embeddings of the anchors, shape (rows, dim), dim ≥ 2.
        v: embeddings of the positives, the same shape.
        clusters: a category for every row (booleans, integers or strings), found from the anchors `u` or from what is
            known about them; never from the positives.
        negatives, negatives_from, normalize, seed: as in `anisotropy`.

    Returns:
        The `Stationarity`: the test, and Λ̂ for each cluster.

    Raises:
        TypeError: if an embedding is not an array or tensor of real numbers, or `clusters` does not hold categories.
        ValueError: as `anisotropy` does, also if Λ is not determined for a cluster (names it); or if there are fewer
            than 2 clusters, fewer than 30 anchors in one, or not more than q groups.

    References:
        Hotelling, "The Generalization of Student's Ratio", Annals of Mathematical Statistics 2, 1931.

    Example:
        >>> import torch
        >>> from aninfonce import metrics
        >>> from aninfonce.distributions import AnisotropicSpherical, HypersphericalUniform
        >>> generator = torch.Generator().manual_seed(0)
        >>> z = HypersphericalUniform(3).sample((2000,), generator=generator)
        >>> side = z[:, 0] > 0
        >>> concentration = torch.where(side[:, None], 8.0, 4.0) * torch.ones(3)
        >>> positive = AnisotropicSpherical(z, concentration).sample(generator=generator)
        >>> print(metrics.stationarity_test(z, positive, side).test.p_value < 0.001)
        True
    """
    categories = as_targets("clusters", clusters)
    if categories.ndim != 1:
        raise TypeError(f"clusters must hold categories (bool, int, str), got dtype {categories.dtype}")
    same_rows("u", as_matrix("u", u), "clusters", categories)
    choices = deal(u, v, negatives=negatives, negatives_from=negatives_from, normalize=normalize, seed=seed)
    labels, codes = np.unique(categories[choices.order], return_inverse=True)
    dim, groups = choices.u.shape[1], choices.groups
    q = (len(labels) - 1) * dim
    if q == 0:
        raise ValueError(f"clusters must hold at least 2 categories, got only {labels[0]!s}")
    if groups <= q:
        raise ValueError(
            f"{len(labels)} clusters in {dim} dimensions need more than {q} groups of rows, got {groups}; "
            "take fewer clusters, fewer negatives, or more rows"
        )
    counts = np.bincount(codes)
    if counts.min() < _ANCHORS:
        raise ValueError(
            f"every cluster must hold at least {_ANCHORS} anchors, got {counts.min()} in {labels[counts.argmin()]!s}"
        )
    estimates, influences = [], []
    for code, label in enumerate(labels):
        members = choices.only(np.flatnonzero(codes == code))
        try:
            fit = maximum_likelihood(members)
            influence = jackknife(members, fit).influence
        except ValueError as error:
            raise ValueError(f"cluster {label!s}: {error}") from error
        estimates.append(fit.concentration)
        influences.append(influence.T)
    correction = (groups - 1) / groups
    errors = [np.sqrt(correction * (influence**2).sum(axis=1)) for influence in influences]
    difference = np.concatenate([estimate - estimates[0] for estimate in estimates[1:]])
    spread = np.concatenate([influence - influences[0] for influence in influences[1:]])  # (q, groups)
    wald = float(difference @ np.linalg.solve(correction * spread @ spread.T, difference))
    statistic = wald * (groups - q) / ((groups - 1) * q)
    test = TestResult(statistic, float(fisher.sf(statistic, q, groups - q)), (q, groups - q))
    return Stationarity(test, labels, np.stack(estimates), np.stack(errors))


def _directions(u: ArrayLike) -> FloatArray:
    points = as_points("u", u, True, min_rows=2)
    if points.shape[1] < 2:
        raise ValueError(f"u must have at least 2 dimensions, got {points.shape[1]}")
    return points
