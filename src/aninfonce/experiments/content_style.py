"""Content and style: half of the latents hardly vary within a positive pair, the other half vary strongly.

InfoNCE keeps the first half and, depending on its temperature, loses the second; AnInfoNCE recovers both.
arXiv 2407.00143, Sec. 5.1 (bimodal Λ).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from aninfonce.experiments.contenders import contenders
from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.recovery import COLUMNS, RecoveryTask
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study

__all__ = ["ContentStyle"]

# Read off a figure of the paper at 50,000 steps, to about ±.01 (style of InfoNCE: ±.02), and for R² over all latents
# from the log of its public code; its "25 / 5" is Λ = 12.5 / 2.5 here (no factor 1/2). There is no log of InfoNCE, and
# its temperature is not named: τ = 1 is what the figures look like.
REFERENCES = (
    Reference("aninfonce/r2_content", 0.99, 0.01, note="figure"),
    Reference("aninfonce/r2_style", 0.99, 0.01, note="figure"),
    Reference("aninfonce/r2", 0.997, 0.002, note="log of the public code"),
    Reference("infonce-tau-1/r2_content", 0.95, 0.02, note="figure, τ not named"),
    Reference("infonce-tau-1/r2_style", 0.01, 0.03, note="figure, τ not named"),
    Reference("aninfonce/concentration_error", 0.02, relation="<=", source="theory", note="Λ̂ = Λ with other anchors"),
)


@dataclass(frozen=True, kw_only=True)
class ContentStyle(Experiment):
    """The experiment's settings.

    Attributes:
        dim: number of latents, even.
        content: Λ of the first half of them.
        style: Λ of the second half.
        temperatures: InfoNCE's fixed temperatures; it also runs with a trainable one.
        steps: optimiser steps of every method but "aninfonce-fast".
        fast_steps: its steps: the smallest budget that still recovers every latent (R² ≥ .99), with a narrower encoder.
    """

    name: ClassVar[str] = "content-style"
    shows: ClassVar[str] = "content and style: what AnInfoNCE recovers and InfoNCE loses, by temperature"
    core_seconds: ClassVar[tuple[float, float]] = (435.0, 75.0)

    seeds: int = 2
    dim: int = 10
    content: float = 12.5
    style: float = 2.5
    temperatures: tuple[float, ...] = (1.0, 0.5, 0.2, 0.1)
    steps: int = 2000
    fast_steps: int = 900

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim < 4 or self.dim % 2:
            raise ValueError(f"dim must be even and at least 4, got {self.dim}")

    def quick(self) -> ContentStyle:
        """One mixing, half of the steps, three temperatures."""
        return replace(self, seeds=1, steps=900, temperatures=(1.0, 0.2))

    def study(self) -> Study:
        """The methods to run, and what they are held against."""
        half = self.dim // 2
        recipe = Recipe(width=96, steps=self.steps)
        fast = Recipe(
            width=48, batch_size=512, rate_matrices=0.07, rate_biases=0.08, steps=min(self.fast_steps, self.steps)
        )
        mixing = Mixing((self.content,) * half + (self.style,) * half)
        groups = {"content": list(range(half)), "style": list(range(half, self.dim))}
        methods = {"aninfonce": recipe, "aninfonce-fast": fast, **contenders(recipe, self.temperatures)}
        return Study(
            name=self.name,
            title=self.shows,
            tasks={method: RecoveryTask(mixing, recipe, groups) for method, recipe in methods.items()},
            seeds=self.all_seeds,
            references=REFERENCES,
            columns=COLUMNS,
            facts={"true_concentration": list(mixing.concentration)},
        )
