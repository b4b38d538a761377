"""The exact sampler, the density and the normaliser of p(u|z) ∝ exp(-(u-z)ᵀΛ(u-z)) on the sphere."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.integrate import cumulative_simpson
from scipy.special import xlogy
from scipy.stats import chisquare, kstest
from torch import Tensor

from aninfonce._typing import Float, FloatArray
from aninfonce.distributions import AnisotropicSpherical, ApproximateAnisotropicSpherical, VonMisesFisher
from aninfonce.verification._check import Measurement, Statement, above, equal, quiet
from aninfonce.verification._oracle import Draws, concentrations

__all__ = ["STATEMENTS"]

SECTION = "sampler"
# In 3 dimensions, where quadrature knows the truth: mild, extreme, and with entries that push away from z.
SPECTRA = (concentrations(12.5, 12.5, 2.5), concentrations(100.0, 1.0, 1.0), concentrations(8.0, 3.0, -4.0))
EXTREME = SPECTRA[1]
TWO_LEVELS = concentrations(*[12.5] * 5, *[2.5] * 5)
HEIGHTS, ARCS = 12, 16  # cells of equal area
NODES = 24  # of the quadrature along each side of a cell
FEWEST_EXPECTED = 10  # samples in a cell; cells of fewer are put together


def _named(concentration: Tensor) -> str:
    return f"Λ = ({', '.join(f'{value:g}' for value in concentration.tolist())})"


def _cells() -> tuple[Float[Tensor, "points 3"], Float[Tensor, " points"]]:
    """Points and weights of a Gauss–Legendre rule in every cell: 16 arcs of longitude by 12 slices of height."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    inside = (nodes + 1) / 2
    height = (2 * (np.arange(HEIGHTS)[:, None] + inside) / HEIGHTS - 1).reshape(HEIGHTS, NODES, 1, 1)
    angle = (2 * math.pi * (np.arange(ARCS)[:, None] + inside) / ARCS).reshape(1, 1, ARCS, NODES)
    radius = np.sqrt(1 - height**2)
    z = np.broadcast_to(height, (HEIGHTS, NODES, ARCS, NODES))
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1)
    area = 4 * math.pi / (HEIGHTS * ARCS)
    weight = area / 4 * weights[:, None, None] * weights * np.ones((HEIGHTS, 1, ARCS, 1))
    return torch.from_numpy(points.reshape(-1, 3)), torch.from_numpy(weight.reshape(-1))


def _cell_of(u: Float[Tensor, "n 3"]) -> Float[FloatArray, " cells"]:
    """Count the samples of every cell."""
    height = ((u[:, 2] + 1) / 2 * HEIGHTS).long().clamp(0, HEIGHTS - 1)
    arc = (torch.atan2(u[:, 1], u[:, 0]).remainder(2 * math.pi) / (2 * math.pi) * ARCS).long().clamp(0, ARCS - 1)
    counts = torch.bincount(height * ARCS + arc, minlength=HEIGHTS * ARCS)
    return np.asarray(counts.double().numpy())


def density(draws: Draws) -> list[Measurement]:
    """Quadrature over the sphere of exp log_prob, for a random z."""
    points, weights = _cells()
    rows = []
    for spectrum in SPECTRA:
        law = AnisotropicSpherical(draws.uniform(dim=3), spectrum, signed=True)
        total = (law.log_prob(points).exp() * weights).sum().item()
        rows.append(equal(f"∫ p, {_named(spectrum)}", total, 1.0, allowance=1e-9))
    return rows


def samples(draws: Draws) -> list[Measurement]:
    """Pearson's χ² of the counts in 192 cells against quadrature of the density, for random z."""
    points, weights = _cells()
    rows = []
    for spectrum in SPECTRA:
        p_values = []
        for z in draws.uniform(4, dim=3):
            u = draws.positives(z.expand(draws.size(50_000), 3), spectrum)
            mass = (torch.exp(-((points - z) ** 2 @ spectrum)) * weights).reshape(HEIGHTS, NODES, ARCS, NODES)
            share = mass.sum((1, 3)).flatten().numpy()
            expected = share / share.sum() * len(u)
            observed = _cell_of(u)
            rare = expected < FEWEST_EXPECTED
            while expected[rare].sum() < FEWEST_EXPECTED:
                rare[np.argmin(np.where(rare, np.inf, expected))] = True
            observed, expected = (np.append(x[~rare], x[rare].sum()) for x in (observed, expected))
            p_values.append(float(chisquare(observed, expected).pvalue))
        # Bonferroni within the row: the smallest of the four, as a p-value.
        rows.append(quiet(f"χ² in 192 cells, {_named(spectrum)}", min(1.0, 4 * min(p_values))))
    return rows


