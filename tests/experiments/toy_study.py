"""A study without training: tasks that travel to other processes and leave traces."""

from __future__ import annotations

from dataclasses import dataclass

from aninfonce.experiments import Outcome, Place, Reference, Study


@dataclass(frozen=True)
class Toy:
    """Reports its seed times a factor, and how often it ran; optionally needs what another task prepared."""

    factor: float
    needs: str = ""
    makes: str = ""
    fails: bool = False

    def run(self, seed: int, place: Place) -> Outcome:
        if self.fails:
            raise ValueError("this toy is broken")
        if self.makes:
            (place.folder / self.makes).write_text("made")
        if self.needs and not (place.folder / self.needs).exists():
            raise ValueError(f"{self.needs} is not there yet")
        with (place.folder / "calls.log").open("a") as log:
            log.write(f"{self.factor} {seed}\n")
        value = self.factor * seed if self.factor >= 0 else float("nan")
        return Outcome({"value": value, "cpu_seconds": 0.5}, {"device": place.device})


def toy_study(**changes):
    settings = {
        "name": "toy",
        "title": "a toy",
        "tasks": {"double": Toy(2.0), "triple": Toy(3.0)},
        "seeds": (1, 2),
        "references": (
            Reference("double/value", 3.0, 0.1),
            Reference("triple/value", 9.0, 0.1, source="theory"),
            Reference("triple/other", 1.0, source="aim"),
        ),
        "columns": ("value", "cpu_seconds"),
        "facts": {"unit": "apples"},
    }
    return Study(**settings | changes)
