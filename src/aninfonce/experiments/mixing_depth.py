"""How nonlinear may the mixing be? Recovery over the depth of g, everything else held fixed.

The theorem asks only that g be invertible; a deeper g asks more of the encoder and of the training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from aninfonce.experiments.contenders import contenders
from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.panels import CONCENTRATIONS, LATENTS
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.recovery import COLUMNS, RecoveryTask
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study

__all__ = ["MixingDepth"]

REFERENCES = (
    Reference("aninfonce-depth-1/r2", 0.998, relation=">=", source="theory", note="a linear g is in the encoder"),
    Reference("aninfonce-depth-3/r2", 0.99, relation=">=", source="aim"),
    Reference("aninfonce-depth-5/r2", 0.95, relation=">=", source="aim"),
    Reference("infonce-tau-1-depth-3/r2_content", 0.95, 0.02, note="figure, τ not named"),
    Reference("infonce-tau-1-depth-3/r2_style", 0.01, 0.03, note="figure, after 50,000 steps, τ not named"),
)


@dataclass(frozen=True, kw_only=True)
class MixingDepth(Experiment):
    """The experiment's settings.

    Attributes:
        depths: numbers of layers of g, each at least 1 (linear).
        temperatures: InfoNCE's fixed temperatures; it also runs with a trainable one.
        content: Λ of the first five of ten latents.
        style: Λ of the others.
        steps: optimiser steps of every run.
    """

    name: ClassVar[str] = "mixing-depth"
    shows: ClassVar[str] = "how deep a mixing the same training undoes"
    core_seconds: ClassVar[tuple[float, float]] = (320.0, 30.0)

    seeds: int = 2
    depths: tuple[int, ...] = (1, 2, 3, 4, 5)
    temperatures: tuple[float, ...] = (1.0, 0.2)
    content: float = 12.5
    style: float = 2.5
    steps: int = 800

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.depths or min(self.depths) < 1:
            raise ValueError(f"expected depths of at least 1, got {self.depths}")

    def quick(self) -> MixingDepth:
        """One mixing a depth, three depths, one temperature, fewer steps."""
        return replace(self, seeds=1, depths=(1, 3, 5), temperatures=(1.0,), steps=500)

    def study(self) -> Study:
        """The methods to run, and what they are held against."""
        recipe = Recipe(batch_size=384, steps=self.steps, evaluations=1)
        candidates = contenders(recipe, self.temperatures)
        fixed = (f"infonce-tau-{t:g}" for t in self.temperatures)
        series = {m: candidates[m] for m in ("aninfonce", *fixed, "infonce-trainable")}
        mixing = Mixing((self.content,) * 5 + (self.style,) * 5)
        groups = {"content": list(range(5)), "style": list(range(5, 10))}
        points = {f"{m}-depth-{depth}": {"series": m, "x": float(depth)} for depth in self.depths for m in series}
        return Study(
            name=self.name,
            title=self.shows,
            tasks={
                f"{m}-depth-{depth}": RecoveryTask(replace(mixing, depth=depth), series[m], groups)
                for depth in self.depths
                for m in series
            },
            seeds=self.all_seeds,
            references=REFERENCES,
            columns=COLUMNS,
            facts={
                "axis": {"label": "layers of the mixing g"},
                "points": points,
                "panels": [LATENTS, CONCENTRATIONS],
            },
        )
