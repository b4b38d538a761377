"""Two augmentation families, each of which leaves latents mixed: what they identify together.

Family k varies the latents by Λ^(k). One encoder with one Λ̂^(k) each is determined up to the joint level sets of
(Λ_i^(1), Λ_i^(2)); where no two latents agree in both, up to signs and a permutation. arXiv 2407.00143 (loss
ensembles); the statement on joint level sets is derived for this library, see `aninfonce verify`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from aninfonce import metrics
from aninfonce._checks import nearest_name
from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.experiments.experiment import Experiment
from aninfonce.experiments.fitting import fit_encoder
from aninfonce.experiments.known_latents import World, scores
from aninfonce.experiments.recipe import Mixing, Recipe, RecoveryModel
from aninfonce.experiments.reference import Reference
from aninfonce.experiments.study import Study
from aninfonce.experiments.task import Outcome, Place
from aninfonce.models.latent_encoder import LatentEncoder
from aninfonce.objectives import AnInfoNCEEnsemble, joint_level_sets

__all__ = ["EnsembleTask", "Ensembles"]

Spectrum = tuple[float, ...]

FAMILIES = ("first", "second", "pooled", "both")
POOL = 16  # batches drawn at a time
BATCH = 1024  # pairs, of all families together
DEPTH = 2  # of g: one layer of kinks makes short runs
COLUMNS = ("r2", "mean_correlation", "leakage_single", "leakage_joint", "concentration_error", "cpu_seconds")

# A uniformly random rotation of three latents has a mean correlation of .83 after the best matching; .9 leaves room for
# a lucky one. Where in its blocks an encoder ends, a family alone leaves to chance.
REFERENCES = (
    Reference("distinct-both/mean_correlation", 0.98, relation=">=", source="aim", note="all latents told apart"),
    Reference("distinct-first/mean_correlation", 0.9, relation="<=", source="aim", note="three blocks of three"),
    Reference("distinct-second/mean_correlation", 0.9, relation="<=", source="aim", note="three blocks of three"),
    Reference("distinct-first/leakage_single", 0.0, 0.02, source="theory", note="its own blocks"),
    Reference("distinct-second/leakage_single", 0.0, 0.02, source="theory", note="its own blocks"),
    Reference("distinct-both/leakage_joint", 0.0, 0.04, source="theory", note="joint level sets: single latents"),
    Reference("distinct-both/concentration_error", 0.05, relation="<=", source="theory", note="every Λ̂^(k) = Λ^(k)"),
    Reference("blocks-both/leakage_joint", 0.0, 0.04, source="theory", note="joint level sets: pairs of latents"),
    Reference("blocks-both/concentration_error", 0.05, relation="<=", source="theory", note="every Λ̂^(k) = Λ^(k)"),
)


@dataclass(frozen=True)
class EnsembleTask:
    """One encoder on one random mixing, from the pairs of one family, of all without their names, or of all with them.

    Metrics: see `known_latents.scores`; "leakage_single" and "leakage_joint", the shares of the squared weight of the
    linear map from the latents that lie outside the blocks of the first family (of the second, where it alone is used),
    and outside the joint level sets; "concentration_error", the median of |Λ̂^(k) - Λ^(k)| / Λ^(k) over families and
    latents (not for pooled families, which have no Λ of their own). Details: "matched", the Λ̂^(k) in the order of the
    latents; "weights", the squared weights, a row a dimension in the order of the latents they were matched with.

    Attributes:
        families: Λ^(k), one entry a latent each.
        recipe: how to train; a batch has as many pairs whatever the method, which the families share.
        use: "first" or "second" alone; "pooled": all with one Λ̂; "both": all, with a Λ̂^(k) each.
        depth: the depth of g.

    Raises:
        ValueError: if there are not two families, or `use` is unknown; besides the errors of `Mixing`.
    """

    families: tuple[Spectrum, ...]
    recipe: Recipe
    use: str = "both"
    depth: int = 3

    def __post_init__(self) -> None:
        nearest_name("use", self.use, FAMILIES)
        if len(self.families) != 2 or len(self.families[0]) != len(self.families[1]):
            raise ValueError(f"expected two families with a concentration for every latent, got {self.families}")
        for family in self.families:
            Mixing(family, self.depth)

    @property
    def used(self) -> tuple[Spectrum, ...]:
        """Λ^(k) of the families that the run sees."""
        return {"first": self.families[:1], "second": self.families[1:]}.get(self.use, self.families)

    def run(self, seed: int, place: Place) -> Outcome:
        """Train one encoder on the mixing drawn from `seed`."""
        started = time.process_time()
        world = World.draw(Mixing(self.families[0], self.depth), self.recipe.width, seed, place.device)
        members = 1 if self.use == "pooled" else len(self.used)
        model = EnsembleModel(world.encoder, self._objective(members, world.rng)).to(place.device)
        pairs = [LatentPairs(torch.tensor(family, device=place.device), world.generator) for family in self.used]
        share = self.recipe.batch_size // len(pairs)
        streams = [family.batches(share, world.rng, pool=POOL, reuse=self.recipe.reuse) for family in pairs]
        trained = fit_encoder(model, self.recipe, together(streams))
        numbers, z_hat, order = scores(world, trained.encoder, {})
        assert isinstance(trained, EnsembleModel)  # the average of what was trained
        matched = trained.objective.concentration.detach()[:, order]
        if self.use != "pooled":
            true = torch.tensor(self.used, device=place.device)
            numbers["concentration_error"] = float(((matched - true).abs() / true).median())
        single = self.families[1] if self.use == "second" else self.families[0]
        for name, spectra in (("single", (single,)), ("joint", self.families)):
            blocks = {str(k): block for k, block in enumerate(joint_level_sets(torch.tensor(spectra)))}
            found = metrics.block_leakage(world.held_out, z_hat, blocks)
            numbers[f"leakage_{name}"] = found.leakage
        numbers["cpu_seconds"] = time.process_time() - started
        return Outcome(numbers, {"matched": matched.tolist(), "weights": found.matrix[order.cpu().numpy()].tolist()})

    def _objective(self, members: int, rng: torch.Generator) -> AnInfoNCEEnsemble:
        """Every Λ̂^(k) starts spread, in an order of its own: equal orders would tie the families to each other."""
        dim = len(self.families[0])
        spread = torch.linspace(1, -1, dim) * torch.tensor(self.recipe.initial_spread).log()
        orders = [torch.randperm(dim, generator=rng, device=rng.device).cpu() for _ in range(members)]
        return AnInfoNCEEnsemble(
            dim,
            members,
            torch.stack([self.recipe.initial_concentration * spread[order].exp() for order in orders]),
            normalize=False,
            negatives_from="anchors",
            symmetric=False,
        )


class EnsembleModel(RecoveryModel):
    """One encoder for the pairs of all families; a loss for each family, or one for all."""

    objective: AnInfoNCEEnsemble  # type: ignore[assignment]

    def __init__(self, encoder: LatentEncoder, objective: AnInfoNCEEnsemble) -> None:
        nn.Module.__init__(self)
        self.encoder = encoder
        self.objective = objective

    def forward(self, x: Tensor, x_positive: Tensor, *others: Tensor) -> Tensor:
        """The loss of observed pairs (x, x⁺) of every family, one after the other, each tensor (batch, dim)."""
        families = len(others) // 2 + 1
        views = self.encoder(torch.cat([x, x_positive, *others])).chunk(2 * families)
        u, v = views[0::2], views[1::2]
        if len(self.objective.members) == 1:  # nobody says which family a pair is of
            u, v = (torch.cat(u),), (torch.cat(v),)
        loss: Tensor = self.objective(list(zip(u, v, strict=True)))
        return loss


def together(streams: Sequence[Iterator[tuple[Tensor, Tensor]]]) -> Iterator[tuple[Tensor, ...]]:
    """A batch of every family at each step: x, x⁺ of the first, then of the second."""
    for batches in zip(*streams, strict=True):
        yield tuple(view for batch in batches for view in batch)


@dataclass(frozen=True, kw_only=True)
class Ensembles(Experiment):
    """The experiment's settings.

    Attributes:
        levels: three values of Λ, all different. The nine latents have every pair of them, one in each family.
        blocks: also a case whose joint level sets are four pairs of latents: eight latents, every pair of the largest
            and the smallest value twice.
        steps: optimiser steps.
    """

    name: ClassVar[str] = "ensembles"
    shows: ClassVar[str] = "two augmentation families: each alone leaves latents mixed, an ensemble tells them apart"
    core_seconds: ClassVar[tuple[float, float]] = (310.0, 40.0)

    seeds: int = 2
    levels: tuple[float, float, float] = (12.5, 5.5, 2.0)
    blocks: bool = True
    steps: int = 1500

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.levels)) != 3 or not all(level > 0 for level in self.levels):
            raise ValueError(f"levels must be three different positive numbers, got {self.levels}")

    def quick(self) -> Ensembles:
        """One mixing, half of the steps, without the second case."""
        return replace(self, seeds=1, steps=600, blocks=False)

    def study(self) -> Study:
        """The methods to run, and what they are held against."""
        high, low = max(self.levels), min(self.levels)
        cases = {"distinct": (_each(self.levels, 3, 1), _each(self.levels, 1, 3))}
        if self.blocks:
            cases["blocks"] = (_each((high, low), 4, 1), _each((high, low), 2, 2))
        # Λ̂ starts spread and moves slowly, as for a linear spectrum: the rotation finds the axes first.
        recipe = Recipe(width=48, batch_size=BATCH, initial_spread=2.2, rate_concentration=0.02, steps=self.steps)
        uses = {"distinct": FAMILIES, "blocks": ("first", "both")}
        return Study(
            name=self.name,
            title=self.shows,
            tasks={
                f"{case}-{use}": EnsembleTask(families, recipe, use, depth=DEPTH)
                for case, families in cases.items()
                for use in uses[case]
            },
            seeds=self.all_seeds,
            references=tuple(r for r in REFERENCES if r.name.split("-")[0] in cases),
            columns=COLUMNS,
            facts={"families": {case: [list(family) for family in families] for case, families in cases.items()}},
        )


def _each(levels: Sequence[float], run: int, times: int) -> Spectrum:
    """Every level `run` times in a row, and all that `times` times."""
    return tuple(level for _ in range(times) for level in levels for _ in range(run))
