"""Which run a folder holds and which files in it are the run's, by what the run itself has noted there.

`run.json` says to readers what the run is. `.manifest.jsonl` says it again in its first line, so that a damaged
`run.json` costs nothing, and names in every further line a file that the run was about to write. Only these files are
ever removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from aninfonce._runs import MARKER, plain, versions, write_json, write_lines

__all__ = ["LOCK", "MANIFEST", "PREVIOUS", "There", "append", "existing", "read_folder", "stamp", "start"]

MANIFEST = ".manifest.jsonl"
LOCK = ".lock"
PREVIOUS = ".aninfonce-previous"
_PREFIX = 8  # characters that a name must have before its `*`


@dataclass(frozen=True)
class There:
    """What a folder holds.

    Attributes:
        config: the configuration of our run, or None if there is none.
        files: that the run wrote, or was about to write, by their path in the folder; the last part may hold a `*`.
        known: whether these are all of them. A run from before there were manifests does not know its files.
        others: whether the folder holds anything besides the bookkeeping.
    """

    config: dict[str, Any] | None = None
    files: frozenset[str] = field(default_factory=frozenset)
    known: bool = False
    others: bool = False


def read_folder(out: Path) -> There:
    """What an existing folder holds."""
    names = {path.name for path in out.iterdir()}
    marked, damaged = _marked(out / MARKER)
    noted, files, known = _read_manifest(out / MANIFEST)
    foreign = MARKER in names and marked is None and not damaged
    foreign = foreign or (MANIFEST in names and noted is None and marked is None)
    config = None if foreign else noted if marked is None else marked
    others = foreign or any(not _is_bookkeeping(name) for name in names)
    return There(config, frozenset(files), known and not foreign, others)


def _is_bookkeeping(name: str) -> bool:
    half_written = name.startswith(".aninfonce-") and name.endswith(".partial")
    return half_written or name in (MARKER, MANIFEST, LOCK, PREVIOUS)


def stamp(config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `run.json`: what tells a run of ours from another tool's file."""
    return {"aninfonce": versions()["aninfonce"], "config": json.loads(json.dumps(config, default=plain))}


def start(out: Path, config: Mapping[str, Any], files: Iterable[str] = (), *, known: bool = True) -> None:
    """Begin the manifest, then `run.json`, with this configuration; both appear whole or not at all."""
    header = stamp(config) if known else {**stamp(config), "known": False}
    write_lines(out / MANIFEST, [header, *({"file": name} for name in sorted(files))])
    write_json(out / MARKER, stamp(config))


def append(out: Path, name: str) -> None:
    """Note that the run is about to write a file; on the disk before the file is, also where the power fails."""
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(out / MANIFEST, flags)
    try:
        os.write(handle, (json.dumps({"file": name}) + "\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def existing(out: Path, names: Iterable[str], *, strict: bool = True) -> list[str]:
    """Those of a manifest's files that are there, sorted.

    Arguments:
        out: the folder.
        names: as in the manifest.
        strict: whether what is not as the run wrote it (a symbolic link, a folder) is an error; else it is passed over.

    Raises:
        ValueError: if one is a symbolic link or a folder, or lies behind a link, and `strict`.
    """
    found: set[str] = set()
    for name in names:
        path = out / name
        behind = [out / part for part in PurePosixPath(name).parents if part.parts]
        if any(part.is_symlink() for part in behind):
            places, whole = [path], False
        else:
            places = list(path.parent.glob(path.name)) if "*" in path.name else [path] if os.path.lexists(path) else []
            whole = all(place.is_file() and not place.is_symlink() for place in places)
        if whole:
            found |= {place.relative_to(out).as_posix() for place in places}
        elif strict:
            raise ValueError(f"{places[0]} is not the file that aninfonce wrote there, but a link or a folder; move it")
    return sorted(found)


def _marked(path: Path) -> tuple[dict[str, Any] | None, bool]:
    """The configuration in a `run.json` of ours, and whether the file is damaged, so that it may have been ours."""
    if path.is_symlink() or not path.is_file():
        return None, False
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):  # empty or cut off: not what anybody meant to write
        return None, True
    return (_config(content, older=True) if isinstance(content, dict) else None), False


def _config(content: Mapping[str, Any], *, older: bool) -> dict[str, Any] | None:
    config = content.get("config")
    ours = "aninfonce" in content or (older and content.keys() == {"config"})
    return config if ours and isinstance(config, dict) and isinstance(config.get("command"), str) else None


def _read_manifest(path: Path) -> tuple[dict[str, Any] | None, set[str], bool]:
    """The configuration in the first line (None: no manifest of ours), the files, and whether these are all."""
    if not path.is_file() or path.is_symlink():
        return None, set(), False
    lines: list[dict[str, Any]] = []
    for text in path.read_bytes().split(b"\n"):
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):  # a line that was cut off: its file was not begun
            continue
        if isinstance(content, dict):
            lines.append(content)
    config = _config(lines[0], older=False) if lines else None
    if config is None:
        return None, set(), False
    names = (line.get("file") for line in lines[1:])
    files = {name for name in names if isinstance(name, str) and _inside(name)}
    return config, files, lines[0].get("known") is not False


def _inside(name: str) -> bool:
    """Whether a name stays in the folder and stands for few files, also in a manifest that somebody has changed."""
    path = PurePosixPath(name)
    few = "*" not in name or (name.count("*") == 1 and len(path.name) > _PREFIX and name.endswith("*"))
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and few
