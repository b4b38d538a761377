"""How well an embedding identifies known latents: up to an affine map, and up to signs and a permutation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aninfonce._checks import nearest_name
from aninfonce._typing import ArrayLike, Float, FloatArray
from aninfonce.metrics._arrays import as_matrix, constant_columns, same_rows
from aninfonce.metrics._latents import Groups, check_varies, group_columns, latent_halves

__all__ = ["Matching", "linear_r2", "match_dimensions", "mean_correlation"]


@overload
def linear_r2(
    z: ArrayLike,
    z_hat: ArrayLike,
    groups: None = None,
    *,
    test_z: ArrayLike | None = None,
    test_z_hat: ArrayLike | None = None,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> float: ...
@overload
def linear_r2(
    z: ArrayLike,
    z_hat: ArrayLike,
    groups: Groups,
    *,
    test_z: ArrayLike | None = None,
    test_z_hat: ArrayLike | None = None,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> dict[str, float]: ...
def linear_r2(
    z: ArrayLike,
    z_hat: ArrayLike,
    groups: Groups | None = None,
    *,
    test_z: ArrayLike | None = None,
    test_z_hat: ArrayLike | None = None,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> float | dict[str, float]:
    """R² of the best affine map from the embedding to the latents, fitted on one part of the rows, scored on the other.

    For each latent, R² = 1 - Σ(z - ẑ)² / Σ(z - mean)² over the test rows: 1 if an affine map recovers it, about 0 (or
    below, by the noise of the fit) if the embedding says nothing about it linearly. The latents count equally,
    whatever their variances.

    Arguments:
        z: true latents, shape (rows, d).
        z_hat: embedding, shape (rows, d_hat).
        groups: names for groups of latents, each with its columns of `z`, for example
            `{"content": [0, 1], "style": [2, 3]}`. Every group is read from the whole embedding.
        test_z, test_z_hat: rows to score on; the map is then fitted on all rows of `z` and `z_hat`.
        test_fraction: share of the rows to score on if no test set is given, in (0, 1).
        seed: the seed of the random split.

    Returns:
        The mean R² over the latents, in (-∞, 1]; with `groups`, the mean of every group by its name.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers, or a group's columns are not integers.
        ValueError: if shapes do not fit together, an entry is not finite, a latent is constant in the rows to fit or
            to score on (R² is not defined; names its column), a group is empty, repeats a column or names one that `z`
            lacks, or there are too few rows for the d_hat + 1 coefficients of the map.

    See also: `mean_correlation`, which allows only signs, scales and a permutation.

    References:
        Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", arXiv 2407.00143: the R² of
        latents after a linear fit, which their code averages over the latents.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(1000, 4))
        >>> z_hat = np.c_[z[:, :2] @ [[1.0, 2.0], [-1.0, 1.0]], rng.normal(size=(1000, 2))]  # the style is lost
        >>> scores = metrics.linear_r2(z, z_hat, groups={"content": [0, 1], "style": [2, 3]})
        >>> {name: round(abs(score), 1) for name, score in scores.items()}
        {'content': 1.0, 'style': 0.0}
    """
    split = latent_halves(z, z_hat, test_z, test_z_hat, test_fraction, seed)
    rows, dim = split.train_y.shape
    if rows < dim + 1:
        raise ValueError(
            f"an affine map of {dim} embedding dimensions has {dim + 1} coefficients a latent and needs as many "
            f"training rows, got {rows}"
        )
    columns = {name: group_columns(name, group, split.train_x.shape[1]) for name, group in (groups or {}).items()}
    # Standardised, so that least squares does not take a dimension of small scale for a missing one.
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(split.train_y, split.train_x)
    scores = r2_score(split.test_x, model.predict(split.test_y), multioutput="raw_values")
    if groups is None:
        return float(scores.mean())
    return {name: float(scores[group].mean()) for name, group in columns.items()}


@dataclass(frozen=True, eq=False)
class Matching:
    """A one-to-one matching of latents with embedding dimensions; every field has shape (d,), one entry a latent.

    Attributes:
        permutation: the embedding dimension matched with each latent, so that `z_hat[:, permutation]` stands in the
            order of the latents; -1 for a latent without a partner (if the embedding has fewer dimensions).
        signs: -1, 0 or 1, the sign of each correlation.
        correlations: the correlation of each latent with its partner, in [-1, 1]; 0 without one.
    """

    permutation: npt.NDArray[np.int64]
    signs: FloatArray
    correlations: FloatArray


def match_dimensions(z: ArrayLike, z_hat: ArrayLike, *, kind: str = "pearson") -> Matching:
    """Match latents with embedding dimensions one to one, so that the sum of |correlation| is largest.

    All rows take part: this is the matching, to put for example Λ̂ into the order of Λ. For a score that is held out
    see `mean_correlation`.

    Arguments:
        z: true latents, shape (rows, d).
        z_hat: embedding, shape (rows, d_hat). A constant dimension has correlation 0 with everything.
        kind: "pearson", or "spearman" (of ranks: up to monotone maps of each dimension).

    Returns:
        The `Matching`; min(d, d_hat) latents have a partner.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers.
        ValueError: if the rows do not fit together, there are fewer than 2, an entry is not finite, a latent is
            constant (names its column), or `kind` is unknown.

    References:
        Kuhn, "The Hungarian method for the assignment problem", 1955; here `scipy.optimize.linear_sum_assignment`.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> z = np.random.default_rng(0).normal(size=(100, 3))
        >>> matching = metrics.match_dimensions(z, np.c_[z[:, 2], -z[:, 0], z[:, 1]])
        >>> print(matching.permutation, matching.signs)
        [1 2 0] [-1.  1.  1.]
    """
    nearest_name("kind of correlation", kind, _KINDS)
    latents, embedding = as_matrix("z", z, min_rows=2), as_matrix("z_hat", z_hat, min_rows=2)
    same_rows("z", latents, "z_hat", embedding)
    check_varies(latents, "")
    return _match(_correlations(latents, embedding, kind))


def mean_correlation(
    z: ArrayLike,
    z_hat: ArrayLike,
    *,
    kind: str = "pearson",
    test_z: ArrayLike | None = None,
    test_z_hat: ArrayLike | None = None,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> float:
    """Mean correlation coefficient of latents and embedding dimensions after one-to-one matching.

    The literature on identifiability calls it MCC; it has nothing to do with Matthews' correlation coefficient. The
    matching, signs included, is found on one part of the rows, and the correlations are taken on the other: an
    embedding that says nothing scores about 0, not the best of many chance correlations.

    Arguments:
        z: true latents, shape (rows, d).
        z_hat: embedding, shape (rows, d_hat). A constant (collapsed) dimension has correlation 0 with everything.
            With d_hat < d the latents without a partner count as 0; with d_hat > d the dimensions left over do not
            count.
        kind: "pearson", or "spearman" (of ranks: up to monotone maps of each dimension).
        test_z, test_z_hat: rows to score on; the matching is then found on all rows of `z` and `z_hat`.
        test_fraction: share of the rows to score on if no test set is given, in (0, 1).
        seed: the seed of the random split.

    Returns:
        The mean over the d latents, in [-1, 1]: 1 for recovery up to signs, scales and a permutation.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers.
        ValueError: if shapes do not fit together, an entry is not finite, there are too few rows to split, a latent is
            constant in one of the parts (names its column), or `kind` is unknown.

    See also: `linear_r2`, which allows any affine map; `match_dimensions`, the matching itself.

    References:
        Hyvärinen, Morioka, "Unsupervised Feature Extraction by Time-Contrastive Learning and Nonlinear ICA", NeurIPS
        2016. Rusak et al., arXiv 2407.00143, report it for linearly spaced Λ.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> z = np.random.default_rng(0).normal(size=(1000, 2))
        >>> print(round(metrics.mean_correlation(z, -z[:, ::-1]), 3))
        1.0
        >>> turned = z @ [[0.8, 0.6], [-0.6, 0.8]]  # R² would be 1
        >>> print(round(metrics.mean_correlation(z, turned), 1))
        0.8
    """
    nearest_name("kind of correlation", kind, _KINDS)
    split = latent_halves(z, z_hat, test_z, test_z_hat, test_fraction, seed)
    matching = _match(_correlations(split.train_x, split.train_y, kind))
    latents = np.flatnonzero(matching.permutation >= 0)
    held_out = _correlations(split.test_x, split.test_y, kind)[latents, matching.permutation[latents]]
    return float((matching.signs[latents] * held_out).sum() / len(matching.permutation))


_KINDS = ("pearson", "spearman")


def _correlations(
    z: Float[FloatArray, "rows d"], z_hat: Float[FloatArray, "rows d_hat"], kind: str
) -> Float[FloatArray, "d d_hat"]:
    def unit_columns(x: FloatArray) -> FloatArray:
        constant = constant_columns(x)
        if kind == "spearman":
            x = np.asarray(rankdata(x, axis=0), dtype=np.float64)
        centred = x - x.mean(axis=0)
        centred[:, constant] = 0.0  # of a collapsed dimension only rounding is left
        norms = np.linalg.norm(centred, axis=0)
        return np.asarray(centred / np.where(norms > 0, norms, 1.0))

    return np.clip(unit_columns(z).T @ unit_columns(z_hat), -1.0, 1.0)


def _match(correlations: Float[FloatArray, "d d_hat"]) -> Matching:
    latents, dimensions = linear_sum_assignment(np.abs(correlations), maximize=True)
    d = len(correlations)
    permutation, matched = np.full(d, -1, dtype=np.int64), np.zeros(d)
    permutation[latents] = dimensions
    matched[latents] = correlations[latents, dimensions]
    return Matching(permutation, np.sign(matched), matched)
