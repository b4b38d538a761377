"""A conditional of another shape: heavier tails, or a concentration that depends on where the anchor is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from aninfonce.experiments.gap.run import GapTask
from aninfonce.experiments.gap.sweep import GapExperiment
from aninfonce.experiments.gap.world import World
from aninfonce.experiments.reference import Reference

__all__ = ["GapConditional"]


@dataclass(frozen=True, kw_only=True)
class GapConditional(GapExperiment):
    """Λ is not the same for all pairs; the degrees are its coefficients of variation c, in [0, 1).

    Two ways: "aninfonce", by chance: Λ·χ²_ν/ν with ν = 2/c² (rounded) degrees of freedom, so that deviations have the
    tails of Student's t. And "aninfonce-drift", by the anchor: Λ·√r where z_1 > 0 and Λ/√r elsewhere, with
    r = (1 + c)/(1 - c).

    Raises:
        ValueError: if a degree is not in [0, 1).
    """

    name: ClassVar[str] = "gap-conditional"
    shows: ClassVar[str] = "the gap: a conditional with heavier tails, or that depends on the anchor"
    core_seconds: ClassVar[tuple[float, float]] = (160.0, 20.0)
    setting: ClassVar[str] = "variation"
    axis: ClassVar[Mapping[str, Any]] = {"label": "coefficient of variation of Λ between pairs"}
    none: ClassVar[float] = 0.0
    alarm: ClassVar[str | None] = "information_matrix"
    labels: ClassVar[Mapping[str, str]] = {
        "aninfonce": "AnInfoNCE, heavier tails",
        "aninfonce-drift": "AnInfoNCE, Λ by the anchor",
    }

    degrees: tuple[float, ...] = (0.0, 0.25, 0.5, 0.8)
    samples: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= degree < 1 for degree in self.degrees):
            raise ValueError(f"degrees must be in [0, 1), got {self.degrees}")

    def runs(self, degree: float) -> Mapping[str, GapTask]:
        """AnInfoNCE with heavier tails and with a Λ that depends on the anchor."""
        tails = World(degrees_of_freedom=max(1, round(2 / degree**2)) if degree > 0 else None)
        drift = World(drift=(1 + degree) / (1 - degree))
        return {"aninfonce": self.checked(tails), "aninfonce-drift": self.checked(drift)}

    def references(self) -> tuple[Reference, ...]:
        """Also: where Λ depends on the anchor, the test of stationarity rings."""
        worst = self.method("aninfonce-drift", self.degrees[-1])
        rings = Reference(f"{worst}/rings_stationarity", 0.8, relation=">=", source="aim", note="its check")
        return (*super().references(), rings) if self.degrees[-1] != self.none else super().references()
