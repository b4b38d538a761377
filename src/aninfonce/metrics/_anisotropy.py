"""How anisotropic are the positive pairs, as a frozen embedding sees them? Λ̂ with its standard errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from aninfonce._typing import ArrayLike, FloatArray
from aninfonce.metrics._leave_out import jackknife
from aninfonce.metrics._posterior import deal, maximum_likelihood
from aninfonce.metrics._specification import TestResult, cross_terms_test, information_matrix_test
from aninfonce.metrics._summaries import Interval, summaries

__all__ = ["Anisotropy", "Interval", "anisotropy"]


@dataclass(frozen=True, eq=False)
class Anisotropy:
    """What `anisotropy` found.

    Attributes:
        concentration: Λ̂, shape (dim,); of either sign.
        standard_error: the standard error of each entry, shape (dim,).
        covariance: the covariance of Λ̂, shape (dim, dim).
        dof: degrees of freedom of each standard error, at most the number of groups, shape (dim,). Few of them mean
            that a few anchors carry the estimate.
        low, high: confidence limits of each entry, shape (dim,).
        ratio: max Λ / min Λ, at least 1; infinite if an entry may be zero. The ratio and the next two summaries are
            those of Λ ≥ 0: entries of Λ̂ below zero count as zero. They are NaN, with the reason beside them, if an
            entry of Λ is below zero, if none is above, or if there are not more groups than dimensions.
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
        level: the level of the intervals.
    """

    concentration: FloatArray
    standard_error: FloatArray
    covariance: FloatArray
    dof: FloatArray
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
    So the groups are independent while anchors within one are not, and the covariance is the sandwich H⁻¹ S H⁻¹ / n
    with S from the sums of the scores over groups, in the form of the jackknife that leaves out one group at a time.
    It holds for a wrong model too, for the Λ that fits best; whether the model is right is what the two specification
    tests ask. The intervals of the entries are Λ̂ ± t · standard error with `dof` degrees of freedom.

    The intervals of the three summaries take Λ̂ as normal, with Student's tails, but not the summaries, which are far
    from it near an isotropic Λ and near Λ = 0. The ratio is tested pair by pair (Fieller), the other two by simulation.

    All of this is asymptotic in the number of anchors that are not easy. From 25 wrong ones on, 95 % intervals of all
    quantities were measured to cover 92 to 99 % (`docs/objectives.md`), the most where several entries are equal or
    near zero; with fewer they grow and are not to be relied on.

    Memory does not grow with rows × negatives × dim. Time does, times dim for the Hessian, and so does groups
    × dim³.

    Arguments:
        u: embeddings of the anchors, shape (rows, dim), dim ≥ 2, of pairs that the encoder was not trained on.
        v: embeddings of their positives, the same shape.
        negatives: M, from 1 to rows / 30 - 1; 16 if None, or as many as there may be.
        negatives_from: "anchors" (exact under uniform latents) or "positives" (biased a little when Λ is anisotropic,
            since the positives' marginal is not uniform then).
        normalize: project every row onto the unit sphere first.
        level: the level of the confidence intervals, in (0, 1).
        seed: the seed of the groups, and of the draws behind the intervals of the summaries.

    Returns:
        The `Anisotropy`. Rows that do not fill a last group are left out.

    Raises:
        TypeError: if an input is not an array or tensor of real numbers.
        ValueError: if the shapes differ, an entry is not finite, dim < 2, there are fewer than 60 rows, M, `level` or
            `negatives_from` is out of range, or with `normalize` a row is zero; and if Λ is not determined: dimensions
            do not vary, or vary only together, the positives can be told from the negatives without an error, or one
            group alone determines some of Λ.

    References:
        White, "Maximum Likelihood Estimation of Misspecified Models", Econometrica 50, 1982: sandwich covariance and
        information matrix test.
        Bell, McCaffrey, Survey Methodology 28, 2002: the jackknife form and its degrees of freedom.
        Fieller, Journal of the Royal Statistical Society B 16, 1954: intervals of ratios.
        Chuang, Lai, Statistica Sinica 10, 2000: intervals from simulated tests, as of the other two summaries.
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
    covariance, dof, _ = jackknife(choices, fit)
    standard_error = np.sqrt(np.diag(covariance))
    reach = stdtrit(dof, (1 + level) / 2) * standard_error
    ratio, participation, effective = summaries(fit.concentration, covariance, dof, choices.groups, level, seed)
    return Anisotropy(
        concentration=fit.concentration,
        standard_error=standard_error,
        covariance=covariance,
        dof=dof,
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
