"""A process that does not outlive the one it works for."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable

__all__ = ["end_with", "end_with_parent"]

_SECONDS = 0.5  # between two looks


def end_with_parent() -> None:
    """In a process of `multiprocessing`: end it as soon as its parent is gone, however that one ended (SIGKILL, too).

    A worker that waits for its next task, or for room in a pipe, would otherwise wait for ever, hold its memory and
    keep the standard output of the command open. In a process that `multiprocessing` has not started, nothing happens.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    # A pipe from the parent, which the system closes when it ends (a handle of the process on Windows). Processes
    # forked later hold the other end of it as well, hence the look at the parent's number.
    process, number = parent, parent.pid or 0

    def gone() -> bool:
        process.join(_SECONDS)
        return not process.is_alive() or _orphaned(number)

    _watch(gone)


def end_with(parent: int) -> None:
    """End this process as soon as the process of that number is no longer its parent (on POSIX systems)."""
    pause = threading.Event()

    def gone() -> bool:
        return _orphaned(parent) or pause.wait(_SECONDS)

    if sys.platform != "win32":
        _watch(gone)


def _orphaned(parent: int) -> bool:
    return sys.platform != "win32" and os.getppid() != parent


def _watch(gone: Callable[[], bool]) -> None:
    def watch() -> None:
        while not gone():
            pass
        os._exit(1)  # nobody is left to hear of an error, or to whom results could go

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
