"""What a larger batch buys at a fixed number of optimiser steps.

Of the loss's optimum a batch changes nothing (see `negatives-number`), only the noise of its gradient: fewer pairs and
fewer negatives. Steps are held fixed, not pairs, since rates and schedule are set for a number of steps: the curves are
over the noise alone, and the cost (in the table) grows with the batch.
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

__all__ = ["BatchSize"]

REFERENCES = (
    Reference("aninfonce-batch-2048/r2", 0.99, relation=">=", source="aim"),
    Reference(
        "aninfonce-batch-64/r2", 0.95, relation=">=", source="aim", note="noise does not keep it from the optimum"
    ),
    *(
        Reference(
            f"aninfonce-batch-{size}/concentration_error",
            0.05,
            relation="<=",
            source="theory",
            note="Λ̂ = Λ is optimal with any number of negatives",
        )
        for size in (64, 256, 1024)
    ),
    Reference(
        "infonce-tau-1-batch-2048/r2_style",
        0.1,
        relation="<=",
        source="theory",
        note="the collapse is the loss's own, not of small batches",
    ),
)


@dataclass(frozen=True, kw_only=True)
class BatchSize(Experiment):
    """The experiment's settings.

    Attributes:
        sizes: the batch sizes, in pairs, each at least 2.
        content: Λ of the first five of ten latents.
        style: Λ of the others.
        temperature: InfoNCE's fixed one; it also runs with a trainable one.
        steps: optimiser steps of every run.
    """

    name: ClassVar[str] = "batch-size"
    shows: ClassVar[str] = "what a larger batch buys in the same number of steps"
    core_seconds: ClassVar[tuple[float, float]] = (370.0, 45.0)

    sizes: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    content: float = 12.5
    style: float = 2.5
    temperature: float = 1.0
    steps: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sizes or min(self.sizes) < 2:
            raise ValueError(f"expected batches of at least 2 pairs, got {self.sizes}")

    def quick(self) -> BatchSize:
        """One mixing, three sizes, fewer steps."""
        return replace(self, seeds=1, sizes=(64, 256, 1024), steps=500)

    def study(self) -> Study:
        """The methods to run, and what they are held against."""
        recipe = Recipe(steps=self.steps, evaluations=1)
        candidates = contenders(recipe, (self.temperature,))
        series = {m: candidates[m] for m in ("aninfonce", f"infonce-tau-{self.temperature:g}", "infonce-trainable")}
        mixing = Mixing((self.content,) * 5 + (self.style,) * 5)
        groups = {"content": list(range(5)), "style": list(range(5, 10))}
        points = {f"{m}-batch-{size}": {"series": m, "x": float(size)} for size in self.sizes for m in series}
        return Study(
            name=self.name,
            title=self.shows,
            tasks={
                f"{m}-batch-{size}": RecoveryTask(mixing, replace(series[m], batch_size=size), groups)
                for size in self.sizes
                for m in series
            },
            seeds=self.all_seeds,
            references=REFERENCES,
            columns=COLUMNS,
            facts={
                "axis": {"label": f"pairs in a batch ({self.steps} steps each)", "scale": "log"},
                "points": points,
                "panels": [LATENTS, CONCENTRATIONS],
            },
        )
