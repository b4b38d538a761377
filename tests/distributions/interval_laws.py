"""Reference laws on a line or an interval, by quadrature with mpmath and NumPy, without the package's formulas."""

from __future__ import annotations

from itertools import pairwise

import mpmath
import numpy as np
from numpy.typing import NDArray

P_VALUE = 1e-3  # a fixed seed either passes for good or fails for good


def kernel_integral(z: float, concentration: float, exponent: float, low: float, high: float, moment: int = 0) -> float:
    """∫ x^moment exp(-λ|x - z|^p) dx from low to high, by adaptive quadrature split at the kink."""
    points = sorted({low, min(max(z, low), high), high})
    return float(
        mpmath.quad(lambda x: x**moment * mpmath.exp(-concentration * abs(x - z) ** exponent), points, maxdegree=12)
    )


def kernel_cdf(
    x: NDArray[np.float64], z: float, concentration: float, exponent: float, low: float, high: float
) -> NDArray[np.float64]:
    """The distribution function of the density ∝ exp(-λ|x - z|^p) on [low, high]: Simpson on a grid dense at z."""
    fraction = np.linspace(0, 1, 20_001) ** 4
    grid = np.unique(np.concatenate([z + (low - z) * fraction, z + (high - z) * fraction]))
    middle = (grid[1:] + grid[:-1]) / 2
    density = [np.exp(-concentration * np.abs(t - z) ** exponent) for t in (grid[:-1], middle, grid[1:])]
    steps = np.diff(grid) * (density[0] + 4 * density[1] + density[2]) / 6
    total = np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(np.interp(x, grid, total / total[-1]))


def gauss_legendre(edges: list[float], nodes: int = 60) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points and weights on [edges[0], edges[-1]], each piece for itself."""
    t, w = np.polynomial.legendre.leggauss(nodes)
    pieces = list(pairwise(edges))
    points = np.concatenate([(a + b) / 2 + (b - a) / 2 * t for a, b in pieces])
    return points, np.concatenate([(b - a) / 2 * w for a, b in pieces])
