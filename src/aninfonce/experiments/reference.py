"""What a measured number is held against: a published figure, or what theory promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aninfonce._checks import nearest_name

__all__ = ["Reference", "held_against"]

RELATIONS = ("=", ">=", "<=")
SOURCES = ("published", "theory", "aim")


@dataclass(frozen=True)
class Reference:
    """A number to be met.

    Attributes:
        name: METHOD/MEASURE.
        value: the number.
        tolerance: how far off still counts as met, in the unit of the number, at least 0.
        relation: "=" (within the tolerance on either side), ">=" or "<=" (short of it by no more than the tolerance).
        source: "published" (the paper, or the log of its public code), "theory" (derived, see docs), or "aim" (a bar
            that this project set itself before it measured).
        note: where it stands, or which statement it is.

    Raises:
        ValueError: if the relation or the source is unknown, or the tolerance is negative.

    Example:
        >>> Reference("aninfonce/r2_style", 0.99, tolerance=0.01, relation=">=").met(0.985)
        True
    """

    name: str
    value: float
    tolerance: float = 0.0
    relation: str = "="
    source: str = "published"
    note: str = ""

    def __post_init__(self) -> None:
        nearest_name("relation", self.relation, RELATIONS)
        nearest_name("source", self.source, SOURCES)
        if not self.tolerance >= 0:
            raise ValueError(f"the tolerance of {self.name} must be at least 0, got {self.tolerance}")

    def met(self, measured: float) -> bool:
        """Whether a measured number meets it; NaN never does."""
        if self.relation == ">=":
            return measured >= self.value - self.tolerance
        if self.relation == "<=":
            return measured <= self.value + self.tolerance
        return abs(measured - self.value) <= self.tolerance


def held_against(references: tuple[Reference, ...], metrics: Mapping[str, float]) -> list[dict[str, Any]]:
    """Every reference with what was measured: its fields, "ours" and "met" (both None if nothing was measured)."""
    rows = []
    for reference in references:
        ours = metrics.get(reference.name)
        rows.append({**asdict(reference), "ours": ours, "met": None if ours is None else reference.met(ours)})
    return rows
