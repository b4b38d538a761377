"""The tests of the assumptions: their laws where the assumption holds, and their alarm where it does not."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.special import hyp0f1
from scipy.stats import kstest
from torch import Tensor
from torch.nn import functional as F

from aninfonce import metrics
from aninfonce.distributions import VonMisesFisher
from aninfonce.verification._check import Measurement, Statement, above, below, equal, quiet, rings
from aninfonce.verification._oracle import Draws, concentrations, spread

__all__ = ["STATEMENTS"]

SECTION = "assumptions"
SPREAD = concentrations(20.0, 10.0, 5.0)
ISOTROPIC = concentrations(5.0, 5.0, 5.0)
REPLICATES = 300  # of the tests with a known law
TRIALS = 40  # of the permutation tests, of which 5 % reject
WRONG = 10  # of each wrong model


def uniform_marginal(draws: Draws) -> list[Measurement]:
    """p-values over replicates, d = 4 and 300 rows."""
    samples = [draws.uniform(300, dim=4) for _ in range(draws.size(REPLICATES, 100))]
    rows = []
    for name, test in (("Rayleigh", metrics.rayleigh_test), ("Bingham", metrics.bingham_test)):
        p_values = [test(u).p_value for u in samples]
        rows.append(quiet(f"{name}'s statistic is χ²", float(kstest(p_values, "uniform").pvalue)))
    return rows


def other_marginals(draws: Draws) -> list[Measurement]:
    """One preferred side, and one preferred axis."""
    pole = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    side = VonMisesFisher(pole, torch.tensor(0.7)).sample((1000,), generator=draws.generator)
    axis = F.normalize(draws.uniform(1000, dim=4) * concentrations(1.5, 1.0, 1.0, 1.0), dim=1)
    return [
        rings("Rayleigh, one side", metrics.rayleigh_test(side).p_value),
        rings("Bingham, one axis", metrics.bingham_test(axis).p_value),
    ]


def evenness(draws: Draws) -> list[Measurement]:
    """log E exp(-t|u-v|²) = -2t + log ₀F₁(; d/2; t²) for uniform u, v; and the energy test against uniform draws."""
    values = np.array([metrics.uniformity(draws.uniform(400, dim=4)) for _ in range(draws.size(60, 20))])
    predicted = -4 + math.log(hyp0f1(2.0, 4.0))
    law = equal("log E exp(-2|u-v|²), d = 4", values.mean(), predicted, spread(values), dof=len(values) - 1)
    even = [draws.uniform(100, dim=3) for _ in range(draws.size(TRIALS, 20))]
    loc = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    uneven = [VonMisesFisher(loc, torch.tensor(1.0)).sample((150,), generator=draws.generator) for _ in range(WRONG)]

    def p_values(samples: list[Tensor]) -> list[float]:
        return [metrics.energy_test(u, draws.uniform(len(u), dim=3), seed=draws.seed()).p_value for u in samples]

    return [
        law,
        quiet("energy test, uniform marginal", p_values(even)),
        rings("energy test, one side", p_values(uneven)),
    ]


def conditional_shape(draws: Draws) -> list[Measurement]:
    """Real pairs against exact draws: at Λ, at an estimate from other rows, at a wrong Λ, and with heavier tails."""

    def p_value(rows: int, law: Tensor, claimed: Tensor) -> float:
        u = draws.uniform(rows, dim=3)
        return metrics.conditional_shape_test(u, draws.positives(u, law), claimed, seed=draws.seed()).p_value

    fitted = torch.from_numpy(metrics.anisotropy(*draws.pairs(20_000, SPREAD), seed=draws.seed()).concentration)
    trials = range(draws.size(TRIALS, 20))
    heavy = []
    for _ in range(WRONG):
        narrow = torch.rand(800, 1, generator=draws.generator) < 0.5
        heavy.append(p_value(800, torch.where(narrow, 4.0, 0.25) * SPREAD, SPREAD))
    return [
        quiet("at Λ", [p_value(100, SPREAD, SPREAD) for _ in trials]),
        quiet("at Λ̂ of other rows", [p_value(100, SPREAD, fitted) for _ in trials]),
        rings("at Λ/2", [p_value(300, SPREAD, SPREAD / 2) for _ in range(WRONG)]),
        rings("at the levels in another order", [p_value(300, SPREAD, SPREAD.flip(0)) for _ in range(WRONG)]),
        rings("heavier tails", heavy),
    ]


def stationarity(draws: Draws) -> list[Measurement]:
    """Two halves of the sphere, with one Λ and with two."""

    def p_value(rows: int, factor: float) -> float:
        u = draws.uniform(rows, dim=3)
        side = u[:, 0] > 0
        v = draws.positives(u, torch.where(side[:, None], factor, 1.0) * SPREAD)
        return metrics.stationarity_test(u, v, side, negatives=8, seed=draws.seed()).test.p_value

    same = [p_value(1500, 1.0) for _ in range(draws.size(60, 30))]
    return [
        quiet("one Λ: p-values are uniform", float(kstest(same, "uniform").pvalue)),
        rings("Λ doubled on one half", [p_value(3000, 2.0) for _ in range(WRONG)]),
    ]


def symmetry(draws: Draws) -> list[Measurement]:
    """Swaps of (z, z⁺): isotropic pairs, and positives that lean to one side."""

    def p_value(rows: int, lean: float) -> float:
        u, v = draws.pairs(rows, ISOTROPIC)
        return metrics.symmetry_test(u, v + lean * torch.eye(3, dtype=v.dtype)[0], seed=draws.seed()).p_value

    return [
        quiet("isotropic pairs", [p_value(100, 0.0) for _ in range(draws.size(TRIALS, 20))]),
        rings("positives that lean", [p_value(300, 0.3) for _ in range(WRONG)]),
    ]


def discriminability(draws: Draws) -> list[Measurement]:
    """No information, some, and nearly all: M = 16 throughout."""
    rows = draws.size(17_000, 8000)
    (u, _), (_, stranger) = draws.pairs(rows, SPREAD), draws.pairs(rows, SPREAD)
    none = metrics.anisotropy(u, stranger, negatives=16, seed=draws.seed())
    some, much = (
        metrics.anisotropy(*draws.pairs(rows, at), negatives=16, seed=draws.seed()) for at in (SPREAD, 20 * SPREAD)
    )
    relative = [(x.standard_error / x.concentration).mean() for x in (some, much)]
    chance = np.array([metrics.hit_at_k(u[i : i + 17], stranger[i : i + 17]) for i in range(0, 17 * 200, 17)])
    # Λ̂ is fitted to noise, which gains χ²_3/(2n) of the loss and moves the effective number by the order of Λ̂².
    return [
        equal("no information: Λ̂", none.concentration, 0.0, none.standard_error, dof=rows // 17 - 1),
        equal("no information: log(M + 1) - loss", none.chance_loss - none.loss, 0.0, allowance=20 / none.n),
        equal("no information: Hit@1", chance.mean(), 1 / 17, spread(chance), dof=len(chance) - 1),
        equal("no information: effective candidates", none.effective_candidates, 17.0, allowance=0.05),
        below("Λ: loss", some.loss, some.chance_loss - 1),
        above("20Λ: Hit@1", much.hit_at_1, 0.9),
        above("20Λ: relative standard error of Λ̂, over that at Λ", relative[1] / relative[0], 2.0),
    ]


def dimension(draws: Draws) -> list[Measurement]:
    """Uniform latents of S³ shown in 12 dimensions by an isometry, and with a map that squashes two of them."""
    z = draws.uniform(20_000, dim=4)
    frame = torch.linalg.qr(torch.randn(12, 4, dtype=z.dtype, generator=draws.generator)).Q
    squashed = z * concentrations(1.0, 1.0, 0.01, 0.01)
    # Singular values of 20,000 rows deviate by about 1 %, and their entropy by the square of it.
    return [
        equal("effective rank, S³ in 12 dimensions", metrics.effective_rank(z @ frame.T), 4.0, allowance=0.01),
        below("effective rank, two directions squashed", metrics.effective_rank(squashed @ frame.T), 2.5),
    ]


STATEMENTS = (
    Statement(
        "uniform-marginal",
        SECTION,
        "Rayleigh's and Bingham's statistics are χ² under the uniform law",
        uniform_marginal,
    ),
    Statement("other-marginals", SECTION, "They ring off it", other_marginals),
    Statement(
        "evenness",
        SECTION,
        "Uniformity has its closed form under the uniform law; the energy test knows the law",
        evenness,
    ),
    Statement(
        "conditional-shape",
        SECTION,
        "Pairs against exact draws: quiet at Λ and Λ̂, ringing at other shapes",
        conditional_shape,
    ),
    Statement("stationarity", SECTION, "Wald's test: quiet if one Λ holds everywhere, ringing if not", stationarity),
    Statement("symmetry", SECTION, "Swaps: quiet for exchangeable pairs, ringing for others", symmetry),
    Statement(
        "discriminability",
        SECTION,
        "Without information loss = log(M + 1), Hit@1 = 1/(M + 1); near Hit@1 = 1, Λ̂ is hardly determined",
        discriminability,
    ),
    Statement("dimension", SECTION, "The effective rank counts the latents' dimensions", dimension),
)
