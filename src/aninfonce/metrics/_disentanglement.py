"""Disentanglement, completeness, informativeness: how the latents are spread over the embedding's dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import entr
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LassoCV
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from aninfonce._checks import nearest_name
from aninfonce._typing import ArrayLike, Float, FloatArray
from aninfonce.metrics._latents import latent_halves

__all__ = ["DCI", "dci"]

_FOLDS = 5
_PENALTIES = np.logspace(-4, 0, 33)  # of the lasso; with everything standardised, 1 leaves no coefficient
_TREES = 50
_LEAVES = (2, 8, 32, 128)  # rows in a leaf, at least
_TREE_ROWS = 5000  # drawn for a tree, at most: the time grows with them, the importances hardly change


@dataclass(frozen=True, eq=False)
class DCI:
    """What `dci` found; d latents, d_hat dimensions of the embedding.

    Attributes:
        disentanglement: in [0, 1], 1 if every dimension is used for one latent only.
        completeness: in [0, 1], 1 if every latent is read from one dimension only.
        informativeness: held-out R² of the regressor, in (-∞, 1], the mean over the latents.
        importance: the importance of each dimension for each latent, not negative, shape (d_hat, d).
        disentanglements: the disentanglement of each dimension, shape (d_hat,); 0 for a dimension that is not used.
        completenesses: the completeness of each latent, shape (d,); 0 for a latent that uses no dimension.
        informativenesses: R² of each latent, shape (d,).
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: FloatArray
    disentanglements: FloatArray
    completenesses: FloatArray
    informativenesses: FloatArray


def dci(
    z: ArrayLike,
    z_hat: ArrayLike,
    *,
    regressor: str = "lasso",
    test_z: ArrayLike | None = None,
    test_z_hat: ArrayLike | None = None,
    test_fraction: float = 0.5,
    seed: int = 0,
) -> DCI:
    """Disentanglement, completeness and informativeness of an embedding.

    A regressor is fitted from the embedding to each latent. With R_ij ≥ 0 the importance of dimension i for latent j,

        D_i = 1 - H(R_i· / Σ_j R_ij) / log d,    C_j = 1 - H(R_·j / Σ_i R_ij) / log d_hat,    H the entropy,

    and D and C are the means weighted by importance: a dimension by Σ_j R_ij, a latent by Σ_i R_ij. Everything is
    standardised by the training rows, so that shifts and scales of the columns do not matter.

    D and C say nothing about an embedding whose informativeness is about 0: they then describe noise. Noise also
    leaves small importances, which the entropy counts: compare embeddings at equal numbers of rows.

    Arguments:
        z: true latents, shape (rows, d).
        z_hat: embedding, shape (rows, d_hat). Constant (collapsed) dimensions are not used.
        regressor: "lasso", importance = |coefficient|, the penalty chosen for each latent by 5-fold cross-validation
            on the training rows; of dimensions that are copies of each other it may choose any. Or "forest", a random
            forest, importance = share of the reduction of squared error, the size of the leaves chosen by the error
            out of bag; copies share the importance. Here every latent has the total importance 1, even one that the
            embedding says nothing about.
        test_z, test_z_hat: rows to score informativeness on; the regressors are then fitted on all rows of `z`.
        test_fraction: share of the rows to score on if no test set is given, in (0, 1).
        seed: the seed of the random split, the folds and the forest.

    Returns:
        The `DCI`. Its informativeness is R² where the reference has an error (normalised; about the root of 1 - R²).

    Raises:
        TypeError: if an input is not an array or tensor of real numbers.
        ValueError: if shapes do not fit together, an entry is not finite, a latent is constant in the rows to fit or
            to score on (names its column), there are fewer than 10 rows to fit on, or `regressor` is unknown.

    See also: `mean_correlation`, `block_leakage`.

    References:
        Eastwood, Williams, "A Framework for the Quantitative Evaluation of Disentangled Representations", ICLR 2018.

    Example:
        >>> import numpy as np
        >>> from aninfonce import metrics
        >>> z = np.random.default_rng(0).normal(size=(1000, 2))
        >>> scores = metrics.dci(z, -3 * z[:, ::-1])
        >>> print(round(scores.disentanglement, 3), round(scores.completeness, 3), round(scores.informativeness, 3))
        1.0 1.0 1.0
        >>> turned = metrics.dci(z, z @ np.array([[1.0, 1.0], [-1.0, 1.0]]))
        >>> print(round(turned.disentanglement, 2), round(turned.informativeness, 2))
        0.0 1.0
    """
    fit = _REGRESSORS[nearest_name("regressor", regressor, _REGRESSORS)]
    split = latent_halves(z, z_hat, test_z, test_z_hat, test_fraction, seed)
    if len(split.train_x) < 2 * _FOLDS:
        raise ValueError(f"at least {2 * _FOLDS} rows are needed to fit the regressors, got {len(split.train_x)}")
    latents, embedding = StandardScaler().fit(split.train_x), StandardScaler().fit(split.train_y)
    targets, codes = latents.transform(split.train_x), embedding.transform(split.train_y)
    test_targets, test_codes = latents.transform(split.test_x), embedding.transform(split.test_y)
    importance = np.zeros((codes.shape[1], targets.shape[1]))
    predicted = np.empty_like(test_targets)
    for latent, target in enumerate(targets.T):
        model, importance[:, latent] = fit(codes, target, seed)
        predicted[:, latent] = model.predict(test_codes)
    scores = np.asarray(r2_score(test_targets, predicted, multioutput="raw_values"))
    disentanglement, disentanglements = _concentration(importance)
    completeness, completenesses = _concentration(importance.T)
    return DCI(
        disentanglement,
        completeness,
        float(scores.mean()),
        importance,
        disentanglements,
        completenesses,
        scores,
    )


def _lasso(codes: FloatArray, target: FloatArray, seed: int) -> tuple[Any, FloatArray]:
    folds = KFold(_FOLDS, shuffle=True, random_state=seed)
    model = LassoCV(alphas=_PENALTIES, cv=folds, max_iter=100_000, random_state=seed).fit(codes, target)
    return model, np.abs(model.coef_)


def _forest(codes: FloatArray, target: FloatArray, seed: int) -> tuple[Any, FloatArray]:
    forests = (
        RandomForestRegressor(
            _TREES,
            min_samples_leaf=leaf,
            max_samples=min(len(codes), _TREE_ROWS),
            oob_score=True,
            random_state=seed,
        ).fit(codes, target)
        for leaf in _LEAVES
        if leaf <= len(codes) / 4
    )
    model = max(forests, key=lambda forest: float(forest.oob_score_))
    return model, model.feature_importances_


_REGRESSORS: dict[str, Callable[[FloatArray, FloatArray, int], tuple[Any, FloatArray]]] = {
    "forest": _forest,
    "lasso": _lasso,
}


def _concentration(weights: Float[FloatArray, "rows columns"]) -> tuple[float, FloatArray]:
    """One minus the entropy of each row, in units of the largest possible one, and its mean weighted by the rows."""
    totals = weights.sum(axis=1)
    shares = weights / np.where(totals > 0, totals, 1.0)[:, None]
    largest = np.log(max(2, weights.shape[1]))  # a single column cannot be mixed with another: entropy 0
    scores = np.where(totals > 0, np.maximum(0.0, 1 - entr(shares).sum(axis=1) / largest), 0.0)
    total = float(totals.sum())
    return float(totals @ scores) / total if total > 0 else 0.0, scores
