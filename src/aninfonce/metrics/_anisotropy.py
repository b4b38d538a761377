"""How anisotropic are the positive pairs, as a frozen embedding sees them? Λ̂ with its standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import entr, ndtri, softmax

from aninfonce._typing import ArrayLike, Float, FloatArray
from aninfonce.metrics._posterior import Evaluation, deal, maximum_likelihood
from aninfonce.metrics._specification import TestResult, cross_terms_test, information_matrix_test

__all__ = ["Anisotropy", "Interval", "anisotropy"]

_DRAWS = 1000  # of Λ̂, for the intervals of the summaries
_HALVINGS = 12  # of the bracket around an end of an interval
_FURTHEST = 64.0  # times the spread of log Λ̂


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval, low ≤ estimate ≤ high; all NaN if it is not defined."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Anisotropy:
    """What `anisotropy` found.

    Attributes:
        concentration: Λ̂, shape (dim,); of either sign.
        standard_error: of each entry, shape (dim,).
        covariance: of Λ̂, shape (dim, dim).
        low, high: confidence limits of each entry, shape (dim,).
        ratio: max Λ / min Λ, at least 1. This and the next two are NaN if an entry of Λ̂ is not positive.
        participation: (ΣΛ)² / ΣΛ², from 1 to dim (isotropic).
        effective_dimensions: exp of the entropy of Λ / ΣΛ, from 1 to dim (isotropic).
        information_matrix: White's test, on the diagonal of H - S. A small p-value says that the log odds are not of
            the form -Σ_k Λ_k δ_k² with one Λ for all pairs: other tails, or a Λ that depends on the anchor.
        cross_terms: the score test against added terms δ_j δ_k. A small p-value says that Λ is not diagonal in these
            coordinates, as in a rotated embedding, to which `information_matrix` is nearly blind.
        hit_at_1: fraction of anchors whose positive is the most probable candidate under Λ̂. Near 1 the loss is
            saturated and Λ̂ hardly determined.
        loss: mean of -log π⁺ at Λ̂, on the rows that Λ̂ was fitted on.
        chance_loss: log(M + 1), the loss of an embedding that says nothing.
        effective_candidates: mean of 1 / Σ_c π_c², from 1 to M + 1.
        n: anchors used.
        negatives: M, for each anchor.
        level: of the intervals.
    """

    concentration: FloatArray
    standard_error: FloatArray
    covariance: FloatArray
    low: FloatArray
    high: FloatArray
    ratio: Interval
    participation: Interval
    effective_dimensions: Interval
    information_matrix: TestResult
    cross_terms: TestResult
    hit_at_1: float
    loss: float
    chance_loss: float
    effective_candidates: float
    n: int
    negatives: int
    level: float


def anisotropy(
    u: ArrayLike,
    v: ArrayLike,
    *,
    negatives: int | None = None,
    negatives_from: str = "anchors",
    normalize: bool = True,
    level: float = 0.95,
    seed: int = 0,
) -> Anisotropy:
    """Estimate how strongly each dimension of a frozen embedding is held fixed within positive pairs.

    Λ̂ is the maximum likelihood estimate of Λ in the posterior of which candidate is the positive, among one positive
    and M negatives, with log odds -Σ_k Λ_k (u_k - c_k)². The problem is convex and Λ is free in sign. If the
    conditional is p(v | u) ∝ exp(-(v - u)ᵀ Λ (v - u)) and the negatives are uniform on the sphere, this posterior is
    exact and Λ̂ estimates Λ, for every M; a larger M gives smaller standard errors, up to where all candidates count.

    The rows are dealt at random into groups of M + 1, and the negatives of an anchor are the other rows of its group.
    So the groups are independent while anchors within one are not, and the covariance is the sandwich
    H⁻¹ S H⁻¹ / n with S from the sums of the scores over groups. It holds for a wrong model too, for the Λ that fits
    best; whether the model is right is what the two specification tests ask. What counts for the normal approximation
    is the number of anchors that are not easy: with 50 wrong ones, 95 % intervals cover about 92 %.

    The intervals of the three summaries take log Λ̂ as normal. The delta method would fail them near an isotropic Λ,
    where the noise alone spreads the entries of Λ̂, the ratio has a corner and the other two have their maximum. The
    ratio is bounded by simultaneous limits for all pairs of dimensions; the other two by inverting a test.

    Memory does not grow with rows × negatives × dim. Time does, times dim for the Hessian.

    Arguments:
        u: embeddings of the anchors, shape (rows, dim), dim ≥ 2, of pairs that the encoder was not trained on.
        v: embeddings of their positives, the same shape.
        negatives: M, from 1 to rows / 30 - 1; 16 if None, or as many as there may be.
        negatives_from: "anchors" (exact under uniform latents) or "positives" (biased a little when Λ is anisotropic,
            since the positives' marginal is not uniform then).
        normalize: project every row onto the unit sphere first.
        level: of the confidence intervals, in (0, 1).
        seed: of the groups, and of the draws behind the intervals of the summaries.

    Returns:
        The `Anisotropy`. Rows that do not fill a last group are left out.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers.
        ValueError: if the shapes differ, an entry is not finite, dim < 2, there are fewer than 60 rows, M, `level` or
            `negatives_from` is out of range, or with `normalize` a row is zero; and if Λ is not determined: dimensions
            do not vary, or vary only together, or the positives can be told from the negatives without an error.

    References:
        White, "Maximum Likelihood Estimation of Misspecified Models", Econometrica 50, 1982: sandwich covariance and
        information matrix test.
        Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", arXiv 2407.00143: the conditional.

    Example:
        >>> import torch
        >>> from aninfonce import metrics
        >>> from aninfonce.distributions import AnisotropicSpherical, HypersphericalUniform
        >>> generator = torch.Generator().manual_seed(1)
        >>> z = HypersphericalUniform(3).sample((2000,), generator=generator)
        >>> positive = AnisotropicSpherical(z, torch.tensor([12.0, 6.0, 3.0])).sample(generator=generator)
        >>> result = metrics.anisotropy(z, positive)
        >>> error = abs(result.concentration - [12.0, 6.0, 3.0])
        >>> print((error < 3 * result.standard_error).all(), result.ratio.low < 4 < result.ratio.high)
        True True
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    choices = deal(u, v, negatives=negatives, negatives_from=negatives_from, normalize=normalize, seed=seed)
    fit = maximum_likelihood(choices)
    covariance = _sandwich(fit, len(choices.anchors))
    standard_error = np.sqrt(np.diag(covariance))
    reach = float(ndtri((1 + level) / 2)) * standard_error
    ratio, participation, effective = _summaries(fit.concentration, covariance, level, seed)
    return Anisotropy(
        concentration=fit.concentration,
        standard_error=standard_error,
        covariance=covariance,
        low=fit.concentration - reach,
        high=fit.concentration + reach,
        ratio=ratio,
        participation=participation,
        effective_dimensions=effective,
        information_matrix=information_matrix_test(choices, fit),
        cross_terms=cross_terms_test(choices, fit, seed),
        hit_at_1=fit.hit_at_1,
        loss=fit.loss,
        chance_loss=math.log(choices.size),
        effective_candidates=fit.effective_candidates,
        n=len(choices.anchors),
        negatives=choices.size - 1,
        level=level,
    )


def _sandwich(fit: Evaluation, n: int) -> Float[FloatArray, "dim dim"]:
    # H⁻¹ S H⁻¹ / n with S = Σ_groups (Σ_i g_i)(Σ_i g_i)ᵀ / n.
    influence = np.linalg.solve(fit.hessian, fit.group_scores.T) / n
    groups = influence.shape[1]
    return np.asarray(influence @ influence.T * (groups / (groups - 1)))


def _summaries(
    concentration: Float[FloatArray, " dim"], covariance: Float[FloatArray, "dim dim"], level: float, seed: int
) -> tuple[Interval, Interval, Interval]:
    if concentration.min() <= 0:
        undefined = Interval(math.nan, math.nan, math.nan)
        return undefined, undefined, undefined
    log = np.log(concentration)
    relative = covariance / np.outer(concentration, concentration)  # of log Λ̂, to first order
    noise = np.random.default_rng(seed).multivariate_normal(np.zeros(len(log)), relative, _DRAWS, method="eigh")
    return (
        _ratio(log, relative, noise, level),
        _interval(_log_participation, log, noise, level),
        _interval(_entropy, log, noise, level),
    )


def _ratio(
    log: Float[FloatArray, " dim"],
    covariance: Float[FloatArray, "dim dim"],
    noise: Float[FloatArray, "draws dim"],
    level: float,
) -> Interval:
    """Bound max_jk (log Λ_j - log Λ_k), from below by all pairs at once, from above by the pair that is the largest."""
    variance = np.diag(covariance)
    error = np.sqrt(np.maximum(variance[:, None] + variance - 2 * covariance, np.finfo(np.float64).tiny))
    furthest = np.zeros(len(noise))
    for k in range(len(log) - 1):
        deviation = np.abs(noise[:, k, None] - noise[:, k + 1 :]) / error[k, k + 1 :]
        furthest = np.maximum(furthest, deviation.max(axis=1))
    tail = (1 + level) / 2
    gap = log[:, None] - log
    low = max(0.0, float((gap - np.quantile(furthest, tail) * error).max()))
    high = float((gap + ndtri(tail) * error).max())
    return Interval(math.exp(gap.max()), math.exp(low), math.exp(high))


def _log_participation(log: Float[FloatArray, "*n dim"]) -> FloatArray:
    return np.asarray(-np.log((softmax(log, axis=-1) ** 2).sum(axis=-1)))


def _entropy(log: Float[FloatArray, "*n dim"]) -> FloatArray:
    return np.asarray(entr(softmax(log, axis=-1)).sum(axis=-1))


def _interval(
    log_summary: Callable[[FloatArray], FloatArray],
    log: Float[FloatArray, " dim"],
    noise: Float[FloatArray, "draws dim"],
    level: float,
) -> Interval:
    """Invert the test of log Λ = s·(log Λ̂ - mean), s ≥ 0: keep each s whose draws do not set Λ̂ apart.

    The summary falls from dim as s grows, since a larger s majorises a smaller one.
    """
    spread = log - log.mean()
    estimate = float(log_summary(log))

    def end(quantile: float) -> float:
        """Return the summary at the s whose draws have the estimate as their quantile."""

        def too_far(s: float) -> bool:
            return float(np.quantile(log_summary(s * spread + noise), quantile)) <= estimate

        near, far = 0.0, 1.0
        if too_far(near):
            return math.log(len(log))
        while not too_far(far) and far < _FURTHEST:
            near, far = far, 2 * far
        for _ in range(_HALVINGS):
            middle = (near + far) / 2
            near, far = (near, middle) if too_far(middle) else (middle, far)
        return float(log_summary(far * spread))

    # A noisy Λ̂ overstates the anisotropy, so much at times that the estimate lies outside what is left.
    ends = (end((1 - level) / 2), end((1 + level) / 2), estimate)
    return Interval(*(math.exp(value) for value in (estimate, min(ends), max(ends))))
