"""Harder negatives than uniform ones, and what each rule makes of Λ̂."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from aninfonce.distributions import AnisotropicSpherical
from aninfonce.objectives import Debiased, Reweighted, Tilted, TopK
from aninfonce.verification._check import Measurement, Statement, above, below, equal
from aninfonce.verification._oracle import FEW, Batch, Draws, concentrations, fit, losses, objective, spread

__all__ = ["STATEMENTS"]

SECTION = "hard-negatives"
STEEP = concentrations(20.0, 10.0, 5.0, 2.0)
TILT = concentrations(5.0, 10.0, 2.0, 4.0)
THREE = concentrations(10.0, 5.0, 2.0)
MANY = 256  # negatives, where the statement is about many of them
MANY_BIAS = 0.03  # relative, of 256 instead of infinitely many: it is 2 %
KEPT = 4  # hardest negatives


def _tilted(draws: Draws) -> list[Batch]:
    """Sixteen negatives of each anchor from p⁻(c|z) ∝ exp(-(c-z)ᵀΛ⁻(c-z)), and their log densities."""
    batches = []
    for n in draws.rows(800):
        z, positive = draws.pairs(n, STEEP)
        negatives = AnisotropicSpherical(z[:, None], TILT).expand((n, 16)).sample(generator=draws.generator)
        log_q = tuple(-((c - anchor) ** 2 @ TILT) for c, anchor in ((positive, z), (negatives, z[:, None])))
        batches.append(Batch(z, positive, negatives, (log_q[0], log_q[1])))
    return batches


def tilted(draws: Draws) -> list[Measurement]:
    """Without a correction, and with each of the two that the library offers."""
    corrected = _tilted(draws)
    plain = [batch._replace(log_q=None) for batch in corrected]
    start = torch.full_like(STEEP, 4.0)
    rows = []
    for name, value, batches, predicted in (
        ("uncorrected", objective(4), plain, STEEP - TILT),
        ("log_q=", objective(4), corrected, STEEP),
        ("Tilted", objective(4, hard_negatives=Tilted(TILT)), plain, STEEP),
    ):
        found = fit(value, batches, start)
        rows.append(equal(f"Λ̂, {name}", found.concentration, predicted, found.standard_error, dof=found.dof))
    return rows


def reweighted(draws: Draws) -> list[Measurement]:
    """(1 + β)Λ̂ with detached weights."""
    batches = draws.explicit(256, MANY, THREE, shared=True)
    rows = []
    for beta in (0.5, 1.0, 2.0):
        value = objective(3, hard_negatives=Reweighted(beta))
        found = fit(value, batches, THREE.mean().expand(3) / (1 + beta))
        estimate, error = (1 + beta) * found.concentration, (1 + beta) * found.standard_error
        rows.append(
            equal(f"(1 + β)Λ̂, β = {beta:g}", estimate, THREE, error, allowance=MANY_BIAS * THREE, dof=found.dof)
        )
    return rows


def few_reweighted(draws: Draws) -> list[Measurement]:
    """The same with 16 negatives."""
    found = fit(objective(3, hard_negatives=Reweighted(1.0)), draws.explicit(1000, 16, THREE), THREE.mean().expand(3))
    estimate, error = 2 * found.concentration, 2 * found.standard_error
    return [above("2Λ̂, β = 1, M = 16", estimate, THREE, error, dof=found.dof)]


def attached(draws: Draws) -> list[Measurement]:
    """The weights w_j ∝ e^{βs_j} not detached, written out: log(1 + e^{-p} M Σ_j w_j e^{s_j})."""
    beta = 1.0

    def value(concentration: Tensor, batch: Batch) -> Tensor:
        assert batch.negatives is not None
        p = -((batch.u - batch.v) ** 2 @ concentration)
        s = -((batch.u[:, None] - batch.negatives) ** 2 @ concentration)
        mean = torch.logsumexp((1 + beta) * s, 1) - torch.logsumexp(beta * s, 1)
        return F.softplus(math.log(s.shape[1]) + mean - p).mean()

    # Convex near its small minimum only.
    found = fit(value, draws.explicit(128, 256, THREE, shared=True), torch.ones_like(THREE))
    first, last = found.concentration[[0, 2]]
    error = spread(found.influence[:, 0] / last - first * found.influence[:, 2] / last**2)
    return [below("Λ̂₁ / Λ̂₃, β = 1, M = 256", first / last, 5.0, error, dof=found.dof)]


def top_k(draws: Draws) -> list[Measurement]:
    """The 4 hardest of 32 negatives, from those of all candidates that rank before the fifth."""
    found = fit(
        objective(3, hard_negatives=TopK(KEPT)), draws.explicit(400, 32, THREE), THREE.mean().expand(3), smooth=False
    )
    return [equal("Λ̂, k = 4 of 32", found.concentration, THREE, found.standard_error, dof=found.dof)]


def naive_top_k(draws: Draws) -> list[Measurement]:
    """The 4 hardest negatives and always the positive, written out: Λ̂ for 32 negatives, and the loss for 128.

    It is held against its limit at Λ̂ = 0, along the ray tΛ.
    """

    def value(concentration: Tensor, batch: Batch) -> Tensor:
        assert batch.negatives is not None
        hardest = (-((batch.u[:, None] - batch.negatives) ** 2 @ concentration)).topk(KEPT, 1).values
        return F.softplus(hardest.logsumexp(1) + (batch.u - batch.v) ** 2 @ concentration).mean()

    found = fit(value, draws.explicit(400, 32, THREE), THREE.mean().expand(3), smooth=False)
    rows = [below("Λ̂, k = 4 of 32", found.concentration, THREE, found.standard_error, dof=found.dof)]
    batches = draws.explicit(400, 128, THREE, batches=FEW)
    for factor in (0.1, 0.5, 1.0):
        excess = losses(value, factor * THREE, batches) - math.log(KEPT + 1)
        what = f"loss - log 5 at {factor:g}Λ, k = 4 of 128"
        rows.append(above(what, excess.mean(), 0.0, spread(excess), dof=len(excess) - 1))
    return rows


def debiased(draws: Draws) -> list[Measurement]:
    """τ⁺ = 0.02 against the plain loss, on the same batches, whose noise cancels."""
    batches = draws.explicit(256, 128, THREE, shared=True)
    start = THREE.mean().expand(3)
    plain, moved = (fit(objective(3, hard_negatives=rule), batches, start) for rule in (None, Debiased(0.02)))
    difference, error = moved.concentration - plain.concentration, spread(moved.influence - plain.influence)
    return [above("Λ̂ debiased - Λ̂ plain", difference, 0.0, error, dof=plain.dof)]


STATEMENTS = (
    Statement(
        "tilted",
        SECTION,
        "Negatives from p⁻ ∝ exp(-(c-z)ᵀΛ⁻(c-z)) give Λ̂ = Λ - Λ⁻; with a log-Q correction Λ̂ = Λ",
        tilted,
    ),
    Statement(
        "reweighted",
        SECTION,
        "Many negatives with detached weights ∝ e^{βs} give Λ̂ = Λ/(1 + β)",
        reweighted,
    ),
    Statement("few-reweighted", SECTION, "A few of them give more than that", few_reweighted),
    Statement(
        "attached",
        SECTION,
        "Gradients through the weights distort the ratios of Λ̂",
        attached,
    ),
    Statement(
        "top-k", SECTION, "The k + 1 hardest of all candidates, if the positive is among them, keep Λ̂ = Λ", top_k
    ),
    Statement(
        "naive-top-k",
        SECTION,
        "The k hardest negatives and always the positive give too small a Λ̂, and collapse (Λ̂ → 0) where those are "
        "nearer to the anchor than the positive is",
        naive_top_k,
    ),
    Statement("debiased", SECTION, "Debiased negatives raise Λ̂", debiased),
)
