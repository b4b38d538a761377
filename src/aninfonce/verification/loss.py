"""What the loss identifies, with which negatives, and what moves its optimum."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from aninfonce._typing import FloatArray
from aninfonce.distributions import AnisotropicSpherical
from aninfonce.verification._check import Measurement, Statement, above, below, equal
from aninfonce.verification._oracle import (
    FEW,
    Batch,
    Draws,
    Fit,
    concentrations,
    cost,
    fit,
    losses,
    objective,
    rotation,
    spread,
)

__all__ = ["STATEMENTS"]

SECTION = "loss"
TWO_LEVELS = concentrations(12.5, 12.5, 2.5, 2.5)
START = torch.full_like(TWO_LEVELS, 4.0)
TEN = concentrations(*[12.5] * 5, *[2.5] * 5)
ISOTROPIC = concentrations(5.0, 5.0, 5.0, 5.0)
SMALL = 0.03  # relative bias that "small" allows, for batches of 256


def posterior(draws: Draws) -> list[Measurement]:
    """If π is the posterior, P(the most probable candidate is the positive) = E max π and E[-log π⁺] = E[entropy of π].

    Both hold for a posterior only, so they see errors of the law and of the loss that a fit of Λ̂ would absorb.
    """
    rows = []
    for negatives, size in ((1, 2000), (16, 1000), (256, 200)):
        hits, entropies = [], []
        for u, v, others, _ in draws.explicit(size, negatives, TWO_LEVELS):
            assert others is not None
            candidates = torch.cat([v[:, None], others], 1)
            pi = -((u[:, None] - candidates) ** 2 @ TWO_LEVELS)
            pi = pi.log_softmax(1)
            hits.append(((pi.argmax(1) == 0).double() - pi.exp().amax(1)).mean().item())
            loss = objective(len(TWO_LEVELS))(TWO_LEVELS, Batch(u, v, others))
            entropies.append(loss.item() + (pi.exp() * pi).sum(1).mean().item())
        for what, values in (("Hit@1 - E max π", hits), ("loss - entropy of π", entropies)):
            found = np.array(values)
            rows.append(equal(f"{what}, M = {negatives}", found.mean(), 0.0, spread(found), dof=len(found) - 1))
    return rows


def every_number_of_negatives(draws: Draws) -> list[Measurement]:
    """Λ̂ with the latents as embeddings, from a start in the middle."""
    rows = []
    for negatives, size in ((1, 6000), (16, 1500), (256, 600)):
        found = fit(objective(4), draws.explicit(size, negatives, TWO_LEVELS, shared=negatives > 16), START)
        rows.append(equal(f"Λ̂, M = {negatives}", found.concentration, TWO_LEVELS, found.standard_error, dof=found.dof))
    return rows


def other_anchors(draws: Draws) -> list[Measurement]:
    """One direction, in a batch: the other anchors are independent draws from the marginal."""
    found = fit(objective(4, negatives_from="anchors"), draws.in_batch(256, TWO_LEVELS), START)
    return [equal("Λ̂, batch 256", found.concentration, TWO_LEVELS, found.standard_error, dof=found.dof)]


def normalizer(draws: Draws) -> list[Measurement]:
    """The range of log C(z) over random z."""
    z = draws.uniform(200, dim=4)
    isotropic, anisotropic = (AnisotropicSpherical(z, at).log_normalizer for at in (ISOTROPIC, TWO_LEVELS))
    return [
        equal("range of log C(z), isotropic Λ", (isotropic.max() - isotropic.min()).item(), 0.0, allowance=1e-8),
        above("range of log C(z), anisotropic Λ", (anisotropic.max() - anisotropic.min()).item(), 0.1),
    ]


def reversed_direction(draws: Draws) -> list[Measurement]:
    """Positives as anchors: p(z|z⁺) ∝ e^{-δ²}/C(z), so that log C of each candidate is its log-Q correction.

    Both fits see the same batches, whose noise cancels in their difference.
    """
    plain, corrected = [], []
    for z, positive, others, _ in draws.explicit(256, 64, TEN, shared=True):
        assert others is not None
        log_c = tuple(AnisotropicSpherical(x, TEN).log_normalizer for x in (z, others))
        plain.append(Batch(positive, z, others))
        corrected.append(Batch(positive, z, others, (log_c[0], log_c[1])))
    start = torch.full_like(TEN, 4.0)
    biased, exact = (fit(objective(len(TEN)), batches, start) for batches in (plain, corrected))

    def log_ratio(found: Fit) -> tuple[float, FloatArray]:
        """Of the means of the two levels; and the influence of the batches on it."""
        high, low = (found.concentration[half].mean() for half in (slice(5), slice(5, 10)))
        influence = found.influence[:, :5].mean(axis=1) / high - found.influence[:, 5:].mean(axis=1) / low
        return float(np.log(high / low)), influence

    (before, of_before), (after, of_after) = log_ratio(biased), log_ratio(exact)
    error = spread(of_before - of_after)
    return [
        equal("Λ̂, log-Q corrected", exact.concentration, TEN, exact.standard_error, dof=exact.dof),
        below("log ratio of the levels, uncorrected - corrected", before - after, 0.0, error, dof=exact.dof),
    ]


def both_directions(draws: Draws) -> list[Measurement]:
    """The usual symmetric losses, whose optimum is not exactly Λ, against one direction among anchors, whose is.

    Both see the same batches, whose noise cancels in the difference.
    """
    batches = draws.in_batch(256, TWO_LEVELS)
    exact = fit(objective(4, negatives_from="anchors"), batches, START)
    rows = []
    for source, name in (("positives", "the other positives"), ("both", "NT-Xent")):
        found = fit(objective(4, negatives_from=source, symmetric=True), batches, START)
        shift, error = found.concentration - exact.concentration, spread(found.influence - exact.influence)
        rows.append(equal(f"shift of Λ̂, {name}", shift, 0.0, error, allowance=SMALL * TWO_LEVELS, dof=found.dof))
    return rows


def negatives_in_pairs(draws: Draws) -> list[Measurement]:
    """m pairs (w, w⁺) as 2m negatives of each anchor, as NT-Xent has them; isotropic, so that all are uniform."""
    rows = []
    for pairs, size in ((4, 6000), (64, 150)):
        batches = []
        for n in draws.rows(size):
            w, positive = draws.pairs(n * pairs, ISOTROPIC)
            negatives = torch.cat([x.reshape(n, pairs, 4) for x in (w, positive)], 1)
            batches.append(Batch(*draws.pairs(n, ISOTROPIC), negatives))
        found = fit(objective(4), batches, START)
        mean, error = found.concentration.mean(), spread(found.influence.mean(axis=1))
        what = f"mean of Λ̂, {pairs} pairs"
        if pairs == 4:
            rows.append(above(what, mean, 5.0, error, dof=found.dof))
        else:
            rows.append(equal(what, mean, 5.0, error, allowance=SMALL * 5.0, dof=found.dof))
    return rows


def rotations(draws: Draws) -> list[Measurement]:
    """The loss of a rotated embedding, with the best Λ̂ that it allows, against the identity with Λ."""
    batches = draws.explicit(600, 64, TWO_LEVELS, shared=True, batches=FEW)
    value = objective(4)
    turned = [batch.mapped(rotation(4, 0, 1, 30.0)) for batch in batches]
    difference = losses(value, TWO_LEVELS, turned) - losses(value, TWO_LEVELS, batches)
    rows = [equal("largest cost, within a block by 30°", abs(difference).max(), 0.0, allowance=1e-10)]
    for degrees in (30.0, 45.0):
        mean, error, dof = cost(value, batches, rotation(4, 0, 2, degrees), TWO_LEVELS)
        rows.append(above(f"cost, across blocks by {degrees:g}°", mean, 0.0, error, dof=dof))
    return rows


def other_maps(draws: Draws) -> list[Measurement]:
    """The same for maps that are not orthogonal."""
    batches = draws.explicit(1200, 64, TWO_LEVELS, shared=True, batches=FEW)
    shear = torch.eye(4, dtype=torch.float64)
    shear[0, 1] = 0.7

    def stretched(z: Tensor) -> Tensor:
        return F.normalize(z * concentrations(1.7, 1.0, 1.0, 1.0), dim=-1)

    def sheared(z: Tensor) -> Tensor:
        return F.normalize(z @ shear, dim=-1)

    def folded(z: Tensor) -> Tensor:
        return torch.cat([z[..., :1].abs(), z[..., 1:]], -1)

    rows = []
    for name, encoder in (("one axis stretched by 1.7", stretched), ("sheared by 0.7", sheared), ("folded", folded)):
        mean, error, dof = cost(objective(4), batches, encoder, TWO_LEVELS)
        rows.append(above(f"cost, {name}", mean, 0.0, error, dof=dof))
    return rows


STATEMENTS = (
    Statement(
        "posterior",
        SECTION,
        "With uniform negatives the softmax at Λ is the exact posterior of which candidate is the positive",
        posterior,
    ),
    Statement(
        "every-number-of-negatives",
        SECTION,
        "So the optimum at f = identity is Λ̂ = Λ, for every number M of negatives",
        every_number_of_negatives,
    ),
    Statement(
        "other-anchors",
        SECTION,
        "The batch's other anchors as negatives, in one direction, are such negatives",
        other_anchors,
    ),
    Statement("normalizer", SECTION, "C(z) depends on z if Λ is anisotropic, and only then", normalizer),
    Statement(
        "reversed-direction",
        SECTION,
        "From positive to anchor C(z) does not cancel: it draws the levels of Λ̂ together, by a little; log C(z) as "
        "log-Q correction returns Λ",
        reversed_direction,
    ),
    Statement(
        "negatives-in-pairs",
        SECTION,
        "Negatives that are each other's positives, as in NT-Xent, raise Λ̂ even if Λ is isotropic; the more of them, "
        "the less",
        negatives_in_pairs,
    ),
    Statement(
        "both-directions",
        SECTION,
        "In a batch of 256 the symmetric losses, NT-Xent among them, come within 3 % of Λ",
        both_directions,
    ),
    Statement(
        "rotations", SECTION, "Rotating within a block of equal Λ costs nothing, across blocks it does", rotations
    ),
    Statement("other-maps", SECTION, "Maps that are not orthogonal cost something", other_maps),
)
