"""Files that are never half there: written out of sight, then renamed to their place."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["announce", "atomically", "partial_folder", "partial_name", "remove_partial", "sweep", "witnessed"]

_PARTIAL = re.compile(r"\.aninfonce-[0-9a-f]{16}\.partial")
_witnesses: list[Callable[[Path], None]] = []


@contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """A path to write a file under, with the same name; when the block ends, the file takes its place at `path`.

    The file is written in a folder beside `path` that has a random name and is open to its owner alone, so that nobody
    can foretell where it will be. If something fails, it is removed, and what was at `path` stays. What a killed
    process has left of such folders goes when the next file is written beside it.

    Raises:
        ValueError: if `path` is a symbolic link, or lies in the folder of a run of this process and is not its own.
        OSError: if the file cannot be written.
    """
    _refuse_link(path)
    announce(path)
    sweep(path.parent)
    with partial_folder(path.parent) as folder:
        temporary = folder / path.name
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        _refuse_link(path)
        temporary.replace(path)


def announce(path: Path) -> None:
    """Say that this process is about to write a file; the last part of the path may hold a `*`.

    For files that another library writes by itself; `atomically` does it by itself.

    Raises:
        ValueError: if a file is there that belongs to somebody else (see `aninfonce._folder`).
    """
    for witness in list(_witnesses):
        witness(path)


@contextmanager
def witnessed(witness: Callable[[Path], None]) -> Iterator[None]:
    """While it lasts, `witness` is called with the path of every file that this process is about to write."""
    _witnesses.append(witness)
    try:
        yield
    finally:
        _witnesses.remove(witness)


@contextmanager
def partial_folder(parent: Path) -> Iterator[Path]:
    """A folder for half-written files, of a random name and for its owner alone; gone when the block ends."""
    while True:
        folder = parent / partial_name()
        folder.mkdir(mode=0o700)
        handle = _lock(folder)
        if sys.platform == "win32" or handle is not None:
            break  # else another process swept it away before it was locked
    try:
        yield folder
    finally:
        remove_partial(folder)
        if handle is not None:
            os.close(handle)


def partial_name() -> str:
    """A name for such a folder, which nobody can foretell."""
    return f".aninfonce-{secrets.token_hex(8)}.partial"


def sweep(parent: Path) -> None:
    """Remove what killed processes have left half written in a folder; what a living one writes stays."""
    if sys.platform == "win32":  # no such locks there: who lives is not known
        return
    for folder in parent.iterdir():
        if _PARTIAL.fullmatch(folder.name) and not folder.is_symlink() and folder.is_dir():
            handle = _lock(folder)
            if handle is not None:
                remove_partial(folder)
                os.close(handle)


def remove_partial(folder: Path) -> None:
    """Remove a folder for half-written files and the files in it."""
    with suppress(FileNotFoundError):
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def _lock(folder: Path) -> int | None:
    """A descriptor of the folder, locked until it is closed or the process ends; None if another one has the lock."""
    if sys.platform == "win32":
        return None
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # gone already, or somebody else's
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_nlink and folder.is_dir():
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise ValueError(f"{path} is a symbolic link; move it away, or name another file")
