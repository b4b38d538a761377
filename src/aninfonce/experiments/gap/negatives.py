"""Small batches, and positives that are too easy or too hard to tell from negatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from aninfonce.experiments.gap.run import GapTask
from aninfonce.experiments.gap.sweep import R2_PANEL, GapExperiment
from aninfonce.experiments.gap.world import CONTENT, STYLE, World

__all__ = ["GapNegatives"]

FACTOR = 10.0  # of Λ, for pairs that are easier or harder


@dataclass(frozen=True, kw_only=True)
class GapNegatives(GapExperiment):
    """The degrees are batch sizes, at least 2: the other anchors of a batch are the negatives.

    For any number of negatives the optimum is the same, so what a small batch costs is variance. Each size is trained
    for the same number of steps, on pairs as usual, on "hard" ones (Λ/10: near chance) and on "easy" ones (10Λ: the
    positive is nearly always found and Λ̂ hardly determined).
    """

    name: ClassVar[str] = "gap-negatives"
    shows: ClassVar[str] = "the gap: small batches, and pairs too easy or too hard to tell from negatives"
    core_seconds: ClassVar[tuple[float, float]] = (155.0, 25.0)
    setting: ClassVar[str] = "batch"
    axis: ClassVar[Mapping[str, Any]] = {"label": "batch size", "scale": "log"}
    none: ClassVar[float] = 512.0
    labels: ClassVar[Mapping[str, str]] = {
        "aninfonce": "AnInfoNCE",
        "aninfonce-hard": "AnInfoNCE, hard pairs (Λ/10)",
        "aninfonce-easy": "AnInfoNCE, easy pairs (10Λ)",
    }
    further: ClassVar[tuple[str, ...]] = ("hit_at_1", "effective_candidates")

    degrees: tuple[float, ...] = (8.0, 32.0, 128.0, 512.0)
    samples: int = 4

    def runs(self, degree: float) -> Mapping[str, GapTask]:
        """AnInfoNCE on usual, on hard and on easy pairs; Λ̂ starts at a third of the largest Λ."""
        found = {}
        for series, factor in {"aninfonce": 1.0, "aninfonce-hard": 1 / FACTOR, "aninfonce-easy": FACTOR}.items():
            world = World(concentration=(factor * CONTENT,) * 5 + (factor * STYLE,) * 5)
            found[series] = self.checked(world, batch_size=int(degree), initial_concentration=4.0 * factor)
        return found

    def panels(self) -> list[Mapping[str, Any]]:
        """R², the error of Λ̂, since Λ differs, and how hard the pairs are."""
        error = {"measures": ["concentration_error"], "label": "error of Λ̂, median of |Λ̂ - Λ|/Λ", "scale": "log"}
        hit = {"measures": ["hit_at_1"], "label": "Hit@1 among 1024 candidates", "ylim": [-0.03, 1.03]}
        return [R2_PANEL, error, hit]
