"""The content and style experiment from a few latents to many: which recipe for how many."""

from __future__ import annotations

import math
from itertools import pairwise

from aninfonce.experiments.recipe import Recipe

__all__ = ["recipe_for"]

# dim: width, batch size, steps.
TUNED = {5: (48, 512, 1200), 10: (64, 512, 1800), 20: (96, 768, 2800), 50: (160, 1024, 6000)}


def recipe_for(dim: int) -> Recipe:
    """The recipe for a bimodal Λ of `dim` latents.

    Width, batch size and steps are tabulated at d = 5, 10, 20 and 50 and follow a power law between two of them
    (linear in logarithms, rounded; width and batch to multiples of 16); outside they are those of the nearest.

    Measured with Λ = 12.5 / 2.5, R² of content / style: d = 5, two mixings: .9995 / .999 in 12 seconds of one core;
    d = 10, one mixing: .9995 / .999 in 20. d = 20, five mixings it was not tuned on, 40 to 45 seconds: three at .99 on
    both, one at .993 / .988, one at .994 / .901, whose embedding most likely stayed folded (see `moment_penalty`).
    d = 50 is not solved: .68 / .58 from a run of 2000 steps, 62 seconds; the full one was not tried.

    Arguments:
        dim: the number of latents, at least 2.

    Raises:
        ValueError: if `dim` is below 2.

    Example:
        >>> recipe_for(20).steps
        2800
    """
    if dim < 2:
        raise ValueError(f"dim must be at least 2, got {dim}")
    width, batch, steps = _interpolated(dim)
    return Recipe(
        steps=round(steps),
        batch_size=16 * round(batch / 16),
        width=16 * round(width / 16),
        hidden_layers=2,
        uniformity_weight=0.3,
        float32_muon=True,
        evaluations=4,
    )


def _interpolated(dim: int) -> tuple[float, ...]:
    dims = sorted(TUNED)
    dim = min(max(dim, dims[0]), dims[-1])
    low, high = next((low, high) for low, high in pairwise(dims) if dim <= high)
    share = math.log(dim / low) / math.log(high / low)
    return tuple(a * (b / a) ** share for a, b in zip(TUNED[low], TUNED[high], strict=True))
