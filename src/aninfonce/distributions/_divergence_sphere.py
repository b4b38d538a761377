"""Kullback–Leibler divergences between the laws on the sphere, in closed form.

Each log density is a quadratic form of u, so that KL(p‖q) = -H(p) - E_p log q takes the first and second moments of p
alone. Registered with torch: `torch.distributions.kl_divergence(p, q)`.
"""

from __future__ import annotations

from torch import Tensor

from aninfonce.distributions._anisotropic import AnisotropicSpherical
from aninfonce.distributions._registration import divergence
from aninfonce.distributions._sphere import SphericalDistribution, broadcast_shapes, log_area
from aninfonce.distributions._uniform import HypersphericalUniform
from aninfonce.distributions._von_mises_fisher import VonMisesFisher

__all__: list[str] = []


def _check_dims(p: SphericalDistribution, q: SphericalDistribution) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"p and q must be on the same sphere, got dimensions {p.event_shape[0]} and {q.event_shape[0]}"
        )


def _divergence(p: SphericalDistribution, expected_log_q: Tensor | float) -> Tensor:
    # Rounding must not make it negative.
    return (-p.entropy() - expected_log_q).clamp_min(0)


@divergence(
    (HypersphericalUniform, HypersphericalUniform),
    (VonMisesFisher, HypersphericalUniform),
    (AnisotropicSpherical, HypersphericalUniform),
)
def _from_uniform(p: SphericalDistribution, q: HypersphericalUniform) -> Tensor:
    """log |S^{d-1}| - H(p)."""
    _check_dims(p, q)
    return _divergence(p, -log_area(q.dim)).expand(_batch(p, q))


@divergence(
    (HypersphericalUniform, VonMisesFisher),
    (VonMisesFisher, VonMisesFisher),
    (AnisotropicSpherical, VonMisesFisher),
)
def _from_von_mises_fisher(p: SphericalDistribution, q: VonMisesFisher) -> Tensor:
    """-H(p) - κ zᵀE[u] + log C(κ), with κ, z of q."""
    _check_dims(p, q)
    return _divergence(p, q.concentration * (q.loc * p.mean).sum(-1) - q.log_normalizer)


@divergence(
    (HypersphericalUniform, AnisotropicSpherical),
    (VonMisesFisher, AnisotropicSpherical),
    (AnisotropicSpherical, AnisotropicSpherical),
)
def _from_anisotropic(p: SphericalDistribution, q: AnisotropicSpherical) -> Tensor:
    """-H(p) + Σ λ_i (Var u_i + (E[u_i] - z_i)²) + log C(z), with Λ, z of q."""
    _check_dims(p, q)
    distance = (q.concentration * (p.variance + (p.mean - q.loc) ** 2)).sum(-1)
    return _divergence(p, -distance - q.log_normalizer)


def _batch(p: SphericalDistribution, q: SphericalDistribution) -> tuple[int, ...]:
    return broadcast_shapes(p.batch_shape, q.batch_shape)
