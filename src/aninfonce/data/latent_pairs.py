"""Positive pairs of a known data-generating process: latents on the sphere, an anisotropic conditional, a generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from aninfonce.distributions import AnisotropicSpherical, HypersphericalUniform

__all__ = ["LatentPairs"]

Pairs = TypeVar("Pairs", bound="LatentPairs")


@dataclass(frozen=True)
class LatentPairs:
    """z uniform on S^{dim-1}, z⁺ ~ p(z⁺|z) ∝ exp(-(z⁺-z)ᵀΛ(z⁺-z)), observed as x = g(z), x⁺ = g(z⁺).

    Everything is drawn on the device of `concentration`, with a generator of that device.

    Attributes:
        concentration: Λ, shape (dim,), > 0.
        generator: g, latents (n, dim) to observations (n, …).

    Raises:
        ValueError: if `concentration` is not a vector of at least 2 positive finite numbers.

    References:
        Rusak et al., arXiv 2407.00143, Eq. 1 (the conditional).

    Example:
        >>> pairs = LatentPairs(torch.tensor([12.5, 12.5, 2.5]), generator=torch.tanh)
        >>> x, x_positive = next(pairs.batches(5, torch.Generator().manual_seed(0)))
        >>> x.shape, x_positive.shape
        (torch.Size([5, 3]), torch.Size([5, 3]))
    """

    concentration: Tensor
    generator: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        if self.concentration.ndim != 1 or len(self.concentration) < 2:
            raise ValueError(f"concentration must have shape (dim,), dim >= 2, got {tuple(self.concentration.shape)}")
        if not bool((self.concentration > 0).all() & self.concentration.isfinite().all()):
            raise ValueError(f"every concentration must be positive and finite, got {self.concentration.tolist()}")

    @property
    def dim(self) -> int:
        """The number of latents."""
        return len(self.concentration)

    def to(self: Pairs, device: torch.device | str) -> Pairs:
        """The same pairs, drawn and observed on another device.

        A generator that is a module is moved itself, as `Module.to` does; any other must work where its latents are.
        """
        g = self.generator
        return replace(
            self,
            concentration=self.concentration.to(device),
            generator=g.to(device) if isinstance(g, nn.Module) else g,
        )

    def latents(self, n: int, rng: torch.Generator) -> Tensor:
        """n draws of the marginal, shape (n, dim)."""
        like = self.concentration
        return HypersphericalUniform(self.dim, device=like.device, dtype=like.dtype).sample((n,), generator=rng)

    def latent_pairs(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n positive pairs of latents (z, z⁺), each of shape (n, dim)."""
        z = self.latents(n, rng)
        return z, AnisotropicSpherical(z, self.concentration, validate_args=False).sample(generator=rng)

    def batches(
        self, batch_size: int, rng: torch.Generator, *, pool: int = 16, reuse: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless batches of observed pairs (x, x⁺), without gradients.

        Pairs are drawn `pool` batches at a time. With `reuse` > 1 every pair serves that often, each time reflected at
        random coordinate planes and in another batch: Λ is diagonal, so (s∘z, s∘z⁺) with signs s ∈ {±1}^dim has exactly
        the law of (z, z⁺). Each batch keeps the exact law of fresh pairs; only batches of one pool depend on each
        other.

        Arguments:
            batch_size: pairs in a batch, at least 1.
            rng: source of the randomness, on the device of `concentration`.
            pool: batches drawn at a time, at least 1; larger pools mix better under `reuse` and take more memory.
            reuse: how often every drawn pair serves, at least 1.

        Raises:
            ValueError: if a number is out of range.
        """
        if min(batch_size, pool, reuse) < 1:
            raise ValueError(f"batch_size, pool and reuse must be at least 1, got {batch_size=}, {pool=}, {reuse=}")
        return self._batches(batch_size, rng, pool, reuse)

    @torch.no_grad()
    def _batches(self, batch_size: int, rng: torch.Generator, pool: int, reuse: int) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            z, positive = self.latent_pairs(pool * batch_size, rng)
            for use in range(reuse):
                if use:
                    order = torch.randperm(len(z), generator=rng, device=z.device)
                    signs = 1 - 2 * torch.randint(0, 2, z.shape, generator=rng, device=z.device).to(z)
                    x, x_positive = self.generator(signs * z[order]), self.generator(signs * positive[order])
                else:
                    x, x_positive = self.generator(z), self.generator(positive)
                yield from zip(torch.split(x, batch_size), torch.split(x_positive, batch_size), strict=True)
