"""The history of a run as its log tells it, kept in bounded memory however long the log is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aninfonce.training.journal import read_line
from aninfonce.training.outputs import LAYERS

__all__ = ["History", "number"]

_MOST = 4096  # even; lines that are kept of each kind; a chart has room for about 150
_LARGEST = 2**53  # a step above is none that a run has done, and no longer exact as a float
_NUMBERS = ("loss", "hit_at_1", "effective_rank", "images_per_second", "steps")
_MEASURES = ("class_accuracy", "knn_accuracy", "augmentation_r2", "augmentation_accuracy")
_READOUTS = tuple(f"{layer}/{measure}" for layer in LAYERS for measure in _MEASURES)
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def number(line: Mapping[str, Any], *path: str) -> float:
    """A number of a line, for example `number(line, "readouts", "backbone/class_accuracy")`; NaN if it has none."""
    value: Any = line
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    # Differences of larger numbers are no longer finite.
    return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else float("nan")


class _Kept:
    """The newest line and every n-th before it; n doubles whenever there are too many."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._every, self._count = 1, 0
        self._passing = False  # whether the newest is only kept for being that

    def add(self, line: dict[str, Any]) -> None:
        if self._passing:
            self.lines.pop()
        self.lines.append(line)
        self._passing = self._count % self._every != 0
        self._count += 1
        if len(self.lines) > _MOST:
            del self.lines[1::2]
            self._every *= 2

    def drop(self, step: int) -> None:
        """Drop the lines of this step and the later ones."""
        while self.lines and self.lines[-1]["step"] >= step:
            self.lines.pop()
            self._passing = False

    @property
    def thinned(self) -> bool:
        return self._every > 1


class History:
    """Lines of whole epochs and lines from inside them, thinned where they are many.

    Attributes:
        unreadable: lines that are no line of a log.
    """

    def __init__(self) -> None:
        self._epochs, self._steps = _Kept(), _Kept()
        self.unreadable = 0

    @property
    def epochs(self) -> tuple[dict[str, Any], ...]:
        """The newest line of an epoch, and of those before it all, or every second, fourth, …: 4096 at most."""
        return tuple(self._epochs.lines)

    @property
    def steps(self) -> tuple[dict[str, Any], ...]:
        """The lines from within the epochs that were kept, selected in the same way."""
        return tuple(self._steps.lines)

    @property
    def thinned(self) -> bool:
        """Whether epochs were left out."""
        return self._epochs.thinned

    def add(self, text: bytes) -> None:
        """Take in one line of the log, without its end."""
        line = read_line(text.decode(errors="replace"))
        if line is None or not 0 <= line["step"] < _LARGEST:
            self.unreadable += 1
            return
        # A continued run goes back to its checkpoint: what was logged after it is done again.
        step, whole = line["step"], "epoch" in line
        self._epochs.drop(step if whole else step + 1)
        self._steps.drop(step + 1 if whole else step)
        (self._epochs if whole else self._steps).add(_essence(line))


def _essence(line: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of a line: numbers only, so that no line takes more memory than another."""
    kept: dict[str, Any] = {"step": line["step"]}
    if "epoch" in line:
        kept["epoch"] = min(line["epoch"], _LARGEST)
    for name in _NUMBERS:
        value = line.get(name)
        if value is not None:  # the usual case is a float of usual size: logs have millions of them
            kept[name] = value if type(value) is float and -1e300 < value < 1e300 else number(line, name)
    entries = line.get("concentration")
    if isinstance(entries, list):
        positive = [value for value in (number({"": entry}, "") for entry in entries) if value > 0]
        # The quantiles of these five at the same shares are these five.
        kept["concentration"] = np.quantile(positive, _SHARES).tolist() if positive else []
    if line.get("readouts"):
        kept["readouts"] = {name: number(line, "readouts", name) for name in _READOUTS}
    return kept
