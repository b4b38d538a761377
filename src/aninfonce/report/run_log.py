"""The log of a training run, read while it is being written."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aninfonce._runs import MARKER, RESULTS, read_json
from aninfonce.training.journal import LOG, read_lines

__all__ = ["LogReader", "RunLog", "number"]


@dataclass(frozen=True)
class RunLog:
    """What a run has written so far.

    Attributes:
        name: of its folder.
        config: its settings; empty if it has not begun.
        epochs: the log's lines of whole epochs.
        steps: the lines from inside the epochs.
        unreadable: lines that are no JSON, apart from a last one that is still being written.
        finished: whether its results are there.
        changed: when the log was last written to, seconds since 1970; None without a log.
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    epochs: tuple[Mapping[str, Any], ...] = ()
    steps: tuple[Mapping[str, Any], ...] = ()
    unreadable: int = 0
    finished: bool = False
    changed: float | None = None

    @property
    def step(self) -> int:
        """Optimiser steps done, as far as the log knows."""
        return max((int(lines[-1]["step"]) for lines in (self.epochs, self.steps) if lines), default=0)

    @property
    def total(self) -> int | None:
        """Steps of the whole run; None while nothing says so."""
        if self.steps and "steps" in self.steps[-1]:
            return int(self.steps[-1]["steps"])
        if self.epochs and "epochs" in self.config:
            return int(self.epochs[-1]["step"]) // int(self.epochs[-1]["epoch"]) * int(self.config["epochs"])
        return None

    @property
    def images_per_second(self) -> float:
        """As last logged; NaN if it was not."""
        newest = max((lines[-1] for lines in (self.epochs, self.steps) if lines), key=lambda x: x["step"], default={})
        return number(newest, "images_per_second")

    @property
    def seconds_left(self) -> float:
        """What the remaining steps take at the present speed; NaN if that is not known."""
        if self.total is None or "batch_size" not in self.config or not self.images_per_second > 0:
            return math.nan
        return (self.total - self.step) * float(self.config["batch_size"]) / self.images_per_second


def number(line: Mapping[str, Any], *path: str) -> float:
    """A number of a line, for example `number(line, "readouts", "backbone/class_accuracy")`; NaN if it has none."""
    value: Any = line
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    # Differences of larger numbers are no longer finite.
    return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else math.nan


class LogReader:
    """Reads a run's log again and again.

    The whole file each time it has changed: a run that is continued writes it anew, from an earlier step.

    Arguments:
        run: the run's folder; it need not be there yet.

    Raises:
        ValueError: if it is a file.
    """

    def __init__(self, run: Path) -> None:
        if run.is_file():
            raise ValueError(f"expected the folder of a training run, got the file {run}")
        self._run = run
        self._seen: tuple[int, ...] | None = None
        self._log = RunLog(run.resolve().name)

    def read(self) -> RunLog:
        """The run as it is now.

        Raises:
            ValueError: if the folder holds another kind of run.
        """
        config = self._config()
        finished = (self._run / RESULTS).is_file()  # before the log: what was there by then is in it
        path = self._run / LOG
        try:
            state = os.stat(path)
            seen = (state.st_ino, state.st_size, state.st_mtime_ns)
            if seen != self._seen:
                self._log = _parse(self._log.name, path.read_bytes().decode(errors="replace"))
                self._seen = seen
            changed = state.st_mtime
        except FileNotFoundError:
            self._log, self._seen, changed = RunLog(self._log.name), None, None
        return RunLog(
            self._log.name, config, self._log.epochs, self._log.steps, self._log.unreadable, finished, changed
        )

    def _config(self) -> dict[str, Any]:
        marker = self._run / MARKER
        if not marker.is_file():
            return {}
        config: dict[str, Any] = read_json(marker).get("config", {})
        if config.get("command") != "train":
            raise ValueError(f"only training runs can be watched, {self._run} is one of {config.get('command')!r}")
        return config


def _parse(name: str, text: str) -> RunLog:
    epochs: list[Mapping[str, Any]] = []
    steps: list[Mapping[str, Any]] = []
    unreadable = 0
    lines = read_lines(text)
    for place, content in enumerate(lines):
        if content is None:
            # What follows the last line's end is empty, or a line that is being written at this moment.
            unreadable += place < len(lines) - 1
            continue
        # A continued run goes back to its checkpoint: what was logged after it is done again.
        step = content["step"]
        whole = "epoch" in content
        _drop(epochs, step if whole else step + 1)
        _drop(steps, step + 1 if whole else step)
        (epochs if whole else steps).append(content)
    return RunLog(name, {}, tuple(epochs), tuple(steps), unreadable)


def _drop(lines: list[Mapping[str, Any]], step: int) -> None:
    """Drop the lines of this step and the later ones."""
    while lines and lines[-1]["step"] >= step:
        lines.pop()
