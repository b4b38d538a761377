"""The interval of max Λ / min Λ, from tests of all pairs of entries.

With f = min Λ / max Λ, which stays finite when an entry is zero, and Fieller's statistic for entries j, k,

    T_jk(f) = (Λ̂_k - f Λ̂_j) / √Var(Λ̂_k - f Λ̂_j),

f is too small if T_jk(f) is too large for every pair: the pair of the largest and the smallest entry is among them, so
Student's one-sided quantile q will do. f is too large if T_jk(f) is too small for any pair. How small is too small is
drawn from the noise, for all pairs at once that may have the ratio f, those with T_jk(f) < 2.5. The first kind of error
becomes rare where many pairs may be the extreme ones, and impossible at f = 1; the second may have what it leaves.

References:
    Fieller, "Some Problems in Interval Estimation", Journal of the Royal Statistical Society B 16, 1954.
    Andrews, Soares, "Inference for Parameters Defined by Moment Inequalities Using Generalized Moment Selection",
    Econometrica 78, 2010: pairs that are far from the bound do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

from aninfonce._typing import Float, FloatArray

__all__ = ["limits"]

_CONTENDER = 2.5  # T_jk below which a pair may be the one with the smallest ratio
_ROUNDS = 20  # of the lower limit of the ratio and its critical value, in turn


def limits(
    concentration: Float[FloatArray, " dim"],
    covariance: Float[FloatArray, "dim dim"],
    noise: Float[FloatArray, "draws dim"],
    dof: float,
    level: float,
) -> tuple[float, float]:
    """Confidence limits of max Λ / min Λ, from 1 to infinity; draws of Λ̂ - Λ are given."""
    quantile = float(stdtrit(dof, (1 + level) / 2))
    observed = max(0.0, float(concentration.min() / concentration.max()))

    def smallest(f: float) -> float:
        return float(_statistics(concentration, covariance, f).min())

    f_low = 0.0 if smallest(0.0) <= quantile else _crossing(smallest, quantile, 0.0, observed)
    f_high = observed
    for _ in range(_ROUNDS):
        critical = _critical(concentration, covariance, noise, f_high, quantile, level)
        if smallest(1.0) >= -critical:
            f_high = 1.0
        if f_high == 1.0 or smallest(f_high) <= -critical:
            break
        before, f_high = f_high, _crossing(smallest, -critical, f_high, 1.0)
        if f_high <= before * (1 + 1e-3):
            break
    return 1 / f_high if f_high > 0 else math.inf, 1 / f_low if f_low > 0 else math.inf


def _errors(covariance: Float[FloatArray, "dim dim"], f: float) -> Float[FloatArray, "dim dim"]:
    variance = np.diag(covariance)
    squared = variance - 2 * f * covariance + f**2 * variance[:, None]
    return np.asarray(np.sqrt(np.maximum(squared, np.finfo(np.float64).tiny)))


def _statistics(
    concentration: Float[FloatArray, " dim"], covariance: Float[FloatArray, "dim dim"], f: float
) -> Float[FloatArray, "dim dim"]:
    """T_jk(f); infinite on the diagonal."""
    found = (concentration - f * concentration[:, None]) / _errors(covariance, f)
    np.fill_diagonal(found, np.inf)
    return np.asarray(found)


def _crossing(smallest: Callable[[float], float], value: float, near: float, far: float) -> float:
    """Where min_jk T_jk, which falls as f grows, takes a value."""
    return float(brentq(lambda f: smallest(f) - value, near, far, xtol=1e-12, rtol=1e-6))


def _critical(
    concentration: Float[FloatArray, " dim"],
    covariance: Float[FloatArray, "dim dim"],
    noise: Float[FloatArray, "draws dim"],
    f: float,
    quantile: float,
    level: float,
) -> float:
    """How far below zero the smallest T_jk of the contending pairs may lie if all their ratios are f."""
    contending = _statistics(concentration, covariance, f) < _CONTENDER
    error = _errors(covariance, f)
    lowest = np.full(len(noise), np.inf)
    for j in np.flatnonzero(contending.any(axis=1)):
        k = contending[j]
        lowest = np.minimum(lowest, ((noise[:, k] - f * noise[:, [j]]) / error[j, k]).min(axis=1))
    if not np.isfinite(lowest).all():  # no pair contends
        return quantile
    missed_above = min(float((lowest > quantile).mean()), (1 - level) / 2)
    return max(0.0, float(np.quantile(-lowest, level + missed_above)))
