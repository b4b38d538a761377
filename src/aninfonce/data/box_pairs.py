"""Positive pairs of the theory on the box: uniform latents, a truncated generalised normal conditional, a generator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.distributions import TruncatedGeneralizedNormal, UniformBox

__all__ = ["BoxPairs"]


@dataclass(frozen=True)
class BoxPairs(LatentPairs):
    """z uniform on [-1, 1]^dim, z⁺ ~ p(z⁺|z) ∝ exp(-Σ_k λ_k |z⁺_k - z_k|^p) on it, observed as x = g(z), x⁺ = g(z⁺).

    Batches are drawn as by `LatentPairs`: the box and the conditional do not change under reflections either.

    Attributes:
        concentration: λ, shape (dim,), > 0.
        generator: g, latents (n, dim) to observations (n, …).
        exponent: p > 0; 2 is a truncated Gaussian, 1 a truncated Laplace distribution.

    Raises:
        ValueError: if `concentration` is not a vector of at least 2 positive finite numbers, or `exponent` is not a
            positive finite number.

    References:
        Zimmermann et al., "Contrastive Learning Inverts the Data Generating Process", arXiv 2102.08850, section 3.2.

    Example:
        >>> pairs = BoxPairs(torch.tensor([12.5, 2.5]), generator=torch.tanh, exponent=1.0)
        >>> x, x_positive = next(pairs.batches(5, torch.Generator().manual_seed(0)))
        >>> x.shape, x_positive.shape
        (torch.Size([5, 2]), torch.Size([5, 2]))
    """

    exponent: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.exponent < math.inf:
            raise ValueError(f"exponent must be a positive finite number, got {self.exponent}")

    def latents(self, n: int, rng: torch.Generator) -> Tensor:
        """n draws of the marginal, shape (n, dim)."""
        wall = torch.ones_like(self.concentration)
        return UniformBox(-wall, wall).sample((n,), generator=rng)

    def latent_pairs(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n positive pairs of latents (z, z⁺), each of shape (n, dim)."""
        z = self.latents(n, rng)
        positive = TruncatedGeneralizedNormal(
            z, self.concentration, exponent=self.exponent, low=-1.0, high=1.0, validate_args=False
        )
        return z, positive.sample(generator=rng)
