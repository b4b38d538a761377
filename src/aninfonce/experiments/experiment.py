"""What every experiment is: settings that say which runs they stand for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from aninfonce.experiments.study import Study

__all__ = ["Experiment"]


@dataclass(frozen=True, kw_only=True)
class Experiment(ABC):
    """The settings of an experiment; a frozen dataclass with defaults for all of them.

    Attributes:
        seeds: how often everything is repeated, at least 1; another mixing each time.
        first_seed: the seeds count up from it.
        name: as on the command line.
        shows: one line on what it shows.
        core_seconds: what a run takes with the default settings, and with `quick`; measured on one machine
            (`aninfonce reproduce all`), a guide for planning only.
        included: whether `aninfonce reproduce all` runs it; not what needs a GPU and data of its own.

    Raises:
        ValueError: if there is no seed.
    """

    name: ClassVar[str]
    shows: ClassVar[str]
    core_seconds: ClassVar[tuple[float, float]]
    included: ClassVar[bool] = True

    seeds: int = 1
    first_seed: int = 0

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(range(self.first_seed, self.first_seed + self.seeds))

    @abstractmethod
    def quick(self) -> Experiment:
        """Smaller settings that still show the effect, if roughly: one seed, fewer values, fewer steps."""

    @abstractmethod
    def study(self) -> Study:
        """The runs, and what they are held against."""
