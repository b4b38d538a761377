"""How well an embedding identifies known latents up to any smooth map."""

from __future__ import annotations

from typing import overload

import numpy as np
from scipy.linalg import eigh
from scipy.spatial.distance import pdist
from sklearn.metrics import r2_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import StandardScaler

from aninfonce._typing import ArrayLike, Float, FloatArray
from aninfonce.metrics._arrays import row_blocks
from aninfonce.metrics._latents import Groups, group_columns, latent_halves

__all__ = ["kernel_r2"]

_BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # in units of the median distance
_RIDGES = np.logspace(-10, 1, 12)  # in units of the rows, which are the trace of the kernel matrix


@overload
def kernel_r2(
    z: ArrayLike,
    z_hat: ArrayLike,
    groups: None = None,
    *,
    max_rows: int = 2000,
    test_z: ArrayLike | None = None,
    test_z_hat: ArrayLike | None = None,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> float: ...
@overload
def kernel_r2(
    z: ArrayLike,
    z_hat: ArrayLike,
    groups: Groups,
    *,
    max_rows: int = 2000,
    test_z: ArrayLike | None = None,
    test_z_hat: ArrayLike | None = None,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> dict[str, float]: ...
def kernel_r2(
    z: ArrayLike,
    z_hat: ArrayLike,
    groups: Groups | None = None,
    *,
    max_rows: int = 2000,
    test_z: ArrayLike | None = None,
    test_z_hat: ArrayLike | None = None,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> float | dict[str, float]:
    """R² of kernel ridge regression from the embedding to the latents, fitted on some rows, scored on others.

    The nonlinear companion of `linear_r2`: is a latent in the embedding at all, in whatever smooth form? The kernel is
    exp(-|a - b|² / (2h²)) of the standardised embedding, h from 1/4 to 4 times the median distance. For each latent the
    bandwidth h and the ridge are those of the smallest leave-one-out error on the training rows. Predictions are kept
    within the range of the training targets, since a kernel that extrapolates may go anywhere. If that error does
    not beat that of the mean by two standard errors, the mean is predicted.

    Arguments:
        z: true latents, shape (rows, d).
        z_hat: embedding, shape (rows, d_hat).
        groups: names for groups of latents, each with its columns of `z`, for example
            `{"content": [0, 1], "style": [2, 3]}`. Every group is read from the whole embedding.
        max_rows: rows to fit on at most, at least 2; more are thinned at random. Time grows with their third power,
            memory with their second; all test rows are scored.
        test_z, test_z_hat: rows to score on; the regression is then fitted on the rows of `z` and `z_hat`.
        test_fraction: share of the rows to score on if no test set is given, in (0, 1).
        seed: the seed of the random split and the thinning.

    Returns:
        The mean R² over the latents, in (-∞, 1]; with `groups`, the mean of every group by its name. About 0 if
        the embedding says nothing. The rows limit it from above: a rough map of
        many dimensions needs more of them.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers, or a group's columns are not integers.
        ValueError: if shapes do not fit together, an entry is not finite, a latent is constant in the rows to fit or
            to score on (names its column), a group is empty, repeats a column or names one that `z` lacks, or
            `max_rows` is below 2.

    See also: `linear_r2`.

    References:
        von Kügelgen et al., "Self-Supervised Learning with Data Augmentations Provably Isolates Content from Style",
        NeurIPS 2021: latents read by kernel ridge regression.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> z = np.random.default_rng(0).normal(size=(400, 2))
        >>> bent = np.c_[z[:, 0] + z[:, 1] ** 2, z[:, 1]]
        >>> print(metrics.linear_r2(z, bent) < 0.75, metrics.kernel_r2(z, bent) > 0.95)
        True True
    """
    if max_rows < 2:
        raise ValueError(f"max_rows must be at least 2, got {max_rows}")
    split = latent_halves(z, z_hat, test_z, test_z_hat, test_fraction, seed)
    columns = {name: group_columns(name, group, split.train_x.shape[1]) for name, group in (groups or {}).items()}
    rows = np.random.default_rng(seed).permutation(len(split.train_x))[:max_rows]
    latents, embedding = StandardScaler().fit(split.train_x[rows]), StandardScaler().fit(split.train_y[rows])
    predicted = _predict(
        embedding.transform(split.train_y[rows]),
        latents.transform(split.train_x[rows]),
        embedding.transform(split.test_y),
    )
    scores = np.asarray(r2_score(latents.transform(split.test_x), predicted, multioutput="raw_values"))
    if groups is None:
        return float(scores.mean())
    return {name: float(scores[group].mean()) for name, group in columns.items()}


def _predict(
    codes: Float[FloatArray, "rows d_hat"],
    targets: Float[FloatArray, "rows d"],
    test_codes: Float[FloatArray, "test_rows d_hat"],
) -> Float[FloatArray, "test_rows d"]:
    """Predict targets of mean 0, each with its own bandwidth and ridge."""
    distances = pdist(codes)
    distances = distances[distances > 0]  # an embedding of few values has many copies
    median = float(np.median(distances)) if len(distances) else 1.0
    gammas = [0.5 / (factor * median) ** 2 for factor in _BANDWIDTHS]
    smallest = (targets**2).mean(axis=0)  # of the mean, which the weights 0 predict
    chosen = np.zeros(targets.shape[1], dtype=np.int64)
    weights = np.zeros_like(targets)
    for index, gamma in enumerate(gammas):
        errors, candidates = _leave_one_out(rbf_kernel(codes, gamma=gamma), targets)
        better = errors.mean(axis=0) < smallest
        # The best of many says little more than chance would: it has to beat the mean by two standard errors.
        gains = targets**2 - errors
        better &= gains.mean(axis=0) > 2 * gains.std(axis=0) / np.sqrt(len(gains))
        smallest[better], chosen[better] = errors.mean(axis=0)[better], index
        weights[:, better] = candidates[:, better]
    predicted = np.empty((len(test_codes), targets.shape[1]))
    for index in np.unique(chosen):
        readers = np.flatnonzero(chosen == index)
        for block in row_blocks(len(test_codes)):
            predicted[block, readers] = rbf_kernel(test_codes[block], codes, gamma=gammas[index]) @ weights[:, readers]
    return np.clip(predicted, targets.min(axis=0), targets.max(axis=0))


def _leave_one_out(
    kernel: Float[FloatArray, "rows rows"], targets: Float[FloatArray, "rows d"]
) -> tuple[Float[FloatArray, "rows d"], Float[FloatArray, "rows d"]]:
    """The squared leave-one-out errors with the best ridge for each target, and its weights w = (K + αI)⁻¹y.

    With the eigenvectors of K every ridge costs a multiplication. The error with row n left out is w_n / (K + αI)⁻¹_nn.
    """
    values, vectors = eigh(kernel, overwrite_a=True, check_finite=False)
    projected, squares = vectors.T @ targets, vectors**2
    errors, weights = np.full_like(targets, np.inf), np.zeros_like(targets)
    for ridge in len(kernel) * _RIDGES:
        inverse = 1 / (np.maximum(values, 0.0) + ridge)  # rounding leaves a smooth kernel's last eigenvalues below 0
        candidates = vectors @ (inverse[:, None] * projected)
        left_out = targets - candidates / (squares @ inverse)[:, None]
        left_out = np.clip(left_out, targets.min(axis=0), targets.max(axis=0))
        squared = (targets - left_out) ** 2
        better = squared.mean(axis=0) < errors.mean(axis=0)
        errors[:, better], weights[:, better] = squared[:, better], candidates[:, better]
    return errors, weights
