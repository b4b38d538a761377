"""Which other samples serve as negatives, and what that does to Λ̂.

The theorem draws negatives from the marginal of the anchors, which is uniform. The positives' marginal is not, when Λ
is anisotropic, and as an anchor a positive has another normaliser: both shrink the range of Λ̂. The public code's
figures (23.1 / 5.5 for 25 / 5, in its convention) are those of the other positives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from aninfonce.experiments.bias import BiasTask
from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study

__all__ = ["NegativesKind"]

KINDS = {"anchors": "other anchors", "positives": "other positives", "both": "other anchors and positives"}
DIRECTIONS = {"": "one direction", "-symmetric": "both directions"}

REFERENCES = (
    Reference("anchors/concentration_content", 12.5, 0.25, source="theory", note="Λ̂ = Λ with other anchors"),
    Reference("anchors/concentration_style", 2.5, 0.05, source="theory", note="Λ̂ = Λ with other anchors"),
    Reference("positives-symmetric/concentration_content", 11.55, 0.25, note="log of the public code, its 23.1"),
    Reference("positives-symmetric/concentration_style", 2.75, 0.1, note="log of the public code, its 5.5"),
    Reference("positives/concentration_content", 11.6, 0.25, source="aim", note="earlier measurement, 4000 steps"),
    Reference("positives/concentration_style", 2.69, 0.08, source="aim", note="earlier measurement, 4000 steps"),
)


@dataclass(frozen=True, kw_only=True)
class NegativesKind(Experiment):
    """The experiment's settings.

    Attributes:
        content: Λ of the first five of ten latents.
        style: Λ of the others.
        steps: optimiser steps of every run.
    """

    name: ClassVar[str] = "negatives-kind"
    shows: ClassVar[str] = "where the bias of the learned concentrations comes from: the choice of negatives"
    core_seconds: ClassVar[tuple[float, float]] = (250.0, 35.0)

    seeds: int = 2
    content: float = 12.5
    style: float = 2.5
    steps: int = 2000

    def quick(self) -> NegativesKind:
        """One mixing, fewer steps."""
        return replace(self, seeds=1, steps=600)

    def study(self) -> Study:
        """The methods to run, and what they are held against."""
        mixing = Mixing((self.content,) * 5 + (self.style,) * 5)
        groups = {"content": list(range(5)), "style": list(range(5, 10))}
        recipe = Recipe(width=64, batch_size=512, steps=self.steps, evaluations=1)
        variants = {
            f"{kind}{suffix}": replace(recipe, negatives_from=kind, symmetric=bool(suffix))
            for suffix in DIRECTIONS
            for kind in KINDS
        }
        return Study(
            name=self.name,
            title=self.shows,
            tasks={name: BiasTask(mixing, variant, groups) for name, variant in variants.items()},
            seeds=self.all_seeds,
            references=REFERENCES,
            columns=("r2_content", "r2_style", "concentration_content", "concentration_style", "cpu_seconds"),
            facts={
                "rows": {f"{k}{s}": f"{kind}, {way}" for s, way in DIRECTIONS.items() for k, kind in KINDS.items()},
                "true": {"content": self.content, "style": self.style},
                "published": {"positives-symmetric": {"content": 11.55, "style": 2.75}},
            },
        )
