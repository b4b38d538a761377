"""Content and style: half of the latents hardly vary within a positive pair, the other half vary strongly.

InfoNCE keeps the first half and, depending on its temperature, loses the second; AnInfoNCE recovers both.
arXiv 2407.00143, Sec. 5.1 (bimodal Λ).
"""

from __future__ import annotations

from dataclasses import dataclass

from aninfonce.experiments.contenders import contenders
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.study import Study

__all__ = ["ContentStyle"]

# The published figures were read off a figure at 50,000 steps; its "25 / 5" is Λ = 12.5 / 2.5 here (no factor 1/2).
PUBLISHED = {
    "aninfonce/r2_content": 0.99,
    "aninfonce/r2_style": 0.99,
    "aninfonce/r2": 0.997,
    "infonce-tau-1/r2_content": 0.95,
    "infonce-tau-1/r2_style": 0.01,
}


@dataclass(frozen=True)
class ContentStyle:
    """The experiment's settings.

    Attributes:
        seeds: how many mixings.
        first_seed: they are drawn from first_seed, first_seed + 1, …
        dim: number of latents, even.
        content: Λ of the first half of them.
        style: Λ of the second half.
        temperatures: InfoNCE's fixed temperatures; it also runs with a trainable one.
        steps: optimiser steps of every method but "aninfonce-fast".
        fast_steps: its steps: the smallest budget that still recovers every latent (R² ≥ .99), with a narrower encoder.
    """

    seeds: int = 1
    first_seed: int = 0
    dim: int = 10
    content: float = 12.5
    style: float = 2.5
    temperatures: tuple[float, ...] = (1.0, 0.5, 0.2, 0.1)
    steps: int = 2000
    fast_steps: int = 900

    def __post_init__(self) -> None:
        if self.dim < 4 or self.dim % 2:
            raise ValueError(f"dim must be even and at least 4, got {self.dim}")

    def study(self) -> Study:
        """The methods to run, and what they are held against."""
        half = self.dim // 2
        recipe = Recipe(width=96, steps=self.steps)
        fast = Recipe(
            width=48, batch_size=512, rate_matrices=0.07, rate_biases=0.08, steps=min(self.fast_steps, self.steps)
        )
        return Study(
            name="content-style",
            title="content and style latents: what AnInfoNCE recovers and InfoNCE loses, by temperature",
            mixing=Mixing((self.content,) * half + (self.style,) * half),
            methods={"aninfonce": recipe, "aninfonce-fast": fast, **contenders(recipe, self.temperatures)},
            groups={"content": list(range(half)), "style": list(range(half, self.dim))},
            published=PUBLISHED,
            seeds=tuple(range(self.first_seed, self.first_seed + self.seeds)),
        )
