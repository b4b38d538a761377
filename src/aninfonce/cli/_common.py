"""What the commands share: how they end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from aninfonce._extras import require
from aninfonce._runs import RESULTS
from aninfonce.cli._output import say

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["FailedError", "check_output_file", "cores", "finish", "show"]


class FailedError(Exception):
    """A command that ran, and whose result is a failure: a refuted statement, an experiment that broke off."""


def check_output_file(path: Path, suffixes: tuple[str, ...], *, overwrite: bool) -> None:
    """Check that a file can be written there, before anything is computed for it.

    Raises:
        ValueError: if its ending is another, it is there already and `overwrite` is not given, it is a symbolic link,
            or its folder is not there.
    """
    if path.suffix not in suffixes:
        raise ValueError(f"the output file must end in {' or '.join(suffixes)}, got {path}")
    if path.is_dir():
        raise ValueError(f"the output file {path} is a folder")
    if path.is_symlink():
        raise ValueError(f"the output file {path} is a symbolic link; move it away, or name another file")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} is there already; pass --overwrite")
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} of the output file does not exist")


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
        say(path)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
