"""Rows of factors within their ranges, for the tests of sprites."""

from __future__ import annotations

import torch
from torch import Tensor

from aninfonce.data.generators import FACTOR_RANGES, FACTORS

LOW, HIGH = torch.tensor([(r.low, r.high) for r in FACTOR_RANGES.values()], dtype=torch.float64).T


def factors(n: int = 1, **values: float | Tensor) -> Tensor:
    """Rows in the middle of all ranges but for the named factors, float64."""
    rows = ((LOW + HIGH) / 2).repeat(n, 1)
    for name, value in values.items():
        rows[:, FACTORS.index(name)] = torch.as_tensor(value, dtype=torch.float64)
    return rows


def random_factors(n: int, seed: int = 0) -> Tensor:
    fraction = torch.rand(n, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return LOW + (HIGH - LOW) * fraction


def corners(n: int, seed: int = 0) -> Tensor:
    """Rows in which every factor is at an end of its range."""
    ends = torch.randint(0, 2, (n, 10), generator=torch.Generator().manual_seed(seed))
    return torch.where(ends == 1, HIGH, LOW)
