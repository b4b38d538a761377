"""Reading that fails for a while or for good, which is not the file's content: tried again, and then the end.

A file that is no image, or is cut, is left out of a training, counted and named. A disk, a network or a memory that
fails says nothing about the image. To leave it out would change what is trained on, so the run ends instead.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["DELAYS", "ImageReadError", "UnreadableImageError", "read_file", "retried", "system_errno"]

T = TypeVar("T")

DELAYS = (0.1, 0.5, 2.0)
"""Seconds to wait before the second, the third and the last attempt."""

_FINAL = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)  # waiting will not mend these
_ADVICE = {
    errno.ENOENT: "it was there when the images were listed; put it back, or list them anew with a new run",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or use fewer --decode-workers",
    errno.ENFILE: "the machine has too many open files: end other programs, or use fewer --decode-workers",
    errno.ENOMEM: "free memory, or use fewer --decode-workers",
    errno.EACCES: "give this user the permission to read it",
    errno.EPERM: "give this user the permission to read it",
}


class UnreadableImageError(ValueError):
    """A file whose content is not an image that is read: damaged, cut, or something else."""


class ImageReadError(OSError):
    """What holds an image could not be read, for a reason that is not its content.

    Arguments:
        number: the system's, as in `errno`.
        name: what could not be read.
        attempts: how often it was tried.
    """

    def __init__(self, number: int, name: str, attempts: int = 1) -> None:
        super().__init__(number, os.strerror(number), name)
        self.attempts = attempts

    def __reduce__(self) -> tuple[type[ImageReadError], tuple[int, str, int]]:
        """For the way from a worker process."""
        return type(self), (self.errno or 0, str(self.filename), self.attempts)

    def __str__(self) -> str:
        number = self.errno or 0
        tried = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        advice = _ADVICE.get(number, "see to the disk or the network")
        return (
            f"cannot read {self.filename}{tried}: {self.strerror} ({errno.errorcode.get(number, number)}). The image "
            f"was not skipped, since that would change the training: {advice}; a training then continues from its last "
            "checkpoint with --resume"
        )


def system_errno(error: BaseException) -> int | None:
    """The system's number of a failure to read, or None for any other error, such as those of damaged content."""
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    # Decoders raise OSErrors without a number; EINVAL is a place in the file that cannot be, as damaged ones name it.
    return error.errno if isinstance(error, OSError) and error.errno != errno.EINVAL else None


def retried(action: Callable[[], T], name: str) -> T:
    """What the action returns; it is tried again, after `DELAYS`, as long as the system says that it cannot.

    Arguments:
        action: what reads.
        name: the name of what it reads, for the error.

    Raises:
        ImageReadError: if it fails to the last.
    """
    for attempt, delay in enumerate((*DELAYS, None), start=1):
        try:
            return action()
        except ImageReadError:
            raise
        except (OSError, MemoryError) as error:
            number = system_errno(error)
            if number is None:
                raise
            if delay is None or number in _FINAL:
                raise ImageReadError(number, name, attempt) from error
        time.sleep(delay)
    raise AssertionError("the last attempt returns or raises")


def read_file(path: Path) -> bytes:
    """A file's content.

    Raises:
        UnreadableImageError: if it is a link that leads nowhere, which is so in the data set and not in the machine.
        ImageReadError: if it cannot be read, tried several times.
    """
    if path.is_symlink() and not path.exists():
        raise UnreadableImageError("FileNotFoundError: a link that leads nowhere")

    def read() -> bytes:
        with open(path, "rb") as file:
            return file.read()

    return retried(read, str(path))
