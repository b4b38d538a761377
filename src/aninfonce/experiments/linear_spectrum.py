"""A spectrum of variability: every latent varies to an extent of its own, linearly spaced.

With all Λ_i distinct the theorem promises the latents up to signs and a permutation, not only up to a rotation.
arXiv 2407.00143, Sec. 5.1 (linearly spaced Λ).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from aninfonce.experiments.contenders import contenders
from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.recovery import COLUMNS, RecoveryTask
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study

__all__ = ["LinearSpectrum"]

# From the log of the paper's public code, after about 100,000 steps; its "5 to 25" is Λ = 2.5 to 12.5 here.
REFERENCES = (
    Reference("aninfonce/r2", 0.997, 0.002, note="log of the public code"),
    Reference("aninfonce/mean_correlation", 0.989, 0.01, note="log of the public code"),
    Reference("aninfonce/concentration_error", 0.02, relation="<=", source="theory", note="Λ̂ = Λ with other anchors"),
)


@dataclass(frozen=True, kw_only=True)
class LinearSpectrum(Experiment):
    """The experiment's settings.

    Attributes:
        dim: number of latents, at least 4.
        largest: the largest Λ_i.
        smallest: the smallest Λ_i.
        temperatures: InfoNCE's fixed temperatures; it also runs with a trainable one.
        steps: optimiser steps of every method.
    """

    name: ClassVar[str] = "linear-spectrum"
    shows: ClassVar[str] = "every latent varies to its own extent: AnInfoNCE finds the axes themselves"
    core_seconds: ClassVar[tuple[float, float]] = (705.0, 110.0)

    seeds: int = 2
    dim: int = 10
    largest: float = 12.5
    smallest: float = 2.5
    temperatures: tuple[float, ...] = (1.0, 0.5, 0.2, 0.1)
    steps: int = 3000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim < 4:
            raise ValueError(f"dim must be at least 4, got {self.dim}")
        if not 0 < self.smallest < self.largest:
            raise ValueError(f"expected 0 < smallest < largest, got {self.smallest} and {self.largest}")

    def quick(self) -> LinearSpectrum:
        """One mixing, two thirds of the steps, one temperature."""
        return replace(self, seeds=1, steps=2000, temperatures=(1.0,))

    def study(self) -> Study:
        """The methods to run, and what they are held against."""
        half = self.dim // 2
        # Λ̂ starts spread and moves slowly, so that the rotation finds the axes first: two neighbouring Λ̂ that become
        # equal while their axes are still mixed stay so.
        recipe = Recipe(width=48, initial_spread=2.2, rate_concentration=0.02, steps=self.steps)
        mixing = Mixing(tuple(torch.linspace(self.largest, self.smallest, self.dim, dtype=torch.float64).tolist()))
        groups = {"content": list(range(half)), "style": list(range(half, self.dim))}
        methods = contenders(recipe, self.temperatures)
        return Study(
            name=self.name,
            title=self.shows,
            tasks={method: RecoveryTask(mixing, recipe, groups) for method, recipe in methods.items()},
            seeds=self.all_seeds,
            references=REFERENCES,
            columns=COLUMNS,
            facts={"true_concentration": list(mixing.concentration)},
        )
