"""A spectrum of variability: every latent varies to an extent of its own, linearly spaced.

With all Λ_i distinct the theorem promises the latents up to signs and a permutation, not only up to a rotation.
arXiv 2407.00143, Sec. 5.1 (linearly spaced Λ).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from aninfonce.experiments.contenders import contenders
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.study import Study

__all__ = ["LinearSpectrum"]

# From the log of the paper's public code, after about 100,000 steps; its "5 to 25" is Λ = 2.5 to 12.5 here.
PUBLISHED = {"aninfonce/r2": 0.997, "aninfonce/mean_correlation": 0.989}


@dataclass(frozen=True)
class LinearSpectrum:
    """The experiment's settings.

    Attributes:
        seeds: how many mixings.
        first_seed: they are drawn from first_seed, first_seed + 1, …
        dim: number of latents, at least 4.
        largest: the largest Λ_i.
        smallest: the smallest Λ_i.
        temperatures: InfoNCE's fixed temperatures; it also runs with a trainable one.
        steps: optimiser steps of every method.
    """

    seeds: int = 1
    first_seed: int = 0
    dim: int = 10
    largest: float = 12.5
    smallest: float = 2.5
    temperatures: tuple[float, ...] = (1.0, 0.5, 0.2, 0.1)
    steps: int = 3000

    def __post_init__(self) -> None:
        if self.dim < 4:
            raise ValueError(f"dim must be at least 4, got {self.dim}")
        if not 0 < self.smallest < self.largest:
            raise ValueError(f"expected 0 < smallest < largest, got {self.smallest} and {self.largest}")

    def study(self) -> Study:
        """The methods to run, and what they are held against."""
        half = self.dim // 2
        # Λ̂ starts spread and moves slowly, so that the rotation finds the axes first: two neighbouring Λ̂ that become
        # equal while their axes are still mixed stay so.
        recipe = Recipe(width=48, initial_spread=2.2, rate_concentration=0.02, steps=self.steps)
        return Study(
            name="linear-spectrum",
            title="every latent varies to its own extent: AnInfoNCE finds the axes themselves",
            mixing=Mixing(tuple(torch.linspace(self.largest, self.smallest, self.dim, dtype=torch.float64).tolist())),
            methods=contenders(recipe, self.temperatures),
            groups={"content": list(range(half)), "style": list(range(half, self.dim))},
            published=PUBLISHED,
            seeds=tuple(range(self.first_seed, self.first_seed + self.seeds)),
        )
