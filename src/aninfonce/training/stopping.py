"""Why a training run may end before its last step, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

__all__ = ["ElsewhereError", "PreemptedError", "Stop", "StoppedHere", "breaking_off"]


class PreemptedError(Exception):
    """The run was asked to stop: its checkpoint is written, and it can be continued from there."""


class ElsewhereError(RuntimeError):
    """Another process of the run has failed, and says why itself."""


class StoppedHere(BaseException):
    """The run was asked to stop inside `Stop.at_once`; no library's `except Exception` may take it for a failure."""


class Stop:
    """A request to stop, as from a signal's handler: `train(…, stop=Stop())`.

    The training asks after every step, so that the step is finished and its checkpoint written. What can be broken off
    anywhere, since it only reads (loading the data, the readouts, the drawing of the page), is broken off at once.
    """

    def __init__(self) -> None:
        self._came = self._inside = False

    def __call__(self) -> bool:
        """Whether the request has come."""
        return self._came

    def ask(self) -> None:
        """Make the request; in the main thread.

        Raises:
            StoppedHere: if it is the first one, inside `at_once`. A second one must not disturb what the first began.
        """
        first, self._came = not self._came, True
        if first and self._inside:
            raise StoppedHere

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What may be broken off anywhere.

        Raises:
            StoppedHere: when the request comes, or if it has come before.
        """
        self._inside = True
        try:
            if self._came:
                raise StoppedHere
            yield
        finally:
            self._inside = False


@contextmanager
def breaking_off(stop: Callable[[], bool] | None, left: str) -> Iterator[None]:
    """What may be broken off anywhere, where `stop` can do that.

    Arguments:
        stop: as `aninfonce.training.train` takes it.
        left: what the run has then written, for the message.

    Raises:
        PreemptedError: if the request came.
    """
    try:
        with stop.at_once() if isinstance(stop, Stop) else nullcontext():
            yield
    except StoppedHere:
        raise PreemptedError(left) from None
