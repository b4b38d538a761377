"""The bars that `losses.py` holds our losses against. A bar that was not measured is never met."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OURS = "aninfonce InfoNCE"
OURS_ANISOTROPIC = "aninfonce AnInfoNCE"
DENSE = "dense cross-entropy"
LIGHTLY = "lightly NTXentLoss"
SOLO = "solo-learn simclr_loss_func"
FLOORS = ("hardware floor, blocks of 256", "hardware floor, blocks of 512")

Row = Mapping[str, object]


@dataclass(frozen=True)
class Reading:
    """One number of one row."""

    field: str
    contender: str
    negatives: str
    batch: int

    def of(self, rows: Sequence[Row]) -> float | None:
        """The number, or None if it was not measured.

        Raises:
            ValueError: if two rows claim to hold it.
        """
        identity = (self.contender, self.negatives, self.batch)
        found = [
            row[self.field]
            for row in rows
            if self.field in row and (row.get("contender"), row.get("negatives"), row.get("batch")) == identity
        ]
        if len(found) > 1:
            raise ValueError(f"{len(found)} rows for {identity}, expected one")
        if not found or isinstance(found[0], bool) or not isinstance(found[0], int | float):
            return None
        value = float(found[0])
        # Nothing takes no time or no memory: such a reading is a failed measurement. An error may be 0.
        usable = math.isfinite(value) and (value >= 0 if self.field.endswith("_error") else value > 0)
        return value if usable else None


@dataclass(frozen=True)
class Bar:
    """A number, or its ratio to the smallest of the references, that must not exceed `bar` and should not `aim`."""

    name: str
    bar: float
    aim: float
    reading: Reading
    references: tuple[Reading, ...] = ()

    def measure(self, rows: Sequence[Row]) -> float | None:
        value = self.reading.of(rows)
        if value is None or not self.references:
            return value
        references = [reference.of(rows) for reference in self.references]
        # The fastest of several references counts, so all of them must be there.
        if any(reference is None for reference in references):
            return None
        return value / min(reference for reference in references if reference is not None)

    def evaluate(self, rows: Sequence[Row]) -> dict[str, object]:
        measured = self.measure(rows)
        met = measured is not None and measured <= self.bar
        reached = measured is not None and measured <= self.aim
        if measured is None:
            verdict = "not measured"
        elif not met:
            verdict = "missed"
        else:
            verdict = "met, and the aim" if reached else "met"
        return {
            "name": self.name,
            "measured": measured,
            "bar": self.bar,
            "aim": self.aim,
            "met": met,
            "aim_reached": reached,
            "verdict": verdict,
        }


def bars(accuracy_batch: int) -> list[Bar]:
    """All bars; `accuracy_batch` is the batch of the rows with errors."""

    def time(contender: str, negatives: str, batch: int) -> Reading:
        return Reading("seconds_min", contender, negatives, batch)

    def memory(contender: str, negatives: str, batch: int) -> Reading:
        return Reading("peak_mb", contender, negatives, batch)

    kinds = (("positives", "cross-view"), ("both", "same-view"))
    result = [
        Bar(
            "cross-view, batch 4096: time against dense two-way cross-entropy",
            *(0.40, 0.27),
            time(OURS, "positives", 4096),
            (time(DENSE, "positives", 4096),),
        )
    ]
    result += [
        Bar(
            f"same-view, batch 4096: time against {peer}",
            *(0.25, 0.15),
            time(OURS, "both", 4096),
            (time(peer, "both", 4096),),
        )
        for peer in (LIGHTLY, SOLO)
    ]
    result += [
        Bar(
            f"{kind}, batch 256: time against dense two-way cross-entropy",
            *(1.0, 0.8),
            time(OURS, negatives, 256),
            (time(DENSE, negatives, 256),),
        )
        for negatives, kind in kinds
    ]
    result += [
        Bar(
            f"{kind}, batch 4096: time against the streamed hardware floor",
            *(1.7, 1.3),
            time(OURS, negatives, 4096),
            tuple(time(floor, negatives, 4096) for floor in FLOORS),
        )
        for negatives, kind in kinds
    ]
    result.append(
        Bar(
            "same-view, batch 8192: peak extra memory against lightly",
            *(1 / 40, 1 / 66),
            memory(OURS, "both", 8192),
            (memory(LIGHTLY, "both", 8192),),
        )
    )
    # Four times the batch: 4 if memory is linear in it, 16 if quadratic.
    result += [
        Bar(
            f"{kind}: peak extra memory at batch 16,384 against 4096",
            *(5.0, 4.0),
            memory(OURS, negatives, 16384),
            (memory(OURS, negatives, 4096),),
        )
        for negatives, kind in kinds
    ]
    result += [
        Bar(
            f"{kind}, Λ̂ ≈ 100 on a cap: largest relative error of AnInfoNCE in float32",
            *(1e-4, 2e-6),
            Reading("largest_error", OURS_ANISOTROPIC, negatives, accuracy_batch),
        )
        for negatives, kind in kinds
    ]
    return result
