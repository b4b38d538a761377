"""Randomness by counting: every draw of a run follows from its seed and its place, and from nothing before it.

So a run that continues in the middle draws what the unbroken one would have drawn, without any state to keep.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from aninfonce._typing import Int

__all__ = ["generator_at", "spread"]


def generator_at(seed: int, purpose: str, place: int) -> torch.Generator:
    """A generator on the CPU for one purpose at one place, for example the views of step 7.

    Arguments:
        seed: the seed of the run.
        purpose: what is drawn; other purposes have other draws.
        place: number of the step or the epoch.

    Example:
        >>> first, again = (torch.rand(3, generator=generator_at(0, "views", 7)) for _ in range(2))
        >>> torch.equal(first, again)
        True
    """
    digest = hashlib.sha256(f"{seed} {purpose} {place}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def spread(size: int, n: int, generator: torch.Generator) -> Int[Tensor, " places"]:
    """n of the places 0 … size - 1 in ascending order: a random one of each of n equal stretches.

    So a set in the order of its classes gives of each its share, which the first n places would not; and one whose
    order repeats itself (ten classes in turn, say) gives of each as well, which every tenth place would not.

    Arguments:
        size: how many places there are.
        n: how many are wanted; all of them, if there are not more.
        generator: source of randomness, on the CPU.

    Example:
        >>> spread(100, 4, generator_at(0, "example", 0)) // 25
        tensor([0, 1, 2, 3])
        >>> spread(3, 5, generator_at(0, "example", 0))
        tensor([0, 1, 2])
    """
    n = min(n, size)
    edges = torch.arange(n + 1) * size // max(n, 1)
    width = edges.diff()
    inside = (torch.rand(n, generator=generator, dtype=torch.float64) * width).long()
    return edges[:-1] + inside.minimum(width - 1)
