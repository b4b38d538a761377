"""What the commands share: how they end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aninfonce._extras import require
from aninfonce._runs import RESULTS

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["FailedError", "cores", "finish", "show", "sigterm_interrupts"]


class FailedError(Exception):
    """A command that ran, and whose result is a failure: a refuted statement, an experiment that broke off."""


def show(table: Table) -> None:
    """Print a table, wide enough also where there is no screen."""
    console = require("rich.console", "app").Console()
    if not console.is_terminal:
        console.width = 160  # a log file has no width: do not fold the table
    console.print()
    console.print(table)


def finish(folder: Path, table: Table, pictures: list[Path]) -> None:
    """The end of every command: the table, and where everything lies."""
    show(table)
    for path in [*pictures, folder / RESULTS]:
        print(path)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """While it lasts, SIGTERM is taken as Ctrl-C: what runs beside is ended, and what was computed is kept."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
