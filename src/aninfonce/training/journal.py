"""`log.jsonl`: one line an epoch and lines between, appended as they come, and right again after any end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aninfonce._runs import finite, write_lines

__all__ = ["LOG", "Journal", "read_lines"]

LOG = "log.jsonl"


class Journal:
    """The log of a run in its folder.

    Arguments:
        folder: of the run.
        step: the run goes on after this one: what a later step has written before the run was broken off goes.
        epochs: the lines of the epochs up to that step, as its checkpoint has them.

    A line of an epoch has the key "epoch"; the others are from inside one. A line that was half written is dropped.
    """

    def __init__(self, folder: Path, step: int, epochs: Sequence[Mapping[str, Any]]) -> None:
        self.path = folder / LOG
        inside = [line for line in _read(self.path) if "epoch" not in line and line["step"] <= step]
        lines = sorted([*inside, *epochs], key=lambda line: (line["step"], "epoch" in line))
        write_lines(self.path, lines)

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line, which has a step."""
        with self.path.open("a") as file:
            file.write(json.dumps(finite(line), allow_nan=False) + "\n")


def read_lines(text: str) -> list[dict[str, Any] | None]:
    """The content of every line of a log, None for what is no line of one (half written, damaged).

    What follows the last line's end is a line, too, even if it is empty.
    """
    return [_line(part) for part in text.split("\n")]


def _line(text: str) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):  # the latter: brackets nested too deeply
        return None
    if not isinstance(content, dict) or not isinstance(content.get("step"), int):
        return None
    epoch = content.get("epoch", 1)
    return content if isinstance(epoch, int) and epoch > 0 else None


def _read(path: Path) -> list[dict[str, Any]]:
    """The whole lines of the file, none if it is not there."""
    text = path.read_bytes().decode(errors="replace") if path.is_file() else ""
    return [line for line in read_lines(text) if line is not None]
