"""The checks of the theory's assumptions, from the embeddings of pairs alone, and how often they ring."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from aninfonce import metrics

__all__ = ["BLIND", "CHECKS", "FAMILIES", "LEVEL", "fitted", "p_values", "rejection_rates"]

Concentration = npt.NDArray[np.float64]
Family = Callable[[Tensor, Tensor, Concentration | None, int], dict[str, float]]

LEVEL = 0.05  # at which a check rings
NEGATIVES = 8  # of an anchor when Λ̂ is refitted for each side: small groups, so that there are enough of them


def marginal(u: Tensor, v: Tensor, concentration: Concentration | None, seed: int) -> dict[str, float]:
    """Is the marginal uniform? Rayleigh's test against a preferred side, Bingham's against preferred axes."""
    return {"rayleigh": metrics.rayleigh_test(u).p_value, "bingham": metrics.bingham_test(u).p_value}


def shape(u: Tensor, v: Tensor, concentration: Concentration | None, seed: int) -> dict[str, float]:
    """Do positives look like exact draws at the Λ̂ of other pairs?"""
    if concentration is None:
        return {"conditional_shape": math.nan}
    return {"conditional_shape": metrics.conditional_shape_test(u, v, concentration, seed=seed).p_value}


def symmetry(u: Tensor, v: Tensor, concentration: Concentration | None, seed: int) -> dict[str, float]:
    """Are the two views exchangeable?"""
    return {"symmetry": metrics.symmetry_test(u, v, seed=seed).p_value}


def odds(u: Tensor, v: Tensor, concentration: Concentration | None, seed: int) -> dict[str, float]:
    """Are the log odds of the form -Σ_k Λ_k δ_k²? The two specification tests of `metrics.anisotropy`."""
    try:
        found = metrics.anisotropy(u, v, seed=seed)
    except ValueError:  # the pairs do not determine Λ: NaN says so
        return {"information_matrix": math.nan, "cross_terms": math.nan}
    return {"information_matrix": found.information_matrix.p_value, "cross_terms": found.cross_terms.p_value}


def sides(u: Tensor, v: Tensor, concentration: Concentration | None, seed: int) -> dict[str, float]:
    """Is Λ the same in both halves along every dimension? The smallest p-value after Bonferroni's correction."""
    tests = []
    for k in range(u.shape[1]):
        found = first_side(u.roll(-k, 1), v.roll(-k, 1), concentration, seed)["stationarity"]
        if math.isnan(found):
            return {"stationarity": math.nan}
        tests.append(found)
    return {"stationarity": min(1.0, len(tests) * min(tests))}


def first_side(u: Tensor, v: Tensor, concentration: Concentration | None, seed: int) -> dict[str, float]:
    """Is Λ the same in both halves along the first dimension, if that is the one under suspicion?"""
    half = u[:, 0] > u[:, 0].median()
    try:
        test = metrics.stationarity_test(u, v, half, negatives=NEGATIVES, seed=seed).test
    except ValueError:  # the pairs do not determine Λ: NaN says so
        return {"stationarity": math.nan}
    return {"stationarity": test.p_value}


# What is computed together; either "sides" or "first_side" is taken.
FAMILIES: Mapping[str, Family] = {
    "marginal": marginal,
    "shape": shape,
    "symmetry": symmetry,
    "sides": sides,
    "first_side": first_side,
    "odds": odds,
}
BLIND = ("marginal", "shape", "symmetry", "sides", "odds")  # nothing is known about the embedding

# The checks, in the order of tables and figures.
CHECKS = (
    "rayleigh",
    "bingham",
    "conditional_shape",
    "symmetry",
    "stationarity",
    "information_matrix",
    "cross_terms",
)


def fitted(u: Tensor, v: Tensor) -> metrics.Anisotropy | None:
    """The `metrics.anisotropy` of the pairs; None if they do not determine Λ."""
    try:
        return metrics.anisotropy(u, v)
    except ValueError:
        return None


def p_values(
    u: Tensor, v: Tensor, concentration: Concentration | None, seed: int, families: Sequence[str] = BLIND
) -> dict[str, float]:
    """What the checks say about one sample of pairs.

    Arguments:
        u: embeddings of anchors, shape (rows, dim), of unit norm.
        v: embeddings of their positives, the same shape.
        concentration: Λ̂ from other pairs, as `fitted` finds it; None if they did not determine it.
        seed: the seed of draws, swaps and groups.
        families: which to compute.

    Returns:
        Check -> p-value; NaN where the pairs do not determine Λ̂, and the check with it.
    """
    found: dict[str, float] = {}
    for family in families:
        found |= FAMILIES[family](u, v, concentration, seed)
    return found


def rejection_rates(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Check -> share of the samples in which it rings; of those in which it could be computed, NaN if in none."""
    rates = {}
    for check in dict.fromkeys(name for sample in samples for name in sample):
        values = [sample[check] for sample in samples if not math.isnan(sample.get(check, math.nan))]
        rates[check] = float(np.mean([value < LEVEL for value in values])) if values else math.nan
    return rates
