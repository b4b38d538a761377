"""One run of an experiment: what it takes, what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

__all__ = ["Outcome", "Place", "Preparation", "Task"]


@dataclass(frozen=True)
class Outcome:
    """What one run found.

    Attributes:
        metrics: measure -> number; "cpu_seconds" (of the process, everything included) always among them.
        details: what figures draw besides: curves, matrices, spectra; JSON-serialisable.
    """

    metrics: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a run takes place.

    Attributes:
        device: cpu, or cuda.
        folder: existing folder that all runs of one study share, for what one of them prepares for the others.
    """

    device: str
    folder: Path


@runtime_checkable
class Task(Protocol):
    """A kind of run: a frozen dataclass of plain values, so that it travels to another process and into JSON."""

    def run(self, seed: int, place: Place) -> Outcome:
        """Run once; everything random comes from `seed`."""
        ...


@runtime_checkable
class Preparation(Task, Protocol):
    """A run that leaves a file for the others."""

    @property
    def file(self) -> str:
        """The file's name in the study's folder."""
        ...

    def check(self, place: Place) -> None:
        """Check that the file is there and whole.

        Raises:
            ValueError: if it is missing or damaged.
        """
        ...
