"""Files of ours in a folder that may hold others': written whole or not at all, and never through a link."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

__all__ = ["is_own", "locked", "remove", "remove_partial", "written_whole"]

# Of file systems that know no such locks.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)


def is_own(path: Path) -> bool:
    """Whether there is a plain file that can be ours: not a link, not a folder."""
    return path.is_file() and not path.is_symlink()


def remove(path: Path) -> None:
    """Remove a file of ours, if it is there.

    Raises:
        ValueError: if there is something else under its name, or its folder is a link.
    """
    if path.parent.is_symlink() or (os.path.lexists(path) and not is_own(path)):
        raise ValueError(f"{path} is a link, or no file: it was not written here, and is not removed")
    path.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.aninfonce-partial")


def remove_partial(path: Path) -> None:
    """Remove what a killed process left of a file half written."""
    _partial(path).unlink(missing_ok=True)  # of a link, the link


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes its place at `path` when all of it is on the disk; if something fails, it goes.

    The name that it has until then follows from `path`, so that the next process finds what a killed one left; it is
    made anew each time, and never opened through a link that somebody put there.
    """
    partial = _partial(path)
    remove_partial(path)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """The folder's entries onto the disk, in the order in which they were made."""
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder meanwhile; without a file in it.

    Raises:
        ValueError: if one is in there already.
    """
    if sys.platform == "win32":  # no such locks there
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise ValueError(f"another process is writing to {folder}; wait for it, or end it") from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            os.close(handle)
            raise
    try:
        yield
    finally:
        os.close(handle)
