"""Randomness by counting: every draw of a run follows from its seed and its place, and from nothing before it.

So a run that continues in the middle draws what the unbroken one would have drawn, without any state to keep.
"""

from __future__ import annotations

import hashlib

import torch

__all__ = ["generator_at"]


def generator_at(seed: int, purpose: str, place: int) -> torch.Generator:
    """A generator on the CPU for one purpose at one place, for example the views of step 7.

    Arguments:
        seed: of the run.
        purpose: what is drawn; other purposes have other draws.
        place: number of the step or the epoch.

    Example:
        >>> first, again = (torch.rand(3, generator=generator_at(0, "views", 7)) for _ in range(2))
        >>> torch.equal(first, again)
        True
    """
    digest = hashlib.sha256(f"{seed} {purpose} {place}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
