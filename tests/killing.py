"""Kill a process at its n-th file operation below a folder, and compare what folders then hold."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# What two runs of the same settings differ in: clocks.
_CLOCKS = {"seconds", "cpu_seconds", "images_per_second"}


def in_a_process(action: Callable[[], object], *, below: Path, kill_at: int | None = None) -> tuple[int, int]:
    """Run `action` in a process of its own.

    Arguments:
        action: what to run; 0 or None: it went well.
        below: the folder whose changes count.
        kill_at: SIGKILL comes just before that change, counted from 0; None: never.

    Returns:
        The exit status (negative: the signal), and the number of changes that were made, or begun.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 70
        try:
            _watch(str(below), writing, kill_at)
            torch.set_num_threads(1)
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                if kill_at is not None:
                    os.dup2(nowhere.fileno(), 2)
            status = int(action() or 0)  # type: ignore[call-overload]
        finally:
            os._exit(status)
    os.close(writing)
    count = 0
    while block := os.read(reading, 65536):
        count += len(block)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), count


def _watch(below: str, writing: int, kill_at: int | None) -> None:
    done = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        changes = event in _CHANGES or (event == "open" and bool((arguments[2] or 0) & _WRITING))
        if not changes or not isinstance(arguments[0], str | os.PathLike):
            return
        if not os.path.abspath(os.fspath(arguments[0])).startswith(below):
            return
        if done == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1
        os.write(writing, b".")

    sys.addaudithook(hook)


def content(folder: Path) -> dict[str, Any]:
    """Every file and folder in it, by path; of JSON what does not depend on the clock, of other files the bytes."""
    return {str(path.relative_to(folder)): _file(path) for path in sorted(folder.rglob("*"))}


def _file(path: Path) -> Any:
    if path.is_dir():
        return "folder"
    if path.name == ".manifest.jsonl":  # in whichever order; it may also name files that are gone
        names = {json.loads(line)["file"] for line in path.read_text().splitlines()[1:]}
        return sorted(name for name in names if (path.parent / name).exists())
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in path.read_text().splitlines()]
    if path.suffix in (".html", ".png", ".svg"):  # speeds are drawn in them
        return path.stat().st_size > 0
    return path.read_bytes()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        drop = {key for key in value if key.rsplit("/", 1)[-1] in _CLOCKS} | {"digest"} & value.keys()
        return {key: _timeless(item) for key, item in value.items() if key not in drop}
    return [_timeless(item) for item in value] if isinstance(value, list) else value
