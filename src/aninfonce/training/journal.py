"""`log.jsonl`: one line an epoch and lines between, appended as they come, and right again after any end."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aninfonce._runs import finite, write_lines

__all__ = ["LOG", "Journal", "read_line"]

LOG = "log.jsonl"


class Journal:
    """The log of a run in its folder.

    Arguments:
        folder: the folder of the run.
        step: the step after which the run continues; what later steps wrote before the interruption is removed.
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
        # Never through a link that somebody has put in its place.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        with open(self.path, "a", opener=lambda path, _: os.open(path, flags, 0o666)) as file:
            file.write(json.dumps(finite(line), allow_nan=False) + "\n")


def read_line(text: str) -> dict[str, Any] | None:
    """The content of a line of a log, None for what is no line of one (half written, damaged)."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):  # the latter: brackets nested too deeply
        return None
    if not isinstance(content, dict) or type(content.get("step")) is not int:
        return None
    epoch = content.get("epoch", 1)
    return content if type(epoch) is int and epoch > 0 else None


def _read(path: Path) -> list[dict[str, Any]]:
    """The whole lines of the file, none if it is not there."""
    text = path.read_bytes().decode(errors="replace") if path.is_file() else ""
    return [line for line in map(read_line, text.split("\n")) if line is not None]
