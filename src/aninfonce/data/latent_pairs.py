"""Positive pairs of a known data-generating process: latents on the sphere, an anisotropic conditional, a generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from aninfonce.distributions import AnisotropicSpherical, HypersphericalUniform

__all__ = ["LatentPairs"]


@dataclass(frozen=True)
class LatentPairs:
    """z uniform on S^{dim-1}, z⁺ ~ p(z⁺|z) ∝ exp(-(z⁺-z)ᵀΛ(z⁺-z)), observed as x = g(z), x⁺ = g(z⁺).

    Attributes:
        concentration: Λ, shape (dim,), > 0.
        generator: g, latents (n, dim) to observations (n, …).

    References:
        arXiv 2407.00143, Eq. 1.
    """

    concentration: Tensor
    generator: Callable[[Tensor], Tensor]

    @property
    def dim(self) -> int:
        """The number of latents."""
        return len(self.concentration)

    def latents(self, n: int, rng: torch.Generator) -> Tensor:
        """n draws of the marginal, shape (n, dim)."""
        return HypersphericalUniform(self.dim, dtype=self.concentration.dtype).sample((n,), generator=rng)

    def latent_pairs(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n positive pairs of latents (z, z⁺), each of shape (n, dim)."""
        z = self.latents(n, rng)
        return z, AnisotropicSpherical(z, self.concentration, validate_args=False).sample(generator=rng)

    @torch.no_grad()
    def batches(
        self, batch_size: int, rng: torch.Generator, *, pool: int = 16, reuse: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless batches of observed pairs (x, x⁺).

        Pairs are drawn `pool` batches at a time. With `reuse` > 1 every pair serves that often, each time reflected at
        random coordinate planes and in another batch: Λ is diagonal, so (s∘z, s∘z⁺) with signs s ∈ {±1}^dim has exactly
        the law of (z, z⁺). Each batch keeps the exact law of fresh pairs; only batches of one pool depend on each
        other.
        """
        while True:
            z, positive = self.latent_pairs(pool * batch_size, rng)
            for use in range(reuse):
                if use:
                    order = torch.randperm(len(z), generator=rng)
                    signs = 1 - 2 * torch.randint(0, 2, z.shape, generator=rng).to(z)
                    x, x_positive = self.generator(signs * z[order]), self.generator(signs * positive[order])
                else:
                    x, x_positive = self.generator(z), self.generator(positive)
                yield from zip(x.split(batch_size), x_positive.split(batch_size), strict=True)
