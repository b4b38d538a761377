"""A command's output, which never ends its work: a closed pipe, a full disk, a terminal that knows few letters."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from aninfonce._text import printable

__all__ = ["safe_output", "say"]

_READABLE = "aninfonce-readable"  # the name of the error handler
# What the commands themselves write; everything else that a terminal cannot show becomes an escape.
_PLAIN = {
    **{"τ": "tau", "Λ": "Lambda", "λ": "lambda", "σ": "sigma", "ρ": "rho", "κ": "kappa", "∞": "inf", "\u0302": "^"},
    **{"±": "+-", "×": "x", "≥": ">=", "≤": "<=", "≠": "!=", "≈": "~", "→": "->", "−": "-", "–": "-", "—": "-"},
    **{"²": "^2", "³": "^3", "⁻": "^-", "·": "*", "…": "...", "“": '"', "”": '"', "‘": "'", "’": "'", "●": "*"},
    **{"━": "-", "─": "-", "│": "|", "\xa0": " ", "•": "*", "√": "sqrt", "Σ": "Sigma", "é": "e"},
}


def say(text: object) -> None:
    """Print a line that may hold names from outside."""
    print(printable(text), flush=True)


@contextmanager
def safe_output() -> Iterator[None]:
    """While it lasts, standard output and standard error take every text, and never raise.

    Letters that their encoding lacks are replaced. Once nobody reads them any more (`… | head`), what follows is
    dropped; any other failure (a full disk) is told once on standard error. The command continues in each case.
    """
    codecs.register_error(_READABLE, _replace)
    before = sys.stdout, sys.stderr
    # A program started with its output closed has None in their place, which not everything that prints expects.
    error = _Stream(before[1], None)
    streams = (_Stream(before[0], error), error)
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in streams:
            stream.flush()
        sys.stdout, sys.stderr = before
        for stream in streams:
            stream.release()


class _Stream:
    """A text stream whose `write` and `flush` never raise; everything else is the stream's own.

    Arguments:
        stream: None: what is written is dropped.
        error: where a failure is told.
    """

    def __init__(self, stream: Any, error: _Stream | None) -> None:
        self._own = open(os.devnull, "w") if stream is None else None  # noqa: SIM115 (closed in `release`)
        self._stream: Any = stream if self._own is None else self._own
        self._error = error
        self._lost = False
        self._before: str | None = None
        if hasattr(self._stream, "reconfigure"):
            self._before = self._stream.errors
            self._stream.reconfigure(errors=_READABLE)

    def write(self, text: str) -> int:
        """Write, if somebody still reads."""
        if not self._lost:
            self._attempt(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write them all."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Flush, if somebody still reads."""
        if not self._lost:
            self._attempt(self._stream.flush)

    def release(self) -> None:
        """Leave the stream as it was; what it still holds and cannot get rid of is dropped, now or at the exit."""
        if self._lost:
            with suppress(OSError, ValueError):
                sink = os.open(os.devnull, os.O_WRONLY)
                os.dup2(sink, self._stream.fileno())
                os.close(sink)
        if self._before is not None:
            with suppress(OSError, ValueError):
                self._stream.reconfigure(errors=self._before)
        if self._own is not None:
            self._own.close()

    def _attempt(self, action: Any) -> None:
        try:
            action()
        except BrokenPipeError:  # the reader has what it wanted
            self._lost = True
        except OSError as error:
            self._lost = True
            if self._error is not None:
                self._error.write(
                    f"the output cannot be written ({error.strerror}); the command continues without it\n"
                )
        except ValueError:
            if not self._stream.closed:
                raise
            self._lost = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _replace(error: UnicodeError) -> tuple[str, int]:
    """What takes the place of letters that the encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in missing)
    return plain, error.end
