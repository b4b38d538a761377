"""How uneven is Λ? Three summaries with confidence intervals, or the reason why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from aninfonce._typing import Float, FloatArray
from aninfonce.metrics import _curve, _ratio

__all__ = ["Interval", "summaries"]

_FEWEST_DRAWS, _MOST_DRAWS = 1000, 20_000  # of Λ̂
_IN_A_TAIL = 25  # draws beyond an end of an interval, as long as the most draws allow it


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval, low ≤ estimate ≤ high.

    Attributes:
        estimate, low, high: all NaN if the quantity is not defined; infinite where there is no bound.
        reason: why it is not defined or has no bound, in words; empty if it has.
    """

    estimate: float
    low: float
    high: float
    reason: str = ""


def summaries(
    concentration: Float[FloatArray, " dim"],
    covariance: Float[FloatArray, "dim dim"],
    dof: Float[FloatArray, " dim"],
    groups: int,
    level: float,
    seed: int,
) -> tuple[Interval, Interval, Interval]:
    """The ratio max Λ / min Λ, the participation and the effective dimensions, for Λ ≥ 0."""
    reason = _why_undefined(concentration, covariance, dof, groups, level)
    if reason:
        undefined = Interval(math.nan, math.nan, math.nan, reason)
        return undefined, undefined, undefined
    fewest = float(dof.min())
    draws = min(max(_FEWEST_DRAWS, round(2 * _IN_A_TAIL / (1 - level))), _MOST_DRAWS)
    noise = _noise(covariance, fewest, draws, seed)
    participation, effective = (
        _exponential(float(summary.log(concentration)), _curve.limits(summary, concentration, covariance, noise, level))
        for summary in (_curve.PARTICIPATION, _curve.EFFECTIVE_DIMENSIONS)
    )
    return _ratio_interval(concentration, covariance, noise, fewest, level), participation, effective


def _noise(
    covariance: Float[FloatArray, "dim dim"], dof: float, draws: int, seed: int
) -> Float[FloatArray, "draws dim"]:
    """Draws from Student's multivariate distribution: normal ones, and a common error of their scale."""
    rng = np.random.default_rng(seed)
    normal = rng.multivariate_normal(np.zeros(len(covariance)), covariance, draws, method="eigh")
    return np.asarray(normal / np.sqrt(rng.chisquare(dof, (draws, 1)) / dof))


def _exponential(log_estimate: float, log_limits: tuple[float, float]) -> Interval:
    low, high = log_limits
    return Interval(math.exp(log_estimate), math.exp(low), math.exp(high))


def _ratio_interval(
    concentration: Float[FloatArray, " dim"],
    covariance: Float[FloatArray, "dim dim"],
    noise: Float[FloatArray, "draws dim"],
    dof: float,
    level: float,
) -> Interval:
    low, high = _ratio.limits(concentration, covariance, noise, dof, level)
    smallest = float(concentration.min())
    estimate = float(concentration.max()) / smallest if smallest > 0 else math.inf
    reason = "" if math.isfinite(high) else f"entry {int(concentration.argmin())} of Λ may be zero"
    return Interval(estimate, min(low, estimate), max(high, estimate), reason)


def _why_undefined(
    concentration: Float[FloatArray, " dim"],
    covariance: Float[FloatArray, "dim dim"],
    dof: Float[FloatArray, " dim"],
    groups: int,
    level: float,
) -> str:
    dim, error = len(concentration), np.sqrt(np.diag(covariance))
    if groups <= dim:
        return (
            f"{groups} groups of rows do not tell how the errors of {dim} entries of Λ̂ depend on one another; "
            "take more rows or fewer negatives"
        )
    beyond = stdtrit(dof, 1 - (1 - level) / (2 * dim)) * error  # Bonferroni, since any entry may be the one
    lowest = int((concentration + beyond).argmin())
    if concentration[lowest] + beyond[lowest] < 0:
        return f"entry {lowest} of Λ is below zero: {concentration[lowest]:.3g} ± {error[lowest]:.2g}"
    if (concentration < beyond).all():
        return "no entry of Λ is above zero beyond its error, so that their shares are not determined"
    return ""
