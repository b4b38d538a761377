"""When does InfoNCE lose style? Over the ratio of the concentrations and the temperature, AnInfoNCE beside it.

The ratio of content's to style's Λ says how far the pairs are from the isotropic ones that InfoNCE assumes; at ratio 1
there is nothing for AnInfoNCE to gain, and both must agree. All runs but one row are centred (see `Recipe.centring`).
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, replace
from typing import ClassVar

from aninfonce.experiments.contenders import contenders
from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.recovery import COLUMNS, RecoveryTask, recover
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study
from aninfonce.experiments.task import Outcome, Place

__all__ = ["AgreementTask", "RatioTemperature"]

SAME = "the isotropic case: Λ̂ has nothing to gain"
REFERENCES = (
    Reference("agreement/r2_difference", 0.0, 0.01, source="theory", note=SAME),
    Reference("agreement/concentration_difference", 0.0, 0.05, source="theory", note=SAME),
    Reference("agreement/concentration_range", 1.0, 0.2, source="theory", note=SAME),
    Reference("aninfonce-ratio-1/r2", 0.99, relation=">=", source="aim"),
    Reference("infonce-tau-0.1-ratio-1/r2", 0.99, relation=">=", source="aim", note="about the right τ = 1/(2Λ) = .09"),
    Reference("aninfonce-ratio-5/r2_style", 0.99, 0.01, ">=", note="figure"),
    Reference("aninfonce-ratio-100/r2_content", 0.95, relation=">=", source="aim"),
    Reference("aninfonce-ratio-100/r2_style", 0.9, relation=">=", source="aim"),
    Reference("infonce-tau-1-ratio-5/r2_content", 0.95, 0.02, note="figure, τ not named"),
    Reference("infonce-tau-1-ratio-5/r2_style", 0.01, 0.03, note="figure, τ not named"),
    Reference("infonce-tau-1-ratio-100/r2_style", 0.1, relation="<=", source="aim"),
)


@dataclass(frozen=True)
class AgreementTask:
    """InfoNCE with a trainable τ and AnInfoNCE on the same isotropic pairs, and how far apart they end.

    The metrics: `r2_difference`, R² over all latents, AnInfoNCE's less InfoNCE's; `concentration_difference`, the mean
    Λ̂ relative to InfoNCE's 1/(2τ), less 1; `concentration_range`, the largest Λ̂ over the smallest, 1 in truth.

    Attributes:
        mixing: the data-generating process, its concentrations all equal.
        recipe: how both are trained; its objective does not count.

    Raises:
        ValueError: if the concentrations are not all equal.
    """

    mixing: Mixing
    recipe: Recipe

    def __post_init__(self) -> None:
        if len(set(self.mixing.concentration)) > 1:
            raise ValueError(f"the two objectives agree if Λ is isotropic, got {self.mixing.concentration}")

    def run(self, seed: int, place: Place) -> Outcome:
        """Train both from the same start, on the same pairs."""
        started = time.process_time()
        ours = recover(self.mixing, replace(self.recipe, objective="aninfonce"), seed, device=place.device)
        isotropic = replace(self.recipe, objective="infonce", temperature=None)
        theirs = recover(self.mixing, isotropic, seed, device=place.device)
        numbers = {
            "r2_difference": ours.metrics["r2"] - theirs.metrics["r2"],
            "concentration_difference": statistics.fmean(ours.concentration) / theirs.concentration[0] - 1,
            "concentration_range": max(ours.concentration) / min(ours.concentration),
            "cpu_seconds": time.process_time() - started,
        }
        return Outcome(numbers, {"aninfonce": ours.concentration, "infonce": theirs.concentration[0]})


@dataclass(frozen=True, kw_only=True)
class RatioTemperature(Experiment):
    """The experiment's settings.

    Attributes:
        ratios: Λ of content over Λ of style, each at least 1.
        temperatures: InfoNCE's fixed temperatures; it also runs with a trainable one.
        concentration: the geometric mean of the two Λ, the same for every ratio, so that a ratio moves both apart by
            the same factor; by default that of 12.5 and 2.5, which are the pair at ratio 5.
        steps: optimiser steps of every run.
    """

    name: ClassVar[str] = "ratio-temperature"
    shows: ClassVar[str] = "when InfoNCE loses style: by the ratio of concentrations and the temperature"
    core_seconds: ClassVar[tuple[float, float]] = (415.0, 30.0)

    ratios: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 30.0, 100.0)
    temperatures: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
    concentration: float = math.sqrt(12.5 * 2.5)
    steps: int = 800

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ratios or min(self.ratios) < 1:
            raise ValueError(f"expected ratios of at least 1, got {self.ratios}")

    def quick(self) -> RatioTemperature:
        """Two ratios, two temperatures, fewer steps."""
        return replace(self, seeds=1, ratios=(1.0, 10.0), temperatures=(0.1, 1.0), steps=300)

    def study(self) -> Study:
        """The methods to run, and what they are held against."""
        # Centred, or at ratios from about 10 on most methods end in a trap that has nothing to do with what their loss
        # prefers; one row shows it.
        recipe = Recipe(width=64, batch_size=384, steps=self.steps, evaluations=1, centring=5.0)
        candidates = contenders(recipe, self.temperatures)
        candidates["aninfonce-uncentred"] = replace(recipe, centring=0.0)
        rows = {
            "aninfonce": "AnInfoNCE",
            "aninfonce-uncentred": "AnInfoNCE, uncentred",
            "infonce-trainable": "InfoNCE, trainable τ",
            **{f"infonce-tau-{t:g}": f"InfoNCE, τ = {t:g}" for t in self.temperatures},
        }
        groups = {"content": list(range(5)), "style": list(range(5, 10))}
        cells = {f"{m}-ratio-{r:g}": [f"{r:g}", row] for r in self.ratios for m, row in rows.items()}
        tasks = {
            f"{m}-ratio-{r:g}": RecoveryTask(self._mixing(r), candidates[m], groups) for r in self.ratios for m in rows
        }
        return Study(
            name=self.name,
            title=self.shows,
            tasks={**tasks, "agreement": AgreementTask(self._mixing(1.0), recipe)},
            seeds=self.all_seeds,
            references=REFERENCES,
            columns=(*COLUMNS, "r2_difference", "concentration_difference", "concentration_range"),
            facts={
                "columns": {
                    "label": "ratio of concentrations, content / style",
                    "names": [f"{r:g}" for r in self.ratios],
                },
                "rows": {"names": list(rows.values()), "apart": 2},
                "cells": cells,
                "scale": {"label": "held-out linear R²", "limits": [0, 1]},
                "panels": [
                    {"measure": "r2_content", "title": "content"},
                    {"measure": "r2_style", "title": "style"},
                ],
            },
        )

    def _mixing(self, ratio: float) -> Mixing:
        root = math.sqrt(ratio)
        return Mixing((self.concentration * root,) * 5 + (self.concentration / root,) * 5)
