"""Content and style from a few latents to many: which recipe for how many, and what it recovers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

from aninfonce.experiments.contenders import contenders
from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.panels import CONCENTRATIONS, LATENTS
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.recovery import COLUMNS, RecoveryTask
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study

__all__ = ["Dimensions", "recipe_for"]

REFERENCES = (
    Reference("aninfonce-d-10/r2_content", 0.99, 0.01, note="figure"),
    Reference("aninfonce-d-10/r2_style", 0.99, 0.01, note="figure"),
    Reference("aninfonce-d-5/r2", 0.99, relation=">=", source="aim"),
    Reference("aninfonce-d-20/r2_content", 0.99, relation=">=", source="aim"),
    Reference("aninfonce-d-20/r2_style", 0.99, relation=">=", source="aim"),
    Reference("aninfonce-d-20/cpu_seconds", 60.0, relation="<=", source="aim"),
    Reference("aninfonce-d-50/r2", 0.99, relation=">=", source="aim"),
)

# dim: width, batch size, steps.
TUNED = {5: (48, 512, 1200), 10: (64, 512, 1800), 20: (96, 768, 4500), 50: (160, 1024, 5000)}


def recipe_for(dim: int) -> Recipe:
    """The recipe for a bimodal Λ of `dim` latents.

    Width, batch size and steps are tabulated at d = 5, 10, 20 and 50 and follow a power law between two of them
    (linear in logarithms, rounded; width and batch to multiples of 16); outside they are those of the nearest.

    From about d = 20 on it takes both penalties, on the mean and on the second moments of the anchors' embeddings, to
    keep the sphere from folding (see `moment_penalty`): with the second alone one mixing of five lost a style latent.

    Arguments:
        dim: the number of latents, at least 2.

    Raises:
        ValueError: if `dim` is below 2.

    Example:
        >>> recipe_for(20).steps
        4500
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
        centring=5.0,
        evaluations=4,
    )


def _interpolated(dim: int) -> tuple[float, ...]:
    dims = sorted(TUNED)
    dim = min(max(dim, dims[0]), dims[-1])
    low, high = next((low, high) for low, high in pairwise(dims) if dim <= high)
    share = math.log(dim / low) / math.log(high / low)
    return tuple(a * (b / a) ** share for a, b in zip(TUNED[low], TUNED[high], strict=True))


@dataclass(frozen=True, kw_only=True)
class Dimensions(Experiment):
    """The experiment's settings.

    Attributes:
        dims: numbers of latents, even or odd, each at least 4; half of them (rounded down) are content.
        costly: further numbers of latents, with the first seed only.
        temperatures: InfoNCE's fixed temperatures; it also runs with a trainable one. All of them with the first seed
            and the `dims` only.
        content: Λ of the first half of the latents.
        style: Λ of the others.
        shorten: the share of the recipe's steps that is run, in (0, 1].
    """

    name: ClassVar[str] = "dimensions"
    shows: ClassVar[str] = "from 5 latents to 50: what is recovered, and in how many core-seconds"
    core_seconds: ClassVar[tuple[float, float]] = (860.0, 85.0)

    seeds: int = 5
    dims: tuple[int, ...] = (5, 10, 20)
    costly: tuple[int, ...] = (50,)
    temperatures: tuple[float, ...] = (1.0, 0.2)
    content: float = 12.5
    style: float = 2.5
    shorten: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.dims or min(*self.dims, *self.costly, math.inf) < 4:
            raise ValueError(f"expected numbers of latents of at least 4, got {self.dims} and {self.costly}")
        if not 0 < self.shorten <= 1:
            raise ValueError(f"shorten must be a share in (0, 1], got {self.shorten}")

    def quick(self) -> Dimensions:
        """One mixing each, up to 20 latents, half of the steps, one temperature."""
        return replace(self, seeds=1, costly=(), temperatures=(1.0,), shorten=0.5)

    def study(self) -> Study:
        """The runs, and what they are held against."""
        shown = ("aninfonce", *(f"infonce-tau-{t:g}" for t in self.temperatures), "infonce-trainable")
        runs = {(m, d): self._task(m, d) for d in (*self.dims, *self.costly) for m in shown}
        often = {f"{m}-d-{d}": task for (m, d), task in runs.items() if m == "aninfonce" and d in self.dims}
        rest = {(m, d) for m, d in runs if f"{m}-d-{d}" not in often and (m == "aninfonce" or d in self.dims)}
        once = {f"{m}-d-{d}": runs[m, d] for m, d in sorted(rest, key=lambda pair: -pair[1])}
        ticks = [float(d) for d in sorted((*self.dims, *self.costly))]
        return Study(
            name=self.name,
            title=self.shows,
            tasks=often,
            once=once,
            seeds=self.all_seeds,
            references=REFERENCES,
            columns=COLUMNS,
            facts={
                "axis": {"label": "number of latents d", "scale": "log", "ticks": ticks},
                "points": {
                    f"{m}-d-{d}": {"series": m, "x": float(d)} for d in (*self.dims, *self.costly) for m in shown
                },
                "panels": [
                    LATENTS,
                    CONCENTRATIONS,
                    {"measures": ["cpu_seconds"], "label": "core-seconds", "scale": "log", "title": "cost"},
                ],
            },
        )

    def _task(self, method: str, dim: int) -> RecoveryTask:
        half = dim // 2
        recipe = recipe_for(dim)
        recipe = replace(recipe, steps=max(1, round(self.shorten * recipe.steps)))
        # InfoNCE's collapse is one of second moments: the penalty on them would hide it for most of the training.
        others = contenders(replace(recipe, uniformity_weight=0.0), self.temperatures)
        return RecoveryTask(
            Mixing((self.content,) * half + (self.style,) * (dim - half)),
            recipe if method == "aninfonce" else others[method],
            {"content": list(range(half)), "style": list(range(half, dim))},
        )
