"""What the experiments on the gap share: one assumption is broken to rising degrees, everything else holds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.gap.checks import CHECKS
from aninfonce.experiments.gap.run import Architecture, GapTask
from aninfonce.experiments.gap.world import CONTENT, STYLE, World
from aninfonce.experiments.recipe import Recipe
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study

__all__ = ["R2_PANEL", "GapExperiment"]

COLUMNS = (
    "r2_content",
    "r2_style",
    "concentration_content",
    "concentration_style",
    "concentration_error",
    "rings",
)

R2_PANEL: Mapping[str, Any] = {
    "measures": ["r2_content", "r2_style"],
    "label": "held-out linear R²",
    "ylim": [-0.03, 1.03],
    "title": "what is recovered",
}


@dataclass(frozen=True, kw_only=True)
class GapExperiment(Experiment):
    """One assumption, broken to rising degrees.

    Attributes:
        degrees: the degrees of the violation, at least one; what they measure is said by the experiment.
        steps: optimiser steps of every run.
        samples: how many samples of fresh pairs the checks see, at least 1.
        rows: pairs in each of them.
        setting: what the degrees are called in the methods' names.
        axis: the axis of the figure, see `report._sweep.draw_sweep`.
        none: the degree at which the assumption holds.
        alarm: the check that is meant to find the violation, if there is one for it.
        labels: what figures call the series that have no name of their own there.
        further: measures that the table shows besides those of all these experiments.

    Raises:
        ValueError: if there is no degree or no sample.
    """

    setting: ClassVar[str]
    axis: ClassVar[Mapping[str, Any]]
    none: ClassVar[float]
    alarm: ClassVar[str | None] = None
    labels: ClassVar[Mapping[str, str]] = {}
    further: ClassVar[tuple[str, ...]] = ()

    seeds: int = 2
    degrees: tuple[float, ...] = ()
    steps: int = 600
    samples: int = 6
    rows: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.degrees:
            raise ValueError("degrees must hold at least one value, got none")
        if self.samples < 1:
            raise ValueError(f"samples must be at least 1, got {self.samples}")

    @abstractmethod
    def runs(self, degree: float) -> Mapping[str, GapTask]:
        """Series -> its run, with the assumption broken to that degree."""

    def quick(self) -> GapExperiment:
        """One mixing, the first, the middle (of an odd number) and the last degree, fewer steps and samples."""
        count, every = len(self.degrees), self.degrees
        kept = (every[0], *(every[count // 2 : count // 2 + 1] if count % 2 else ()), every[-1])
        degrees = tuple(dict.fromkeys(kept))
        return replace(self, seeds=1, degrees=degrees, steps=min(400, self.steps), samples=min(2, self.samples))

    def position(self, degree: float) -> float:
        """Where a degree stands on the axis."""
        return degree

    def panels(self) -> list[Mapping[str, Any]]:
        """What the figure shows beside the checks: R² and the learned concentrations."""
        learned = {
            "measures": ["concentration_content", "concentration_style"],
            "label": "learned Λ̂ (mean)",
            "truth": {f"Λ = {CONTENT:g} and {STYLE:g}": CONTENT, "": STYLE},
            "title": "concentrations (no factor 1/2)",
            "series": [self.label(series) for series in self.runs(self.none) if series.startswith("aninfonce")],
        }
        return [R2_PANEL, learned]

    def label(self, series: str) -> str:
        """What figures call a series."""
        return self.labels.get(series, series)

    def recipe(self, **changes: Any) -> Recipe:
        """The fast recipe of the controlled experiments, in which the theorem's assumptions hold."""
        fast = Recipe(width=48, batch_size=512, rate_matrices=0.07, rate_biases=0.08, steps=self.steps)
        return replace(fast, **changes)

    def checked(self, world: World, architecture: Architecture | None = None, **changes: Any) -> GapTask:
        """A run with AnInfoNCE, after which the assumptions are checked; with changes to the recipe."""
        recipe = self.recipe(**changes)
        return GapTask(world, recipe, architecture or Architecture(), samples=self.samples, rows=self.rows)

    def isotropic(self, world: World, architecture: Architecture | None = None, **changes: Any) -> GapTask:
        """The same with InfoNCE, its temperature trainable unless told otherwise, to compare with; no checks."""
        recipe = self.recipe(objective="infonce", **changes)
        return GapTask(world, recipe, architecture or Architecture(), samples=0)

    def method(self, series: str, degree: float) -> str:
        """The name of a run."""
        return f"{series}-{self.setting}-{degree:g}"

    def references(self) -> tuple[Reference, ...]:
        """Where nothing is broken: recovery and no more alarms than the level; at the worst: the alarm rings."""
        found = []
        if self.none in self.degrees:
            held = self.method("aninfonce", self.none)
            found = [
                Reference(f"{held}/r2_style", 0.98, relation=">=", source="aim", note="nothing broken"),
                Reference(f"{held}/concentration_error", 0.06, relation="<=", source="aim", note="nothing broken"),
                # The level, and what an encoder that is not perfect may add.
                Reference(f"{held}/rings", 0.05, 0.1, relation="<=", source="aim", note="nothing broken: quiet"),
            ]
        if self.alarm is not None and self.degrees[-1] != self.none:
            worst = self.method("aninfonce", self.degrees[-1])
            found.append(Reference(f"{worst}/rings_{self.alarm}", 0.8, relation=">=", source="aim", note="its check"))
        return tuple(found)

    def study(self) -> Study:
        """Every series at every degree."""
        tasks, points = {}, {}
        for degree in self.degrees:
            for series, task in self.runs(degree).items():
                method = self.method(series, degree)
                tasks[method], points[method] = task, {"series": self.label(series), "x": self.position(degree)}
        return Study(
            name=self.name,
            title=self.shows,
            tasks=tasks,
            seeds=self.all_seeds,
            references=self.references(),
            columns=(*COLUMNS, *self.further, "cpu_seconds"),
            facts={"axis": dict(self.axis), "points": points, "panels": self.panels(), "checks": list(CHECKS)},
        )
