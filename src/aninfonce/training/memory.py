"""How the C library treats memory that a training step frees and the next one takes again."""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_freed_memory() -> bool:
    """Let the process keep what it frees, for its next step, instead of handing it back to the system.

    glibc returns large blocks at once, and the next step gets the same pages back one page fault at a time, each of
    them zeroed. Here blocks up to 1 GiB and the top of the heap stay, so that the resident memory remains at its peak
    until the process ends. It holds for the whole process: for the program that trains to call, not for a library.

    Returns:
        Whether it took effect: on other C libraries nothing is changed.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, 2**30)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
