"""How many negatives does it take? Every anchor is told apart from M other anchors, the batch held fixed.

With negatives from the marginal the softmax is the posterior of which candidate is the positive, so that the truth,
Λ̂ = Λ included, is optimal for every M ≥ 1. M changes how much an anchor tells, and so how near training comes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from aninfonce.experiments.bias import BiasTask
from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study

__all__ = ["NegativesNumber"]

# Chosen before the measurement: 6 % of Λ̂ for the fewest negatives, 4 % for the others.
REFERENCES = tuple(
    Reference(
        f"aninfonce-negatives-{count}/bias_{group}",
        0.0,
        0.06 if count == 1 else 0.04,
        source="theory",
        note="Λ̂ = Λ is optimal for every M",
    )
    for count in (1, 4, 16, 64, 255)
    for group in ("content", "style")
)


@dataclass(frozen=True, kw_only=True)
class NegativesNumber(Experiment):
    """The experiment's settings.

    Attributes:
        numbers: numbers of negatives an anchor, M, each at least 1 and below the batch size.
        batch_size: anchors a step.
        content: Λ of the first five of ten latents.
        style: Λ of the others.
        steps: optimiser steps of every run.
    """

    name: ClassVar[str] = "negatives-number"
    shows: ClassVar[str] = "how many negatives an anchor needs: the optimum is the same for all, few make it slow"
    core_seconds: ClassVar[tuple[float, float]] = (295.0, 25.0)

    seeds: int = 2
    numbers: tuple[int, ...] = (1, 4, 16, 64, 255)
    batch_size: int = 512
    content: float = 12.5
    style: float = 2.5
    steps: int = 1800

    def quick(self) -> NegativesNumber:
        """One mixing, three numbers, fewer steps."""
        return replace(self, seeds=1, numbers=(1, 8, 64), steps=1000)

    def study(self) -> Study:
        """The methods to run, and what they are held against."""
        # Centred: with few negatives, too, training otherwise may fold a latent (see `Recipe.centring`).
        recipe = Recipe(width=64, batch_size=self.batch_size, steps=self.steps, evaluations=1, centring=5.0)
        mixing = Mixing((self.content,) * 5 + (self.style,) * 5)
        groups = {"content": list(range(5)), "style": list(range(5, 10))}
        tasks = {f"aninfonce-negatives-{count}": BiasTask(mixing, recipe, groups, count) for count in self.numbers}
        return Study(
            name=self.name,
            title=self.shows,
            tasks=tasks,
            seeds=self.all_seeds,
            references=REFERENCES,
            columns=("r2_content", "r2_style", "concentration_content", "concentration_style", "cpu_seconds"),
            facts={
                "axis": {"label": f"negatives an anchor, M ({self.batch_size} anchors a step)", "scale": "log"},
                "points": {
                    f"aninfonce-negatives-{count}": {"series": "aninfonce", "x": float(count)} for count in self.numbers
                },
                "panels": [
                    {
                        "measures": ["r2_content", "r2_style"],
                        "label": "held-out linear R²",
                        "ylim": [0.8, 1.01],
                        "title": "latents",
                    },
                    {
                        "measures": ["bias_content", "bias_style"],
                        "label": "mean of Λ̂/Λ - 1",
                        "ylim": [-0.25, 0.25],
                        "truth": {"promised for every M": 0.0},
                        "title": "concentrations",
                    },
                ],
            },
        )
