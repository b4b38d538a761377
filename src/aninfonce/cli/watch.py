"""`aninfonce watch`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from aninfonce import report
from aninfonce._extras import require
from aninfonce.cli._output import say

__all__ = ["watch"]


def watch(
    runs: tuple[Path, ...],
    every: float = 2.0,
    once: bool = False,
) -> None:
    """Redraw the curves of training runs in the terminal, until all are finished or Ctrl-C.

    The charts show the loss, Hit@1, the effective rank, the spectrum of Λ̂, readouts (with train --readout-every),
    images a second and the remaining time, from each run's log.jsonl. The runs need not have started. Without a
    terminal the command prints one line for each epoch.

    Args:
        runs: folders of training runs; several are drawn into the same charts.
        every: seconds between two refreshes.
        once: show the present state and exit.
    """
    if not runs:
        raise ValueError("name at least one folder of a training run")
    if not every > 0:
        raise ValueError(f"every must be a positive number of seconds, got {every}")
    readers = [report.LogReader(run) for run in runs]
    console = require("rich.console", "app").Console()
    look = _redraw if console.is_terminal and console.encoding.startswith("utf") else _print_lines
    with suppress(KeyboardInterrupt):  # the usual way to leave
        look(readers, console, every, once)


def _redraw(readers: Sequence[report.LogReader], console: Any, every: float, once: bool) -> None:
    """The charts, in place of the ones before; the last ones stay on the screen."""
    logs = [reader.read() for reader in readers]
    try:
        if not once:
            with require("rich.live", "app").Live(console=console, screen=True, auto_refresh=False) as live:
                while not all(log.finished for log in logs):
                    live.update(report.watch_view(logs, console.width, console.height), refresh=True)
                    time.sleep(every)
                    logs = [reader.read() for reader in readers]
    finally:
        console.print(report.watch_view(logs, console.width, console.height))


def _print_lines(readers: Sequence[report.LogReader], console: Any, every: float, once: bool) -> None:
    """A line for every epoch that is new since the last look, and one for a run that begins, goes back or ends."""
    shown: dict[report.LogReader, int] = {}
    ended: set[report.LogReader] = set()
    while True:
        for reader in readers:
            if reader in ended:
                continue
            log = reader.read()
            last = log.epochs[-1]["step"] if log.epochs else 0
            if reader not in shown and not log.epochs and not once:
                say(report.status_line(log).plain)
            if reader not in shown and log.thinned:
                say(f"{log.name}: of so many epochs only some of the older ones are shown")
            if last < shown.get(reader, 0):
                say(f"{log.name}: continued from step {last}")
                shown[reader] = last
            for line in log.epochs:
                if line["step"] > shown.get(reader, 0):
                    say(f"{log.name}: {report.epoch_line(line)}")
            shown[reader] = last
            if once or log.finished:
                say(report.status_line(log).plain)
                ended.add(reader)
        if len(ended) == len(readers):
            return
        time.sleep(every)
