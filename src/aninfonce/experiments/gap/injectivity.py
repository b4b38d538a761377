"""A mixing that is less and less injective: two latents are folded at zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from aninfonce.experiments.gap.run import GapTask
from aninfonce.experiments.gap.sweep import R2_PANEL, GapExperiment
from aninfonce.experiments.gap.world import World

__all__ = ["GapInjectivity"]


@dataclass(frozen=True, kw_only=True)
class GapInjectivity(GapExperiment):
    """The first content and the first style latent enter the mixing as z where z > 0 and as s·z elsewhere.

    The degrees are the slopes s, in [-1, 1]: 1 changes nothing, at 0 the negative half of each is hidden, at -1 only
    |z| enters and signs are lost for good. On the sphere the other latents give the sum of their two squares away, so
    for s between 1 and -1 less is lost than it seems.
    """

    name: ClassVar[str] = "gap-injectivity"
    shows: ClassVar[str] = "the gap: a mixing that is not injective"
    core_seconds: ClassVar[tuple[float, float]] = (155.0, 20.0)
    setting: ClassVar[str] = "slope"
    axis: ClassVar[Mapping[str, Any]] = {"label": "slope of two latents below 0 (1: injective, -1: |z|)"}
    none: ClassVar[float] = 1.0
    further: ClassVar[tuple[str, ...]] = ("r2_singled", "smallest_singular_value")
    alarm: ClassVar[str | None] = "bingham"

    degrees: tuple[float, ...] = (1.0, 0.5, 0.0, -0.5, -1.0)

    def runs(self, degree: float) -> Mapping[str, GapTask]:
        """AnInfoNCE and InfoNCE."""
        world = World(fold=degree)
        return {"aninfonce": self.checked(world), "infonce-trainable": self.isotropic(world)}

    def panels(self) -> list[Mapping[str, Any]]:
        """R² of the two folded latents as well, and the mixing's smallest singular value."""
        recovered = {**R2_PANEL, "measures": ["r2_content", "r2_style", "r2_singled"], "series": ["aninfonce"]}
        both = {**R2_PANEL, "measures": ["r2_singled"], "title": "the two folded latents"}
        singular = {
            "measures": ["smallest_singular_value"],
            "label": "smallest singular value of the mixing",
            "series": ["aninfonce"],
        }
        return [recovered, both, super().panels()[1], singular]
