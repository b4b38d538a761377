"""How far Λ̂ comes out from Λ, by group of latents: a recovery with that question asked, and its negatives chosen."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from aninfonce._checks import nearest_name
from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.experiments.public_code import ApproximatePairs, UntransposedNTXent
from aninfonce.experiments.recipe import Mixing, Recipe, RecoveryModel
from aninfonce.experiments.recovery import recover
from aninfonce.experiments.task import Outcome, Place
from aninfonce.models.latent_encoder import LatentEncoder
from aninfonce.objectives import AnInfoNCE, InfoNCE

__all__ = ["SAMPLERS", "BiasTask", "FewNegatives", "concentration_bias"]

SAMPLERS: Mapping[str, type[LatentPairs]] = {"exact": LatentPairs, "approximate": ApproximatePairs}
"""Where positives come from: the conditional itself, or what the public code draws in its place."""


class FewNegatives(RecoveryModel):
    """A recovery whose anchors have `count` negatives each: the anchors that follow it in the batch, in a ring.

    The samples of a batch are independent, so these are draws of the marginal whatever their number; batch, encoder
    and number of anchors stay the same, and only what each anchor is told apart from changes.

    Arguments:
        encoder: the encoder of the observations.
        objective: called with explicit negatives, so that its own choice of them and of directions does not count.
        count: M, at least 1, below the batch size.

    Raises:
        ValueError: if `count` is below 1; in `contrast` if the batch is not larger.
    """

    def __init__(self, encoder: LatentEncoder, objective: InfoNCE | AnInfoNCE, count: int) -> None:
        super().__init__(encoder, objective)
        if count < 1:
            raise ValueError(f"every anchor needs at least 1 negative, got {count}")
        self.count = count

    def contrast(self, u: Tensor, v: Tensor) -> Tensor:
        """The contrastive loss of embeddings of pairs, each of shape (batch, dim)."""
        if len(u) <= self.count:
            raise ValueError(f"{self.count} other anchors need a batch of more than that, got {len(u)}")
        # Row i of the windows holds the `count` rows after i.
        windows = torch.cat([u, u[: self.count]])[1:].unfold(0, self.count, 1).mT
        loss: Tensor = self.objective(u, v, negatives=windows)
        return loss


@dataclass(frozen=True)
class BiasTask:
    """`recover` as a run of a study, with the bias of Λ̂ by group among its metrics (see `concentration_bias`).

    Attributes:
        mixing: the data-generating process.
        recipe: how to train; the objective must be AnInfoNCE.
        groups: names for groups of latents of equal concentration (their indices, from 0).
        negatives: how many other anchors each anchor is told apart from; None: what `recipe.negatives_from` says.
        transposed: False for the public code's loss, see `nt_xent`; takes negatives from both views, both directions.
        sampler: the sampler of the positives, "exact" or "approximate" (the public code's).

    Raises:
        ValueError: if the objective is not AnInfoNCE, `negatives` is not from 1 to the batch size - 1, the sampler is
            unknown, or `transposed` does not fit the negatives.
    """

    mixing: Mixing
    recipe: Recipe
    groups: Mapping[str, Sequence[int]]
    negatives: int | None = None
    transposed: bool = True
    sampler: str = "exact"

    def __post_init__(self) -> None:
        if self.recipe.objective != "aninfonce":
            raise ValueError(f"only AnInfoNCE has a trained Λ̂, got the objective {self.recipe.objective!r}")
        if self.negatives is not None and not 1 <= self.negatives < self.recipe.batch_size:
            raise ValueError(f"negatives must be from 1 to {self.recipe.batch_size - 1}, got {self.negatives}")
        nearest_name("sampler", self.sampler, SAMPLERS)
        ways = (self.recipe.negatives_from, self.recipe.symmetric, self.negatives)
        if not self.transposed and ways != ("both", True, None):
            raise ValueError("the untransposed block is one of negatives from both views in both directions")

    def run(self, seed: int, place: Place) -> Outcome:
        """Train one encoder on the mixing drawn from `seed`."""
        found = recover(
            self.mixing,
            self.recipe,
            seed,
            self.groups,
            device=place.device,
            make_model=self._make_model(),
            make_pairs=SAMPLERS[self.sampler],
        )
        bias = concentration_bias(found.matched, self.mixing.concentration, self.groups)
        return Outcome({**found.metrics, **bias}, {"curve": found.curve, "matched": found.matched})

    def _make_model(self) -> Callable[[LatentEncoder, InfoNCE | AnInfoNCE], RecoveryModel] | None:
        if self.negatives is not None:
            return partial(FewNegatives, count=self.negatives)
        return None if self.transposed else untransposed


def untransposed(encoder: LatentEncoder, objective: InfoNCE | AnInfoNCE) -> RecoveryModel:
    """A recovery under the public code's loss, from the Λ̂ at which the objective starts."""
    if not isinstance(objective, AnInfoNCE):
        raise TypeError(f"only AnInfoNCE has a trained Λ̂, got {type(objective).__name__}")
    start = objective.concentration.detach()
    return RecoveryModel(encoder, UntransposedNTXent(len(start), init=start, negatives_from="both"))


def concentration_bias(
    matched: Sequence[float], true: Sequence[float], groups: Mapping[str, Sequence[int]]
) -> dict[str, float]:
    """Of every group of latents: the mean Λ̂ as concentration_<group>, the mean of Λ̂/Λ - 1 as bias_<group>.

    Arguments:
        matched: Λ̂ in the order of the latents.
        true: Λ, as many.
        groups: name -> indices of latents.
    """
    found = {}
    for name, group in groups.items():
        found[f"concentration_{name}"] = statistics.fmean(matched[i] for i in group)
        found[f"bias_{name}"] = statistics.fmean(matched[i] / true[i] - 1 for i in group)
    return found
