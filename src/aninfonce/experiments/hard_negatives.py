"""Hard negatives: what each kind makes of Λ̂, with trained encoders, and how Λ itself is recovered.

Negatives drawn near their anchor, from p⁻ ∝ exp(-(c-z)ᵀΛ⁻(c-z)), give Λ̂ = Λ - Λ⁻, and Λ with the log-Q correction; the
batch's own, re-weighted by e^{βs}, give Λ̂ = Λ/(1 + β); the k hardest give Λ if the choice ignores which one is the
positive. arXiv 2407.00143 (hard negative mining); the statements are derived for this library, see `aninfonce verify`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.mined_negatives import MinedTask, TiltedTask
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study
from aninfonce.experiments.task import Task

__all__ = ["HardNegatives"]

COLUMNS = ("r2_content", "r2_style", "concentration_content", "concentration_style", "folded", "cpu_seconds")
TOLERANCE = 0.1  # of Λ̂, relative to the larger of Λ and Λ⁻: their difference is not known better than they are
RECOVERED = 0.98  # R² of a group of latents that the loss determines


@dataclass(frozen=True, kw_only=True)
class HardNegatives(Experiment):
    """The experiment's settings.

    Attributes:
        dim: number of latents, even, at least 4; the first half is content, the second style.
        content: Λ of the content.
        style: Λ of the style.
        tilts: strengths of Λ⁻, > 0, the same for all latents; each runs as it is and corrected, both after a warm-up
            with negatives from the marginal. At Λ⁻ = Λ latents vanish from the loss, above it Λ̂ is negative.
        from_the_start: the tilts that also run without a warm-up.
        negatives: tilted ones of every anchor, M.
        betas: β of the re-weighting; 0 is the plain loss.
        kept: k of the k hardest of the batch, consistently and naively chosen.
        steps: number of steps of a run with negatives from the batch.
        tilted_steps: number of steps of a run with tilted negatives.
        warm_up: steps of these with negatives from the marginal, fewer than all.
    """

    name: ClassVar[str] = "hard-negatives"
    shows: ClassVar[str] = "hard negatives: what each kind makes of the learned concentrations, and the corrections"
    core_seconds: ClassVar[tuple[float, float]] = (400.0, 45.0)

    seeds: int = 2
    dim: int = 6
    content: float = 12.5
    style: float = 2.5
    tilts: tuple[float, ...] = (1.25, 2.5, 5.0)
    from_the_start: tuple[float, ...] = (2.5, 5.0)
    negatives: int = 16
    betas: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0)
    kept: int = 16
    steps: int = 1000
    tilted_steps: int = 1000
    warm_up: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim < 4 or self.dim % 2:
            raise ValueError(f"dim must be even and at least 4, got {self.dim}")
        if not all(tilt > 0 for tilt in (*self.tilts, *self.from_the_start)):
            raise ValueError(f"tilts must be positive, got {self.tilts} and {self.from_the_start}")
        if not 0 < self.warm_up < self.tilted_steps:
            raise ValueError(
                f"warm_up must be at least 1 and below tilted_steps, got {self.warm_up} and {self.tilted_steps}"
            )

    def quick(self) -> HardNegatives:
        """One mixing, one tilt, two β, fewer steps."""
        return replace(
            self, seeds=1, tilts=(5.0,), from_the_start=(), betas=(0.0, 1.0), steps=500, tilted_steps=600, warm_up=200
        )

    def study(self) -> Study:
        """The methods to run, and what they are held against."""
        methods = {**self._tilted(), **self._mined()}
        return Study(
            name=self.name,
            title=self.shows,
            tasks={name: task for name, (task, _) in methods.items()},
            seeds=self.all_seeds,
            references=tuple(r for name, (_, point) in methods.items() for r in self._references(name, point)),
            columns=COLUMNS,
            facts={
                "content": self.content,
                "style": self.style,
                "points": {name: point for name, (_, point) in methods.items()},
            },
        )

    @property
    def _mixing(self) -> Mixing:
        # Two weight matrices: with one layer of kinks every run is short enough for a sweep.
        return Mixing((self.content,) * (self.dim // 2) + (self.style,) * (self.dim // 2), depth=2)

    @property
    def _groups(self) -> dict[str, list[int]]:
        half = self.dim // 2
        return {"content": list(range(half)), "style": list(range(half, self.dim))}

    def _tilted(self) -> dict[str, tuple[Task, dict[str, Any]]]:
        """Method -> its run and its place in the figure."""
        # Centred: with the correction it then takes no warm-up (without, style stayed at R² .65 from the start).
        recipe = Recipe(width=48, batch_size=128, steps=self.tilted_steps, centring=5.0)
        starts = {"": (self.tilts, self.warm_up), "-from-the-start": (self.from_the_start, 0)}
        methods: dict[str, tuple[Task, dict[str, Any]]] = {}
        for start, (tilts, warm_up) in starts.items():
            for tilt in tilts:
                for kind, corrected in (("tilted", False), ("corrected", True)):
                    task = TiltedTask(
                        self._mixing, recipe, (tilt,) * self.dim, self._groups, self.negatives, corrected, warm_up
                    )
                    point = {"series": kind + start, "x": tilt, **self._promise(0.0 if corrected else tilt, 0.0)}
                    methods[f"{kind}-{tilt:g}{start}"] = (task, point)
        return methods

    def _mined(self) -> dict[str, tuple[Task, dict[str, Any]]]:
        """Method -> its run and its place in the figure."""
        recipe = Recipe(width=48, steps=self.steps)
        methods: dict[str, tuple[Task, dict[str, Any]]] = {}
        for beta in self.betas:
            task = MinedTask(self._mixing, recipe, self._groups, "reweighted", beta)
            methods[f"reweighted-{beta:g}"] = (task, {"series": "reweighted", "x": beta, **self._promise(0.0, beta)})
        for kind in ("top-k", "naive-top-k"):
            task = MinedTask(self._mixing, recipe, self._groups, kind, self.kept)
            methods[f"{kind}-{self.kept}"] = (task, {"series": kind, "x": self.kept, **self._promise(0.0, 0.0)})
        return methods

    def _promise(self, tilt: float, beta: float) -> dict[str, float]:
        """Λ̂ of content and style in theory."""
        return {"content": (self.content - tilt) / (1 + beta), "style": (self.style - tilt) / (1 + beta)}

    def _references(self, method: str, point: Mapping[str, Any]) -> list[Reference]:
        """What theory promises of a method; how a start without a warm-up or the naive choice ends it does not say."""
        notes = {
            "tilted": "Λ̂ = Λ - Λ⁻",
            "corrected": "Λ̂ = Λ with the log-Q correction",
            "corrected-from-the-start": "Λ̂ = Λ with the log-Q correction, no warm-up",
            "reweighted": "Λ̂ = Λ/(1 + β)",
            "top-k": "Λ̂ = Λ among the k + 1 hardest candidates",
        }
        if point["series"] == "tilted-from-the-start" and point["style"] == 0:
            return [
                Reference(f"{method}/r2_style", 0.5, relation="<=", source="theory", note="Λ = Λ⁻: not in the loss")
            ]
        if point["series"] not in notes:
            return []
        kind = point["series"].removesuffix("-from-the-start")
        tilt = point["x"] if kind in ("tilted", "corrected") else 0.0
        beta = point["x"] if point["series"] == "reweighted" else 0.0
        rows = []
        for group, true in (("content", self.content), ("style", self.style)):
            tolerance = TOLERANCE * max(true, tilt) / (1 + beta)
            note = notes[point["series"]]
            rows.append(
                Reference(f"{method}/concentration_{group}", point[group], tolerance, source="theory", note=note)
            )
            if point[group] != 0:  # otherwise the loss does not depend on these latents
                rows.append(Reference(f"{method}/r2_{group}", RECOVERED, relation=">=", source="aim"))
        return rows
