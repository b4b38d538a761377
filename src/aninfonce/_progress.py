"""Progress of a command: a bar with an ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from aninfonce._extras import require
from aninfonce._text import printable

__all__ = ["Progress"]


class Progress:
    """A context manager around a computation that reports its steps.

    Arguments:
        title: what is computed; stands before the bar.
        total: number of steps, if it is known beforehand.
    """

    def __init__(self, title: str, total: int | None = None) -> None:
        rich: Any = require("rich.progress", "app")
        self._bar = rich.Progress(
            rich.TextColumn("{task.description}", markup=False),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TimeElapsedColumn(),
            rich.TimeRemainingColumn(),
            rich.TextColumn("{task.fields[note]}", markup=False),
            transient=True,
        )
        self._title = printable(title)
        self._task = self._bar.add_task(self._title, total=total, note="")
        self._terminal: bool = self._bar.console.is_terminal

    def __enter__(self) -> Progress:
        if self._terminal:
            self._bar.start()
        else:
            print(self._title, flush=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._terminal:
            self._bar.stop()

    def step(self, done: int, note: str, total: int | None = None, *, aloud: bool = True) -> None:
        """That many steps are done; `note` stands behind the bar, and in a line of its own elsewhere if `aloud`."""
        note = printable(note)
        self._bar.update(self._task, completed=done, note=note, total=total)
        if aloud and not self._terminal:
            whole = self._bar.tasks[0].total
            print(f"[{done}/{'?' if whole is None else f'{whole:g}'}] {note}", flush=True)

    def say(self, line: str, *, quiet: bool = False) -> None:
        """A line of its own; a `quiet` one only where there is no bar to say the same."""
        line = printable(line)
        if not self._terminal:
            print(line, flush=True)
        elif not quiet:
            self._bar.console.print(line, soft_wrap=True, highlight=False, markup=False)
