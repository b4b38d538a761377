"""The log of a training run, read while it is being written: at each look what has come since the one before."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from aninfonce._runs import MARKER, RESULTS, read_json
from aninfonce.report.log_history import History, number
from aninfonce.training.journal import LOG

__all__ = ["LogReader", "RunLog"]

_BLOCK = 2**20  # bytes that are read at a time
_LONGEST = 2**24  # bytes of a line; what is longer is none of ours
_MARK = 64  # bytes by which a log is known again


@dataclass(frozen=True)
class RunLog:
    """What a run has written so far.

    Attributes:
        name: the name of its folder.
        config: its settings; empty if it has not begun.
        epochs: the log's lines of whole epochs, the newest and a selection of older ones.
        steps: the lines from within the epochs, selected in the same way.
        unreadable: lines that are no line of a log, apart from a last one that is still being written.
        thinned: whether epochs are missing from `epochs`.
        finished: whether its results are there.
        changed: when the log was last written to, seconds since 1970; None without a log.
        trouble: what cannot be read at the moment, and why; empty if nothing is wrong.
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    epochs: tuple[Mapping[str, Any], ...] = ()
    steps: tuple[Mapping[str, Any], ...] = ()
    unreadable: int = 0
    thinned: bool = False
    finished: bool = False
    changed: float | None = None
    trouble: str = ""

    @property
    def step(self) -> int:
        """Optimiser steps done, as far as the log knows."""
        return max((int(lines[-1]["step"]) for lines in (self.epochs, self.steps) if lines), default=0)

    @property
    def total(self) -> int | None:
        """Steps of the whole run; None while nothing says so."""
        steps = number(self.steps[-1], "steps") if self.steps else math.nan
        if math.isfinite(steps):
            return int(steps)
        epochs = number(self.config, "epochs")
        if self.epochs and math.isfinite(epochs):
            return int(self.epochs[-1]["step"] // self.epochs[-1]["epoch"] * epochs)
        return None

    @property
    def images_per_second(self) -> float:
        """As last logged; NaN if it was not."""
        newest = max((lines[-1] for lines in (self.epochs, self.steps) if lines), key=lambda x: x["step"], default={})
        return number(newest, "images_per_second")

    @property
    def seconds_left(self) -> float:
        """What the remaining steps take at the present speed; NaN if that is not known."""
        if self.total is None or not self.images_per_second > 0:
            return math.nan
        return (self.total - self.step) * number(self.config, "batch_size") / self.images_per_second


class LogReader:
    """Reads a run's log again and again, and of it only what was appended since the last time.

    A log that was written anew (a continued run goes back to its checkpoint), cut or replaced is known by its number,
    its size, and the bytes at its beginning and before the place where the last reading ended; it is read from its
    beginning then.

    Arguments:
        run: the run's folder; it need not be there yet.

    Raises:
        ValueError: if it is a file.
    """

    def __init__(self, run: Path) -> None:
        if run.is_file():
            raise ValueError(f"expected the folder of a training run, got the file {run}")
        self._run = run
        self._name = run.resolve().name
        self._forget()

    def read(self) -> RunLog:
        """The run as it is now. What is there and cannot be read is named in `trouble`.

        Raises:
            ValueError: if the folder holds another kind of run.
        """
        config, trouble = self._config()
        changed = None
        try:
            finished = (self._run / RESULTS).is_file()  # before the log: what was there by then is in it
            changed = self._look()
        except FileNotFoundError:
            self._forget()
        except OSError as error:  # what is known stays: a file server may be away for a moment
            finished, trouble = False, f"{LOG} cannot be read: {error.strerror}"
        seen = self._history
        if seen.epochs and seen.epochs[-1]["epoch"] < number(config, "epochs"):
            finished = False  # these are the results of before: the run goes on to more epochs
        log = RunLog(self._name, config, seen.epochs, seen.steps, seen.unreadable, seen.thinned)
        return replace(log, finished=finished, changed=changed, trouble=trouble)

    def _forget(self) -> None:
        self._history = History()
        self._seen: tuple[int, ...] | None = None
        self._place = 0  # up to where the log was taken in: the end of a line
        self._marks = b"", b""  # the log's first bytes, and the last ones before that place
        self._skipping = False  # inside a line that is too long to be one

    def _look(self) -> float:
        """Take in what is new; returns when the log was last written to."""
        path = self._run / LOG
        if not path.is_file() and path.exists():
            raise OSError(0, "it is no file")
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            seen = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
            if seen != self._seen:
                if state.st_size < self._place or self._marks != self._marked(file):
                    self._forget()
                self._append(file)
                self._seen = seen
        return state.st_mtime

    def _append(self, file: BinaryIO) -> None:
        """Take in the whole lines from the place on; the rest is being written at this moment."""
        file.seek(self._place)
        rest = b""
        while block := file.read(_BLOCK):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                self._take(line)
            if len(rest) > _LONGEST:
                self._place += len(rest)
                self._skipping, rest = True, b""
        self._marks = self._marked(file)

    def _take(self, line: bytes) -> None:
        self._place += len(line) + 1
        self._history.add(b"" if self._skipping else line)
        self._skipping = False

    def _marked(self, file: BinaryIO) -> tuple[bytes, bytes]:
        file.seek(0)
        first = file.read(min(_MARK, self._place))
        file.seek(max(0, self._place - _MARK))
        return first, file.read(min(_MARK, self._place))

    def _config(self) -> tuple[dict[str, Any], str]:
        """The run's settings, and what is wrong with their file."""
        try:
            marker = self._run / MARKER
            config = read_json(marker).get("config") if marker.is_file() else {}
        except (ValueError, OSError) as error:
            return {}, f"{MARKER} cannot be read: {getattr(error, 'strerror', None) or error}"
        if not isinstance(config, dict):
            return {}, f"{MARKER} holds no settings"
        if config.get("command", "train") != "train":
            raise ValueError(f"only training runs can be watched, {self._run} is one of {config.get('command')!r}")
        return config, ""
