"""The interval of a smooth summary of Λ, by inverting a test along a curve of hypotheses.

Λ̂ is taken as normal about Λ, with Student's tails for an estimated covariance C. A summary f of the shares of Λ that
is largest, log dim, where all entries are equal is far from normal: noise alone makes Λ̂ less even than Λ. So every
value is tested by simulation. The hypotheses are the Λ on the curve dΛ ∝ C ∇f through Λ̂, on which a change of f costs
least (Stein's least favourable family); a Λ stays in the interval unless f of its draws lies beyond f(Λ̂) too rarely:

    f(Λ) > f(Λ̂):   P(f(Λ + noise) ≤ f(Λ̂)) > α - α₁           f(Λ) < f(Λ̂):   P(f(Λ + noise) ≥ f(Λ̂)) > α₁

α₁ is α/2 far from an even Λ. An even Λ has no Λ more even, so there α₁ is 0, and in between, μ standard errors from
it, as the likelihood ratio orders the outcomes of a normal mean that is known not to be negative.

References:
    Chuang, Lai, "Hybrid Resampling Methods for Confidence Intervals", Statistica Sinica 10, 2000.
    Feldman, Cousins, "Unified Approach to the Classical Statistical Analysis of Small Signals", Physical Review D 57,
    1998: α₁.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import entr, ndtr, ndtri

from aninfonce._typing import Float, FloatArray

__all__ = ["EFFECTIVE_DIMENSIONS", "PARTICIPATION", "Summary", "limits"]

_STEP = 0.25  # standard errors along the curve
_FURTHEST = 12.0  # standard errors from Λ̂; where entries are zero, their noise blurs a summary for long
_SMALLEST_STEP = 1e-3
_MOST_STEPS = 80  # in each direction


@dataclass(frozen=True)
class Summary:
    """A function of the shares of the positive part of Λ, from 0 (one entry has all) to log dim, and its gradient."""

    log: Callable[[FloatArray], FloatArray]
    gradient: Callable[[FloatArray], FloatArray]


def _shares(concentration: Float[FloatArray, "*n dim"]) -> FloatArray:
    positive = np.maximum(concentration, 0.0)
    total = positive.sum(axis=-1, keepdims=True)
    return np.asarray(positive / np.where(total > 0, total, 1.0))


def _log_participation(concentration: Float[FloatArray, "*n dim"]) -> FloatArray:
    squares = (_shares(concentration) ** 2).sum(axis=-1)
    return np.asarray(-np.log(np.where(squares > 0, squares, 1.0)))


def _log_participation_gradient(concentration: Float[FloatArray, " dim"]) -> FloatArray:
    return np.asarray(2 / concentration.sum() - 2 * concentration / (concentration**2).sum())


def _entropy(concentration: Float[FloatArray, "*n dim"]) -> FloatArray:
    return np.asarray(entr(_shares(concentration)).sum(axis=-1))


def _entropy_gradient(concentration: Float[FloatArray, " dim"]) -> FloatArray:
    share = _shares(concentration)
    return np.asarray(-(np.log(share) + entr(share).sum()) / concentration.sum())


PARTICIPATION = Summary(_log_participation, _log_participation_gradient)
EFFECTIVE_DIMENSIONS = Summary(_entropy, _entropy_gradient)


class _Point(NamedTuple):
    concentration: FloatArray
    value: float
    place: float  # standard errors along the curve, growing with the value; 0 at Λ̂


def limits(
    summary: Summary,
    concentration: Float[FloatArray, " dim"],
    covariance: Float[FloatArray, "dim dim"],
    noise: Float[FloatArray, "draws dim"],
    level: float,
) -> tuple[float, float]:
    """Confidence limits of the summary's logarithm, from 0 to log dim; draws of Λ̂ - Λ are given."""
    observed, top = float(summary.log(concentration)), math.log(len(concentration))
    start = np.maximum(concentration + 1e-6 * noise[0], 0.0)  # an even Λ̂ has no gradient to follow
    here = _Point(start, float(summary.log(start)), 0.0)
    down = [here, *_follow(summary, here, covariance, -1)]
    up = [here, *_follow(summary, here, covariance, 1)]
    if up[-1].place < _FURTHEST:
        up += _straight_to_even(summary, up[-1], covariance)
    boundary = up[-1].place if top - up[-1].value < 1e-9 else math.inf

    def margin(point: _Point, sign: int) -> float:
        drawn = summary.log(point.concentration + noise)
        towards_even = _alpha_one(boundary - point.place, 1 - level)
        beyond = sign * (observed - drawn) >= -1e-12
        rarity = max(float(beyond.mean()), 1 / len(noise))  # as far as the draws can tell
        return rarity - (1 - level - towards_even if sign > 0 else towards_even)

    low = _crossing(down, partial(margin, sign=-1), 0.0)
    high = _crossing(up, partial(margin, sign=1), top)
    return min(low, observed), max(high, observed)


