"""What ends a command from outside: Ctrl-C, SIGTERM (a cluster, `kill`), SIGHUP (a terminal that was closed)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["asked_to_end", "handled", "interruptible"]

Handler = Callable[[int, FrameType | None], Any]
# What asks a program to end; the second is not known everywhere.
_ASKING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_PATIENCE = 3  # Ctrl-C so often ends the process at once, whatever it is doing


@contextmanager
def handled(handlers: Mapping[int, Handler]) -> Iterator[None]:
    """While it lasts, these functions are called for the signals, but for those that are ignored (nohup).

    Outside the main thread, which alone may do that, nothing is changed.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """While it lasts, SIGTERM and SIGHUP are taken as Ctrl-C, and a second one does not disturb what the first began.

    What runs beside is then ended, and what was computed is kept: a second signal, from an impatient user or one that
    was sent to the process and to its group, would leave that half done. A third Ctrl-C ends the process at once.
    """
    came = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came += 1
        if came == 1:
            raise KeyboardInterrupt
        if came >= _PATIENCE and number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    with handled(dict.fromkeys((signal.SIGINT, *_ASKING), interrupt)):
        yield


@contextmanager
def asked_to_end(tell: Callable[[], None]) -> Iterator[None]:
    """While it lasts, SIGTERM and SIGHUP do not end the process: the function is called."""
    with handled(dict.fromkeys(_ASKING, lambda *_: tell())):
        yield