def isotropic(draws: Draws) -> list[Measurement]:
    """Kolmogorov–Smirnov of t = zᵀu against the integral of e^{κt}(1-t²)^{(d-3)/2}, and the two densities."""
    rows = []
    for dim, value in ((3, 5.0), (10, 5.0), (100, 50.0)):
        concentration = torch.full((dim,), value, dtype=torch.float64)
        z = draws.uniform(draws.size(20_000), dim=dim)
        u = draws.positives(z, concentration)
        angle = np.linspace(0, math.pi, 20_001)
        log = 2 * value * np.cos(angle) + xlogy(dim - 2, np.sin(angle).clip(0))
        below = cumulative_simpson(np.exp(log - log.max()), x=angle, initial=0)
        angles = torch.acos((z * u).sum(1).clamp(-1, 1)).numpy()
        p_value = float(kstest(np.interp(angles, angle, below / below[-1]), "uniform").pvalue)
        rows.append(quiet(f"zᵀu, Λ = {value:g} I, d = {dim}", p_value))
        kappa = torch.tensor(2 * value, dtype=torch.float64)
        same = AnisotropicSpherical(z[:100], concentration).log_prob(u[:100])
        difference = (same - VonMisesFisher(z[:100], kappa).log_prob(u[:100])).abs().max().item()
        rows.append(equal(f"largest difference of log p, d = {dim}", difference, 0.0, allowance=1e-8))
    return rows


def second_moments(draws: Draws) -> list[Measurement]:
    """The mean of (u_i - z_i)² over samples at 400 uniform z, against the derivatives of log C(z)."""
    z = draws.uniform(400, dim=len(TWO_LEVELS))
    law = AnisotropicSpherical(z, TWO_LEVELS)
    exact = law.variance + (law.mean - z) ** 2
    repeats = draws.size(200)
    u = draws.positives(z.repeat(repeats, 1), TWO_LEVELS)
    excess = (u - z.repeat(repeats, 1)) ** 2 - exact.repeat(repeats, 1)
    error = excess.std(0) / math.sqrt(len(u))
    predicted = exact.mean(0)
    return [equal("E δ_i², d = 10", predicted + excess.mean(0), predicted, error)]


def acceptance(draws: Draws) -> list[Measurement]:
    """log C(z) from averaged acceptance probabilities, C = acceptance · M · |S^{d-1}| · |Ω|^{-½} · e^{-zᵀΛz}.

    Against quadrature in 3 dimensions, which neither computation knows of, and the contour integral above.
    """
    points, weights = _cells()
    rows = []
    for spectrum in (*SPECTRA, TWO_LEVELS):
        z = draws.uniform(4, dim=len(spectrum))
        law = AnisotropicSpherical(z, spectrum, signed=True)
        exact = law.log_normalizer
        if len(spectrum) == 3:
            exact = torch.logsumexp(-((points[:, None] - z) ** 2 @ spectrum) + weights.log()[:, None], 0)
        found = law.log_normalizer_from_acceptance(draws.size(20_000), generator=draws.generator)
        name = _named(spectrum) if len(spectrum) == 3 else "d = 10"
        rows.append(equal(f"log C(z), {name}", found.estimate, exact, found.standard_error))
    return rows


def approximation(draws: Draws) -> list[Measurement]:
    """E δ₁² of the dimension of Λ₁ = 100, relative to the exact value, of both samplers."""
    z = draws.uniform(400, dim=3)
    law = AnisotropicSpherical(z, EXTREME)
    repeats = draws.size(200)
    exact = (law.variance + (law.mean - z) ** 2)[:, 0].repeat(repeats)
    z = z.repeat(repeats, 1)
    near = ApproximateAnisotropicSpherical(z, EXTREME).sample(generator=draws.generator)
    rows = []
    for name, u, claim in (("approximate", near, above), ("exact", draws.positives(z, EXTREME), equal)):
        excess = ((u - z)[:, 0] ** 2 - exact) / exact.mean()
        error = (excess.std() / math.sqrt(len(z))).item()
        rows.append(claim(f"E δ₁² / its value, {name} sampler", 1 + excess.mean().item(), 1.0, error))
    return rows


STATEMENTS = (
    Statement("density", SECTION, "The density integrates to one, for Λ of either sign", density),
    Statement("samples", SECTION, "The exact sampler draws from the density, for Λ of either sign", samples),
    Statement("isotropic", SECTION, "Isotropic Λ is the von Mises–Fisher law of κ = 2Λ", isotropic),
    Statement(
        "second-moments", SECTION, "Second moments of the samples are the derivatives of log C(z)", second_moments
    ),
    Statement(
        "acceptance",
        SECTION,
        "The sampler's acceptance gives the normaliser C(z) = acceptance · M · |S^{d-1}| · |Ω|^{-½} · e^{-zᵀΛz}",
        acceptance,
    ),
    Statement(
        "approximation",
        SECTION,
        "The public code's approximate sampler is biased where Λ is extreme (d = 3, Λ = (100, 1, 1)); the exact is not",
        approximation,
    ),
)
