"""Reference laws on the sphere, computed without the package: densities by quadrature, and the tests that use them."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import torch
from scipy import integrate, special, stats
from torch import Tensor

P_VALUE = 1e-4  # a fixed seed either passes for good or fails for good


def bimodal(dim: int, low: float, high: float) -> Tensor:
    """Half of the concentrations `high`, the other half `low`."""
    return torch.tensor([high] * (dim // 2) + [low] * (dim - dim // 2), dtype=torch.float64)


def unit(dim: int, rows: int | None = None, seed: int = 0) -> Tensor:
    """Unit vectors in random directions, float64."""
    shape = (dim,) if rows is None else (rows, dim)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=-1, keepdim=True)


def circle_grid(points: int) -> tuple[Tensor, float]:
    """Points of the unit circle and the weight of each: the trapezoid rule, exponentially accurate."""
    angle = torch.arange(points, dtype=torch.float64) * (2 * np.pi / points)
    return torch.stack((angle.cos(), angle.sin()), -1), 2 * np.pi / points


def sphere_grid(heights: int, angles: int) -> tuple[Tensor, Tensor]:
    """Points (heights · angles, 3) of the unit sphere and their weights: Gauss–Legendre by trapezoid."""
    t, weight = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(heights))
    circle, step = circle_grid(angles)
    radius = (1 - t**2).sqrt()
    points = torch.cat(
        ((radius[:, None, None] * circle).reshape(-1, 2), t[:, None].expand(-1, angles).reshape(-1, 1)), -1
    )
    return points, (weight * step)[:, None].expand(-1, angles).reshape(-1)


def chi_square_p(u: Tensor, log_density: Callable[[Tensor], Tensor], heights: int = 12, angles: int = 16) -> float:
    """p-value of samples u (n, 3) against a density, by counts in cells of equal area and quadrature of each cell."""
    fine = 24
    edges = np.linspace(-1, 1, heights + 1)
    nodes, weight = np.polynomial.legendre.leggauss(fine)
    t = ((edges[:-1, None] + edges[1:, None]) / 2 + nodes / heights).reshape(-1)  # (heights · fine,)
    arc = 2 * np.pi / angles
    angle = (arc * (np.arange(angles)[:, None] + (nodes + 1) / 2)).reshape(-1)
    tt, aa = np.meshgrid(t, angle, indexing="ij")
    radius = np.sqrt(1 - tt**2)
    points = torch.from_numpy(np.stack((radius * np.cos(aa), radius * np.sin(aa), tt), -1))
    density = np.exp(log_density(points).numpy()).reshape(heights, fine, angles, fine)
    cells = np.einsum("hiaj,i,j->ha", density, weight, weight).reshape(-1)
    expected = cells / cells.sum() * len(u)

    v = u.double().numpy()
    row = np.clip(((v[:, 2] + 1) / 2 * heights).astype(int), 0, heights - 1)
    column = np.clip(((np.arctan2(v[:, 1], v[:, 0]) % (2 * np.pi)) / arc).astype(int), 0, angles - 1)
    observed = np.bincount(row * angles + column, minlength=heights * angles)
    rare = expected < 10  # one cell of all the rare ones
    keep = ~rare
    observed = np.append(observed[keep], observed[rare].sum())
    expected = np.append(expected[keep], expected[rare].sum())
    if expected[-1] < 10:
        observed = np.append(observed[:-2], observed[-2:].sum())
        expected = np.append(expected[:-2], expected[-2:].sum())
    return float(stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue)


def cosine_cdf(t: np.ndarray, dim: int, kappa: float) -> np.ndarray:
    """CDF of t = zᵀu under the von Mises–Fisher law, density ∝ e^{κt}(1 - t²)^{(d-3)/2}, by quadrature in arccos t."""
    # The density is negligible beyond 12 of its standard deviations or so, which a grid over [0, π] would miss.
    reach = min(np.pi, 12 * np.sqrt(max(dim, 2) / max(kappa, 1e-9)))
    angle = np.linspace(0, reach, 20_001)
    log = kappa * (np.cos(angle) - 1) + special.xlogy(dim - 2, np.sin(angle).clip(0))
    density = np.exp(log - log.max())
    below = integrate.cumulative_simpson(density, x=angle, initial=0)  # P(arccos t < angle)
    return 1 - np.interp(np.arccos(t.clip(-1, 1)), angle, below / below[-1])


def log_bessel_integral(dim: int, kappa: float) -> float:
    """log ∫_{S^{d-1}} exp(κ zᵀu) du = log[(2π)^{d/2} I_{d/2-1}(κ) / κ^{d/2-1}], in 50 digits."""
    with mpmath.workdps(50):
        order, k = mpmath.mpf(dim) / 2 - 1, mpmath.mpf(kappa)
        integral = (2 * mpmath.pi) ** (mpmath.mpf(dim) / 2) * mpmath.besseli(order, k) / k**order
        return float(mpmath.log(integral))


def log_two_level_integral(dims: tuple[int, int], lam: tuple[float, float], b: tuple[float, float]) -> float:
    """log ∫ exp(-uᵀΛu + 2bᵀu) du where Λ has two levels; b holds the norm of the linear term in each level's block.

    With u = (cos θ v, sin θ w) the inner integrals over v and w are Bessel functions, which leaves one over θ.
    """
    p, q = dims

    def inner(dim: int, kappa: np.ndarray) -> np.ndarray:  # log ∫_{S^{dim-1}} exp(κ zᵀu) du
        order = dim / 2 - 1
        return dim / 2 * np.log(2 * np.pi) + np.log(special.ive(order, kappa)) + kappa - order * np.log(kappa)

    nodes, weight = np.polynomial.legendre.leggauss(600)
    angle = (nodes + 1) * np.pi / 4
    c, s = np.cos(angle), np.sin(angle)
    log = (p - 1) * np.log(c) + (q - 1) * np.log(s) - lam[0] * c**2 - lam[1] * s**2
    log = log + inner(p, 2 * b[0] * c) + inner(q, 2 * b[1] * s)
    return float(special.logsumexp(log, b=weight * np.pi / 4))
