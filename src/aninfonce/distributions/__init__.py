"""Probability on the unit hypersphere S^{d-1}, the box and R^d, in the conventions of `torch.distributions`.

The data-generating process of the paper lives here: latents are uniform on the sphere, and the second member of a
positive pair is drawn from the anisotropic conditional p(u | z) ∝ exp(-(u - z)ᵀ Λ (u - z)), exactly. So do those of
the theory before it: uniform on a box with p(u | z) ∝ exp(-Σ_k λ_k |u_k - z_k|^p), and content that positives share
exactly beside style that changes.

References:
    Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", arXiv 2407.00143, section 3.
    Zimmermann et al., "Contrastive Learning Inverts the Data Generating Process", arXiv 2102.08850.
    von Kügelgen et al., "Self-Supervised Learning with Data Augmentations Provably Isolates Content from Style",
    arXiv 2106.04619.
"""

from __future__ import annotations

from aninfonce.distributions import _divergence_euclidean, _divergence_sphere  # noqa: F401 (registered with torch)
from aninfonce.distributions._anisotropic import AnisotropicSpherical
from aninfonce.distributions._approximate import ApproximateAnisotropicSpherical
from aninfonce.distributions._box import UniformBox
from aninfonce.distributions._content_style import ContentStyleConditional
from aninfonce.distributions._generalized_normal import GeneralizedNormal
from aninfonce.distributions._normalizer import log_sphere_integral
from aninfonce.distributions._rejection import NormalizerEstimate
from aninfonce.distributions._sphere import log_area, unit_sphere
from aninfonce.distributions._truncated_generalized_normal import TruncatedGeneralizedNormal
from aninfonce.distributions._uniform import HypersphericalUniform
from aninfonce.distributions._von_mises_fisher import VonMisesFisher

__all__ = [
    "AnisotropicSpherical",
    "ApproximateAnisotropicSpherical",
    "ContentStyleConditional",
    "GeneralizedNormal",
    "HypersphericalUniform",
    "NormalizerEstimate",
    "TruncatedGeneralizedNormal",
    "UniformBox",
    "VonMisesFisher",
    "log_area",
    "log_sphere_integral",
    "unit_sphere",
]
