"""How long a run has taken, over all the processes that have worked at it one after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

__all__ = ["Clock"]


class Clock:
    """Wall-clock and processor seconds since it was made, and those of the calls that this one continues."""

    def __init__(self) -> None:
        self._started, self._cpu_started = time.perf_counter(), time.process_time()
        self._before, self._cpu_before = 0.0, 0.0

    @property
    def seconds(self) -> float:
        """Wall-clock seconds; the time between two calls does not count."""
        return self._before + time.perf_counter() - self._started

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds of this process and of those that it continues."""
        return self._cpu_before + time.process_time() - self._cpu_started

    def state(self) -> dict[str, float]:
        """For a checkpoint."""
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}

    def add(self, state: Mapping[str, Any]) -> None:
        """Count what a checkpoint says that it took to get there; one of an earlier version says nothing."""
        self._before += float(state.get("seconds", 0.0))
        self._cpu_before += float(state.get("cpu_seconds", 0.0))
