"""An old run that stands aside while a new one begins, until it goes for good or comes back.

`.aninfonce-previous` holds `intent.json` (the new run's configuration, and the old files by number) and the files `0`,
`1`, …, the manifest last. It appears with its intent in one step, so a killed process leaves a state from which either
way can be gone on: forward (`finish_moving`) or back (`move_back`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from aninfonce._atomic import partial_folder, partial_name, remove_partial
from aninfonce._manifest import MANIFEST, PREVIOUS, existing, read_folder
from aninfonce._runs import MARKER, read_json

__all__ = ["finish_moving", "forget", "intended", "move_aside", "move_back", "remove_run"]

_INTENT = "intent.json"


def intended(out: Path) -> dict[str, Any] | None:
    """The configuration of the run that was about to take the old one's place; None: no old run stands aside."""
    intent = _intent(out)
    return None if intent is None else intent["config"]


def move_aside(out: Path, config: Mapping[str, Any], files: Iterable[str]) -> None:
    """Move an old run's files aside.

    Arguments:
        out: the folder.
        config: the configuration of the new run.
        files: the files of the old run, as its manifest names them.

    Raises:
        ValueError: if one of them is not what the run wrote.
        OSError: if they cannot be moved; they are back where they were.
    """
    moved = [*existing(out, files), *(name for name in (MARKER, MANIFEST) if (out / name).is_file())]
    with partial_folder(out) as folder:
        intent = {"aninfonce": "previous", "config": config, "moved": moved}
        (folder / _INTENT).write_text(json.dumps(intent), encoding="utf-8")
        folder.rename(out / PREVIOUS)
    try:
        finish_moving(out)
    except OSError:
        move_back(out)
        raise


def finish_moving(out: Path) -> None:
    """Move aside what is still in its place."""
    moved = _moved(out)
    if (out / PREVIOUS / str(len(moved) - 1)).exists():  # the manifest, which goes last
        return
    for number, name in enumerate(moved):
        if os.path.lexists(out / name):
            (out / name).rename(out / PREVIOUS / str(number))


def move_back(out: Path) -> None:
    """Remove what the new run has written, and put the old one back in its place.

    Raises:
        ValueError: if somebody else has put a file there in the meantime; the old one stays aside.
    """
    if intended(out) is None:
        return
    moved = _moved(out)
    # The manifest goes aside last and comes back last: where one is in its place meanwhile, it is the new run's.
    if (out / PREVIOUS / str(len(moved) - 1)).exists() and (out / MANIFEST).exists():
        remove_run(out)
    for number, name in enumerate(moved):
        aside = out / PREVIOUS / str(number)
        if aside.exists():
            if os.path.lexists(out / name):
                raise ValueError(f"{out / name} is in the way of the old run's file, which is {aside}; move it away")
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            aside.rename(out / name)
    _remove(out)


def forget(out: Path) -> None:
    """Remove the old run for good, if there is one."""
    if intended(out) is not None:
        _remove(out)


def remove_run(out: Path) -> None:
    """Remove the files that the run in this folder has written, its manifest last, and folders that are then empty."""
    names = read_folder(out).files
    for name in [*existing(out, names, strict=False), MARKER, MANIFEST]:
        (out / name).unlink(missing_ok=True)
    folders = {parent for name in names for parent in (out / name).parents if out in parent.parents}
    for folder in sorted(folders, reverse=True):  # the innermost first
        with suppress(OSError):  # somebody else's files are in it
            folder.rmdir()


def _intent(out: Path) -> dict[str, Any] | None:
    try:
        content = read_json(out / PREVIOUS / _INTENT)
    except (OSError, ValueError):  # none, or none of ours
        return None
    return content if content.get("aninfonce") == "previous" else None


def _moved(out: Path) -> list[str]:
    intent = _intent(out)
    return [] if intent is None else [str(name) for name in intent["moved"]]


def _remove(out: Path) -> None:
    """Remove the old run's folder: renamed first, so that a kill in between leaves no half of it to come back."""
    gone = out / partial_name()
    (out / PREVIOUS).rename(gone)
    remove_partial(gone)