def _crossing(points: list[_Point], margin: Callable[[_Point], float], extreme: float) -> float:
    """Where the margin first falls to zero on the way from Λ̂; the extreme if it does not.

    It may rise again much further on, where draws of a Λ whose errors cannot be those of Λ̂ any more scatter widely.
    """
    inside, left = points[0], margin(points[0])
    if left <= 0:
        return inside.value
    for point in points[1:]:
        here = margin(point)
        if here <= 0:
            return inside.value + left / (left - here) * (point.value - inside.value)
        inside, left = point, here
    return extreme


def _follow(summary: Summary, here: _Point, covariance: Float[FloatArray, "dim dim"], sign: int) -> list[_Point]:
    """Go up or down the summary, by a constant number of standard errors while that leads further."""
    found: list[_Point] = []
    while abs(here.place) < _FURTHEST and len(found) < _MOST_STEPS:
        at = here.concentration
        gradient = sign * summary.gradient(np.maximum(at, 1e-9 * at.max()))
        held = (at <= 0) & (gradient < 0)
        gradient[held] = 0.0
        direction = np.where(held, 0.0, covariance @ gradient)
        slope = float(gradient @ direction)
        if slope <= 0:
            break
        direction /= math.sqrt(slope)
        step = _STEP
        while True:
            moved = np.maximum(at + step * direction, 0.0)
            value = float(summary.log(moved))
            if sign * (value - here.value) > 1e-12:
                break
            step /= 2
            if step < _SMALLEST_STEP:
                return found
        here = _Point(moved, value, here.place + sign * step)
        found.append(here)
    return found


def _straight_to_even(summary: Summary, here: _Point, covariance: Float[FloatArray, "dim dim"]) -> list[_Point]:
    """The summary is quasi-concave, so it grows all the way to the nearest even Λ."""
    weight = 1 / np.maximum(np.diag(covariance), np.finfo(np.float64).tiny)
    way = float(weight @ here.concentration / weight.sum()) - here.concentration
    length = math.sqrt(float(weight @ way**2))
    parts = np.linspace(0.0, 1.0, math.ceil(min(length, _FURTHEST) / _STEP) + 2)[1:]
    path = [here.concentration + part * way for part in parts]
    return [
        _Point(at, float(summary.log(at)), here.place + part * length) for at, part in zip(path, parts, strict=True)
    ]


def _alpha_one(distance: float, alpha: float) -> float:
    """The lower tail of x ~ N(μ, 1), μ ≥ 0 known, when the ratio p(x | μ) / p(x | max(x, 0)) orders the outcomes.

    The upper tail begins at μ + c, and the lower at the x < 0 where xμ - μ²/2 = -c²/2; together they have α.
    """
    if distance >= ndtri(1 - alpha / 2):
        return alpha / 2
    if distance < 1e-6:
        return 0.0

    def excess(c: float) -> float:
        return float(ndtr(-c) + ndtr(-distance / 2 - c**2 / (2 * distance)) - alpha)

    c = float(brentq(excess, ndtri(1 - alpha), ndtri(1 - alpha / 2)))
    return float(ndtr(-distance / 2 - c**2 / (2 * distance)))
