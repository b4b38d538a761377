"""Failures that are neither a wrong setting nor a fault of the program: no memory left, a process that was killed."""

from __future__ import annotations

import sys
from concurrent.futures.process import BrokenProcessPool

__all__ = ["told"]

_MEMORY = (  # how torch and its libraries say it where they have no class of error for it
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)
_REMEDIES = {
    "train": (
        "a smaller --batch-size, or the same one in more pieces (--accumulate), needs less; so do --precision "
        "bf16-mixed, a smaller --image-size or --backbone, and fewer --readout-images at the end"
    ),
    "reproduce": "fewer --workers, or --quick, need less",
    "embed": "--layer projector needs less than both layers, --device cpu has the whole machine's memory",
    "verify": "--quick needs less",
}
_ELSEWHERE = "close what else runs on this machine, or take a larger one"


def told(error: BaseException, command: str) -> str | None:
    """Such a failure in one line, with what may help; None for everything else.

    Arguments:
        error: what was raised.
        command: which command it ended.
    """
    if isinstance(error, BrokenProcessPool):
        return (
            "a worker process has ended before its time; the system ends one, for example, that takes too much memory: "
            f"{_REMEDIES.get(command, _ELSEWHERE)}; --resume continues from what is finished"
        )
    text = str(error).lower()
    if isinstance(error, RuntimeError) and "dataloader worker" in text:
        return (
            f"a process that decodes images has ended before its time ({_first_line(error)}); fewer --decode-workers "
            "need less memory"
        )
    torch = sys.modules.get("torch")  # an error of torch's comes from a torch that is loaded
    short = isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError))
    if short or (isinstance(error, RuntimeError) and any(words in text for words in _MEMORY)):
        return f"out of memory ({_first_line(error) or 'no more is available'}): {_REMEDIES.get(command, _ELSEWHERE)}"
    return None


def _first_line(error: BaseException) -> str:
    """What was asked for, without the traces and advice that follow."""
    lines = str(error).strip().splitlines()
    line = lines[0].strip() if lines else ""
    _, _, asked = line.rpartition("DefaultCPUAllocator: ")
    return asked.split(". ")[0].rstrip(". ")
