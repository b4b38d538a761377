"""The indeterminacy itself: latents of equal concentration come mixed among each other, and with no others.

The theorem identifies the latents up to a block-orthogonal map, a block being a set of equal Λ: blocks of unequal Λ are
kept apart, and if all Λ are distinct the map is a signed permutation. InfoNCE has one Λ for all, and so one block.
arXiv 2407.00143, Theorem 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from aninfonce import metrics
from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.recipe import Mixing, Recipe
from aninfonce.experiments.recovery import recover
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study
from aninfonce.experiments.task import Outcome, Place

__all__ = ["Blocks", "BlocksTask"]

APART = "blocks of unequal Λ do not mix"
REFERENCES = (
    Reference("two-blocks/leakage", 0.0, 0.01, "<=", "theory", APART),
    Reference("two-blocks/r2", 0.99, relation=">=", source="aim"),
    Reference("two-blocks/mean_correlation", 0.9, relation="<=", source="theory", note="equal Λ mix at will"),
    Reference("two-blocks/orthogonality_error", 0.0, 0.1, "<=", "theory", "the map is orthogonal"),
    Reference("three-blocks/leakage", 0.0, 0.01, "<=", "theory", APART),
    Reference("three-blocks/mean_correlation", 0.9, relation="<=", source="theory", note="equal Λ mix at will"),
    Reference("distinct/leakage", 0.0, 0.03, "<=", "theory", "all Λ distinct: a signed permutation"),
    Reference("distinct/mean_correlation", 0.989, 0.01, note="log of the public code"),
    Reference("infonce/leakage_over_chance", 1.0, 0.3, source="theory", note="one Λ for all: no blocks"),
)


@dataclass(frozen=True)
class BlocksTask:
    """A recovery, and the block structure of the map from the latents to the embedding.

    The metrics are those of `recover`, `leakage` with `leakage_error` (its standard error), `leakage_chance` (that of
    random orthogonal maps), `leakage_over_chance` and `orthogonality_error`, see `aninfonce.metrics.block_leakage`.
    The details hold "matrix", the squared weights with rows and columns arranged by block, and "sizes" of the blocks.

    Attributes:
        mixing: the data-generating process.
        recipe: how to train.
        blocks: name -> indices of the latents of equal concentration; every latent in one block.
    """

    mixing: Mixing
    recipe: Recipe
    blocks: Mapping[str, Sequence[int]]

    def run(self, seed: int, place: Place) -> Outcome:
        """Train one encoder on the mixing drawn from `seed`."""
        details: dict[str, Any] = {}

        def measure(z: Tensor, z_hat: Tensor) -> dict[str, float]:
            found = metrics.block_leakage(z, z_hat, self.blocks)
            details.update(matrix=found.arranged.tolist(), sizes=[len(block) for block in found.blocks.values()])
            return {
                "leakage": found.leakage,
                "leakage_error": found.standard_error,
                "leakage_chance": found.chance,
                "leakage_over_chance": found.leakage / found.chance,
                "orthogonality_error": found.orthogonality_error,
            }

        recovery = recover(self.mixing, self.recipe, seed, device=place.device, measure=measure)
        return Outcome(recovery.metrics, {**details, "matched": recovery.matched})


@dataclass(frozen=True, kw_only=True)
class Blocks(Experiment):
    """The experiment's settings.

    Attributes:
        largest: the largest Λ_i of every case, of ten latents.
        smallest: the smallest.
        temperature: InfoNCE's fixed one, low enough that it keeps all latents; it also runs with a trainable one.
        steps: optimiser steps; half as many again where Λ̂ is to come out distinct.
    """

    name: ClassVar[str] = "blocks"
    shows: ClassVar[str] = "what remains undetermined: rotations among latents of equal concentration, nothing else"
    core_seconds: ClassVar[tuple[float, float]] = (205.0, 36.0)

    seeds: int = 2
    largest: float = 12.5
    smallest: float = 2.5
    temperature: float = 0.2
    steps: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.smallest < self.largest:
            raise ValueError(f"expected 0 < smallest < largest, got {self.smallest} and {self.largest}")

    def quick(self) -> Blocks:
        """One mixing, two fifths of the steps."""
        return replace(self, seeds=1, steps=800)

    def study(self) -> Study:
        """The methods to run, and what they are held against."""
        middle = (self.largest * self.smallest) ** 0.5
        two = Mixing((self.largest,) * 5 + (self.smallest,) * 5)
        three = Mixing((self.largest,) * 5 + (middle,) * 3 + (self.smallest,) * 2)
        spaced = torch.linspace(self.largest, self.smallest, 10, dtype=torch.float64)
        plain = Recipe(width=48, batch_size=512, steps=self.steps, evaluations=1)
        # As in `linear-spectrum`: Λ̂ starts spread and moves slowly, so that the rotation finds the axes first.
        slow = replace(
            plain, batch_size=768, initial_spread=2.2, rate_concentration=0.02, steps=self.steps + self.steps // 2
        )
        trainable = replace(plain, objective="infonce", width=96)
        isotropic = replace(trainable, temperature=self.temperature)
        halves = {"content": list(range(5)), "style": list(range(5, 10))}
        thirds = {"high": list(range(5)), "middle": [5, 6, 7], "low": [8, 9]}
        return Study(
            name=self.name,
            title=self.shows,
            tasks={
                "two-blocks": BlocksTask(two, plain, halves),
                "three-blocks": BlocksTask(three, replace(plain, initial_spread=2.2), thirds),
                "distinct": BlocksTask(Mixing(tuple(spaced.tolist())), slow, {f"{i}": [i] for i in range(10)}),
                "infonce": BlocksTask(two, isotropic, halves),
                "infonce-trainable": BlocksTask(two, trainable, halves),
            },
            seeds=self.all_seeds,
            references=REFERENCES,
            columns=("r2", "mean_correlation", "leakage", "leakage_error", "leakage_chance", "orthogonality_error"),
            facts={
                "cases": {
                    "two-blocks": "AnInfoNCE, two values of Λ",
                    "three-blocks": "AnInfoNCE, three values of Λ",
                    "distinct": "AnInfoNCE, all Λ distinct",
                    "infonce": f"InfoNCE, τ = {self.temperature:g}, two values of Λ",
                    "infonce-trainable": "InfoNCE, trainable τ, two values of Λ",
                }
            },
        )
