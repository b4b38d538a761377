"""Latents that are not uniform on the sphere: they lean to one side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from aninfonce.experiments.gap.run import GapTask
from aninfonce.experiments.gap.sweep import GapExperiment
from aninfonce.experiments.gap.world import World

__all__ = ["GapMarginal"]


@dataclass(frozen=True, kw_only=True)
class GapMarginal(GapExperiment):
    """The marginal is von Mises–Fisher around (1, …, 1)/√d; its concentrations κ ≥ 0 are the degrees.

    With κ > 0 the candidates' own density enters the posterior, which no Λ̂ and no encoder of the theorem represent.
    """

    name: ClassVar[str] = "gap-marginal"
    shows: ClassVar[str] = "the gap: latents that are not uniform, and which checks notice"
    core_seconds: ClassVar[tuple[float, float]] = (190.0, 30.0)
    setting: ClassVar[str] = "kappa"
    axis: ClassVar[Mapping[str, Any]] = {"label": "κ of the marginal (0: uniform)"}
    none: ClassVar[float] = 0.0
    alarm: ClassVar[str | None] = "rayleigh"

    degrees: tuple[float, ...] = (0.0, 1.0, 2.5, 5.0, 10.0)

    def runs(self, degree: float) -> Mapping[str, GapTask]:
        """AnInfoNCE and InfoNCE."""
        world = World(lean=degree)
        return {"aninfonce": self.checked(world), "infonce-trainable": self.isotropic(world)}
