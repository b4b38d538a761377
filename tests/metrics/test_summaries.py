"""The intervals of the ratio, the participation and the effective dimensions, for a Λ̂ that is exactly normal."""

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from aninfonce.metrics import _curve
from aninfonce.metrics._summaries import summaries

NAMES = ("ratio", "participation", "effective_dimensions")


def truth(concentration):
    share = np.array(concentration) / sum(concentration)
    return (
        math.inf if share.min() == 0 else float(share.max() / share.min()),
        float(1 / (share**2).sum()),
        math.exp(-sum(s * math.log(s) for s in share if s > 0)),
    )


def of(lam, covariance, *, dof=1e6, groups=1000, level=0.95):
    return summaries(lam, covariance, np.full(len(lam), float(dof)), groups, level, 0)


@pytest.mark.parametrize(
    ("concentration", "error", "number"),
    [
        ([5.0, 5.0, 5.0], 0.5, 60),
        ([10.0, 10.0, 10.0, 0.05], [0.7, 0.7, 0.7, 0.08], 60),
        pytest.param([5.0, 5.0, 5.0], 0.5, 300, marks=pytest.mark.slow),
        pytest.param([5.0] * 10, 0.5, 300, marks=pytest.mark.slow),
        pytest.param([5.0, 5.0, 4.0, 4.0], 0.4, 300, marks=pytest.mark.slow),
        pytest.param([20.0, 10.0, 5.0], [1.0, 0.8, 0.6], 300, marks=pytest.mark.slow),
        pytest.param([3.0, 0.0], 0.3, 300, marks=pytest.mark.slow),
        pytest.param([30.0, 3.0, 3.0, 3.0, 1.0], [1.8, 0.23, 0.23, 0.23, 0.12], 300, marks=pytest.mark.slow),
    ],
)
def test_coverage(concentration, error, number):
    rng = np.random.default_rng(0)
    lam, covariance = np.array(concentration), np.diag(np.broadcast_to(error, len(concentration)) ** 2.0)
    found = [of(rng.multivariate_normal(lam, covariance), covariance) for _ in range(number)]
    for name, value, intervals in zip(NAMES, truth(concentration), zip(*found, strict=True), strict=True):
        defined = [one for one in intervals if not math.isnan(one.low)]
        assert len(defined) >= 0.93 * number, name
        covered = sum(i.low <= value * (1 + 1e-9) and value * (1 - 1e-9) <= i.high for i in defined)
        assert covered >= binom.ppf(0.001, len(defined), 0.95), name


def test_the_ratio_of_two_entries_is_bounded_by_fieller():
    lam, covariance = np.array([8.0, 3.0]), np.array([[0.5, 0.1], [0.1, 0.2]])
    low, high = of(lam, covariance)[0].low, of(lam, covariance)[0].high
    q = norm.ppf(0.975)
    # (Λ̂₁ - rΛ̂₂)² = q² Var(Λ̂₁ - rΛ̂₂), a quadratic equation in r
    a = lam[1] ** 2 - q**2 * covariance[1, 1]
    b = -2 * (lam[0] * lam[1] - q**2 * covariance[0, 1])
    c = lam[0] ** 2 - q**2 * covariance[0, 0]
    roots = np.sort(np.roots([a, b, c]))
    assert high == pytest.approx(roots[1], rel=1e-4)
    assert low == pytest.approx(roots[0], rel=0.03)  # its quantile is drawn


def test_the_ratio_has_no_upper_bound_where_fieller_has_none():
    bounded, unbounded = (of(np.array([8.0, small]), np.eye(2))[0] for small in (2.0, 1.9))
    assert math.isfinite(bounded.high)
    assert bounded.reason == ""
    assert unbounded.high == math.inf
    assert unbounded.reason == "entry 1 of Λ may be zero"
    assert 1 < unbounded.low < unbounded.estimate == 8.0 / 1.9


def test_a_spread_that_is_known_exactly():
    for summary in of(np.array([8.0, 4.0, 2.0]), 1e-10 * np.eye(3)):
        assert summary.low == pytest.approx(summary.estimate, rel=1e-4)
        assert summary.high == pytest.approx(summary.estimate, rel=1e-4)


def test_a_common_factor_changes_nothing():
    lam, covariance = np.array([8.0, 4.0, 2.0]), np.diag([1.0, 0.5, 0.3])
    for plain, scaled in zip(of(lam, covariance), of(1e6 * lam, 1e12 * covariance), strict=True):
        for end in ("estimate", "low", "high"):
            assert getattr(scaled, end) == pytest.approx(getattr(plain, end), rel=1e-6)


def test_a_higher_level_and_fewer_degrees_of_freedom_are_wider():
    lam, covariance = np.array([8.0, 4.0, 2.0]), np.diag([0.4, 0.2, 0.1])
    kinds = (
        of(lam, covariance, level=0.5),
        of(lam, covariance),
        of(lam, covariance, dof=5),
        of(lam, covariance, level=0.99),
    )
    for i in range(3):
        lows, highs = zip(*((found[i].low, found[i].high) for found in kinds), strict=True)
        assert lows[0] > lows[1] > max(lows[2:])
        assert highs[0] < highs[1] < min(highs[2:])


def test_exactly_equal_entries():
    ratio, participation, effective = of(np.full(4, 5.0), 0.1 * np.eye(4))
    assert ratio.low == ratio.estimate == 1
    assert participation.estimate == participation.high == pytest.approx(4)
    assert 3.9 < participation.low < 3.9999
    assert 3.95 < effective.low < effective.high == pytest.approx(4)


@pytest.mark.parametrize("distance", [0.0, 1e-7, 0.01, 0.5, 1.0, 1.9, 1.96, 5.0])
def test_alpha_one(distance):
    """Both tails have α together, and begin where the likelihood ratio is the same."""
    lower = _curve._alpha_one(distance, 0.05)
    assert 0 <= lower <= 0.025
    c = norm.isf(0.05 - lower)
    if 0.5 <= distance < 1.95:
        x = distance + norm.ppf(lower)
        assert x < 0
        assert x * distance - distance**2 / 2 == pytest.approx(-(c**2) / 2, abs=1e-6)
    assert c == pytest.approx(norm.isf(0.05 if distance <= 1e-7 else 0.05 - lower))
    if distance >= 1.96:
        assert lower == pytest.approx(0.025)
