"""Where a step's time goes: our loop as it stands, with a stopwatch around its parts.

Every moment belongs to the innermost part that has begun, and to "rest" outside all of them, so that the parts add up
to the whole.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest import mock

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

PARTS = ("data", "augmentation", "forward", "loss", "backward", "optimiser")
REST = "rest"


class Stopwatch:
    """Seconds by part."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Forget everything so far; no part may be open."""
        self._open = [REST]
        self.seconds = dict.fromkeys((*PARTS, REST), 0.0)
        self.calls = dict.fromkeys(PARTS, 0)
        self.started = self._last = self._clock()

    def begin(self, part: str) -> None:
        self._charge()
        self._open.append(part)
        self.calls[part] += 1

    def end(self) -> None:
        self._charge()
        self._open.pop()

    def stop(self) -> float:
        """The whole, which the parts sum up to."""
        self._charge()
        return self._last - self.started

    def _charge(self) -> None:
        now = self._clock()
        self.seconds[self._open[-1]] += now - self._last
        self._last = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self.begin(name)
        try:
            yield
        finally:
            self.end()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return function(*arguments, **options)

        return timed

    def around_items(self, name: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """The function that returns an iterator, timed while it makes the next item."""

        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Iterator[Any]:
            items = function(*arguments, **options)
            while True:
                with self.part(name):
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item

        return timed


@contextmanager
def watching(watch: Stopwatch) -> Iterator[None]:
    """Time the parts of whatever trains meanwhile."""
    from aninfonce.data import Augmentation, read_batches
    from aninfonce.models import ContrastiveModel
    from aninfonce.objectives import InfoNCE

    with ExitStack() as stack:

        def replace(owner: Any, name: str, part: str) -> None:
            stack.enter_context(mock.patch.object(owner, name, watch.around(part, getattr(owner, name))))

        replace(Augmentation, "draw", "augmentation")
        replace(Augmentation, "apply", "augmentation")
        replace(ContrastiveModel, "forward", "forward")
        replace(InfoNCE, "forward", "loss")
        replace(torch.autograd, "backward", "backward")
        timed = watch.around_items("data", read_batches)
        for name, module in list(sys.modules.items()):  # whichever of the package's modules imported it
            if name.startswith("aninfonce.") and getattr(module, "read_batches", None) is read_batches:
                stack.enter_context(mock.patch.object(module, "read_batches", timed))
        for handle in (
            register_optimizer_step_pre_hook(lambda *_: watch.begin("optimiser")),
            register_optimizer_step_post_hook(lambda *_: watch.end()),
        ):
            stack.callback(handle.remove)
        yield


def shares(watch: Stopwatch) -> dict[str, float]:
    """Each part's share of the whole.

    Raises:
        RuntimeError: if a part was never entered: the loop no longer calls what is timed here.
    """
    whole = watch.stop()
    unseen = [part for part, calls in watch.calls.items() if not calls]
    if unseen:
        raise RuntimeError(f"the loop never came to {', '.join(unseen)}: what is timed is not what it calls")
    return {part: seconds / whole for part, seconds in watch.seconds.items()}
