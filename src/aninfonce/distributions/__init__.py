"""Probability on the unit hypersphere S^{d-1}, in the conventions of `torch.distributions`.

The data-generating process of the paper lives here: latents are uniform on the sphere, and the second member of a
positive pair is drawn from the anisotropic conditional p(u | z) ∝ exp(-(u - z)ᵀ Λ (u - z)), exactly.

References:
    Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", arXiv 2407.00143, section 3.
"""

from __future__ import annotations

from aninfonce.distributions._anisotropic import AnisotropicSpherical
from aninfonce.distributions._approximate import ApproximateAnisotropicSpherical
from aninfonce.distributions._normalizer import log_sphere_integral
from aninfonce.distributions._rejection import NormalizerEstimate
from aninfonce.distributions._sphere import log_area, unit_sphere
from aninfonce.distributions._uniform import HypersphericalUniform
from aninfonce.distributions._von_mises_fisher import VonMisesFisher

__all__ = [
    "AnisotropicSpherical",
    "ApproximateAnisotropicSpherical",
    "HypersphericalUniform",
    "NormalizerEstimate",
    "VonMisesFisher",
    "log_area",
    "log_sphere_integral",
    "unit_sphere",
]
