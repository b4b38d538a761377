"""Is the posterior's model right? Moment tests whose covariance the model itself provides.

Given an anchor and its candidates, the model says with which probability π_c each candidate is the positive. So for
any indicator x_c whose mean Σ_c π_c x_c is zero, the covariance of the observed x⁺ is known, and so is its
correlation with the score, which must be taken off because Λ̂ was fitted:

    w = x - A g,  A = E[x gᵀ] H⁻¹,   V = E[x xᵀ] - A E[g xᵀ],   n · w̄ᵀ V⁻¹ w̄ ~ χ²,   E over π and over the anchors.

The usual form, with moments of the data in the place of E, rejects a true model several times too often.

References:
    White, "Maximum Likelihood Estimation of Misspecified Models", Econometrica 50, 1982: the information matrix test.
    Newey, "Maximum Likelihood Specification Testing and Conditional Moment Tests", Econometrica 53, 1985.
    Orme, "The Small-Sample Performance of the Information-Matrix Test", Journal of Econometrics 46, 1990: the
    expectations under the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from aninfonce._typing import Float, FloatArray
from aninfonce.metrics._posterior import Choices, Evaluation, posteriors

__all__ = ["TestResult", "cross_terms_test", "information_matrix_test"]

_PAIRS = 200  # pairs of dimensions at most: all of them up to 20 dimensions
_PER_TERM = 10  # undecided anchors: with fewer the statistic is not yet χ²

Indicator = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class TestResult:
    """The outcome of a statistical test.

    Attributes:
        statistic: large if the hypothesis is wrong.
        p_value: in [0, 1], the probability of a statistic at least as large if the hypothesis is true.
        dof: the degrees of freedom of the reference distribution: one number for χ², two for F, none for a
            permutation test.
    """

    __test__ = False  # not a test case, whatever pytest makes of the name

    statistic: float
    p_value: float
    dof: tuple[int, ...] = ()


def information_matrix_test(choices: Choices, fit: Evaluation) -> TestResult:
    """Test H = E[g gᵀ], on the diagonal: are the squared scores as large as the model says?"""

    def indicator(difference: FloatArray, probability: FloatArray) -> FloatArray:
        return -_centred(_centred(difference**2, probability) ** 2, probability)  # Var_π(δ²) - g²

    return _moment_test(choices, fit, indicator, choices.u.shape[1])


def cross_terms_test(choices: Choices, fit: Evaluation, seed: int) -> TestResult:
    """Score test of adding terms δ_j δ_k, j < k, to the log odds: is Λ diagonal in these coordinates?"""
    left, right = np.triu_indices(choices.u.shape[1], 1)
    count = min(len(left), _PAIRS, max(1, round(_undecided(choices, fit) / _PER_TERM)))
    chosen = np.random.default_rng(seed).permutation(len(left))[:count]
    left, right = left[chosen], right[chosen]

    def indicator(difference: FloatArray, probability: FloatArray) -> FloatArray:
        return _centred(difference[..., left] * difference[..., right], probability)

    return _moment_test(choices, fit, indicator, count)


def _undecided(choices: Choices, fit: Evaluation) -> float:
    """For how many anchors the choice is open, Σ_anchors (1 - Σ_c π_c²); one that is sure tells nothing."""
    found = 0.0
    for _, _, _, _, probability in posteriors(choices, fit.concentration, choices.u.shape[1]):
        found += float((1 - (probability**2).sum(axis=1)).sum())
    return found


def _centred(x: Float[FloatArray, "n size k"], probability: Float[FloatArray, "n size"]) -> FloatArray:
    """Subtract the mean under π."""
    return np.asarray(x - probability[:, None] @ x)


def _moment_test(choices: Choices, fit: Evaluation, indicator: Indicator, width: int) -> TestResult:
    dim = choices.u.shape[1]
    # The moments of (x, g) together, of which only sums are kept.
    expected, observed = np.zeros((2, width + dim, width + dim))
    group_sums = np.zeros((choices.groups, width + dim))
    for groups, positive, difference, _, probability in posteriors(choices, fit.concentration, width + dim):
        score = _centred(difference**2, probability)
        both = np.concatenate([indicator(difference, probability), score], axis=2)
        weighted = (both * np.sqrt(probability)[..., None]).reshape(-1, width + dim)
        expected += weighted.T @ weighted
        observed += both[positive].T @ both[positive]
        np.add.at(group_sums, groups, both[positive])
    adjustment = np.linalg.solve(expected[width:, width:], expected[width:, :width]).T  # A
    take = np.c_[np.eye(width), -adjustment]  # w = take (x, g)
    scale = np.sqrt(np.diag(take @ expected @ take.T))
    take /= np.where(scale > 0, scale, 1.0)[:, None]
    values, vectors = np.linalg.eigh(take @ expected @ take.T)
    kept = values > 1e-9  # indicators that are combinations of others or of the score say nothing new
    whiten = (vectors[:, kept] / np.sqrt(values[kept])).T @ take
    total = whiten @ group_sums.sum(axis=0)
    # Anchors of one group share candidates, which adds a few percent to the variance of the sum.
    single = float(np.trace(whiten @ observed @ whiten.T))
    inflation = float(((group_sums @ whiten.T) ** 2).sum()) / single if single > 0 else 1.0
    statistic = float(total @ total) / max(1.0, inflation)
    dof = int(kept.sum())
    return TestResult(statistic, float(chi2.sf(statistic, dof)), (dof,))
