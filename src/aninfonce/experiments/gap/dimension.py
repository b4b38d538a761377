"""An embedding with fewer or more dimensions than there are latents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from aninfonce.experiments.gap.run import Architecture, GapTask
from aninfonce.experiments.gap.sweep import GapExperiment
from aninfonce.experiments.gap.world import World

__all__ = ["GapDimension"]


@dataclass(frozen=True, kw_only=True)
class GapDimension(GapExperiment):
    """The degrees are the embedding's dimensions, at least 2; the latents have 10.

    No test is meant for this: the sign is an effective rank that is not the embedding's dimension, or, with too few
    dimensions, tests that reject.
    """

    name: ClassVar[str] = "gap-dimension"
    shows: ClassVar[str] = "the gap: an embedding with fewer or more dimensions than latents"
    core_seconds: ClassVar[tuple[float, float]] = (145.0, 25.0)
    setting: ClassVar[str] = "dimension"
    axis: ClassVar[Mapping[str, Any]] = {"label": "embedding dimension (10 latents)"}
    none: ClassVar[float] = 10.0
    further: ClassVar[tuple[str, ...]] = ("effective_rank",)

    degrees: tuple[float, ...] = (6.0, 8.0, 10.0, 12.0, 16.0)

    def runs(self, degree: float) -> Mapping[str, GapTask]:
        """AnInfoNCE and InfoNCE."""
        world, architecture = World(), Architecture(embedding_dim=int(degree))
        return {
            "aninfonce": self.checked(world, architecture),
            "infonce-trainable": self.isotropic(world, architecture),
        }

    def panels(self) -> list[Mapping[str, Any]]:
        """Also the effective rank."""
        return [
            *super().panels(),
            {"measures": ["effective_rank"], "label": "effective rank of the embedding", "truth": {"10 latents": 10.0}},
        ]
