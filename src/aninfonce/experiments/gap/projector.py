"""A projector on top: the loss sees its output, readouts what comes before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from aninfonce.experiments.gap.run import Architecture, GapTask
from aninfonce.experiments.gap.sweep import GapExperiment
from aninfonce.experiments.gap.world import World

__all__ = ["GapProjector"]


@dataclass(frozen=True, kw_only=True)
class GapProjector(GapExperiment):
    """The degrees are the layers of the projector, from 0 (none), between 32 features and the embedding of 10.

    The theorem speaks of the projector's output. What lies below it is only as good as the loss leaves it: InfoNCE at
    τ = 1, which empties the output of style, shows how much of it stays in the features.
    """

    name: ClassVar[str] = "gap-projector"
    shows: ClassVar[str] = "the gap: a projector on top of what is read out"
    core_seconds: ClassVar[tuple[float, float]] = (200.0, 28.0)
    setting: ClassVar[str] = "layers"
    axis: ClassVar[Mapping[str, Any]] = {"label": "layers of the projector (0: none)"}
    none: ClassVar[float] = 0.0
    further: ClassVar[tuple[str, ...]] = ("features_r2_content", "features_r2_style")

    degrees: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0)

    def runs(self, degree: float) -> Mapping[str, GapTask]:
        """AnInfoNCE and InfoNCE, its τ trainable or 1, which takes a wider network to collapse."""
        world, architecture = World(), Architecture(projector_layers=int(degree))
        return {
            "aninfonce": self.checked(world, architecture),
            "infonce-trainable": self.isotropic(world, architecture),
            "infonce-tau-1": self.isotropic(world, architecture, temperature=1.0, width=96),
        }

    def panels(self) -> list[Mapping[str, Any]]:
        """R² of the style before and after, then of the content."""
        shown = {"label": "held-out linear R²", "ylim": [-0.03, 1.03]}
        style, content = (
            {**shown, "measures": [f"r2_{group}", f"features_r2_{group}"], "title": f"{group}: output and features"}
            for group in ("style", "content")
        )
        return [style, content, super().panels()[1]]
