"""How far Λ̂ comes out from Λ, by group of latents: a recovery with that question asked, and its negatives chosen."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from aninfonce.experiments.recipe import Mixing, Recipe, RecoveryModel
from aninfonce.experiments.recovery import recover
from aninfonce.experiments.task import Outcome, Place
from aninfonce.models.latent_encoder import LatentEncoder
from aninfonce.objectives import AnInfoNCE, InfoNCE

__all__ = ["BiasTask", "FewNegatives", "concentration_bias"]


class FewNegatives(RecoveryModel):
    """A recovery whose anchors have `count` negatives each: the anchors that follow it in the batch, in a ring.

    The samples of a batch are independent, so these are draws of the marginal whatever their number; batch, encoder
    and number of anchors stay the same, and only what each anchor is told apart from changes.

    Arguments:
        encoder: of the observations.
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

    Raises:
        ValueError: if the objective is not AnInfoNCE, or `negatives` is not from 1 to the batch size - 1.
    """

    mixing: Mixing
    recipe: Recipe
    groups: Mapping[str, Sequence[int]]
    negatives: int | None = None

    def __post_init__(self) -> None:
        if self.recipe.objective != "aninfonce":
            raise ValueError(f"only AnInfoNCE has a trained Λ̂, got the objective {self.recipe.objective!r}")
        if self.negatives is not None and not 1 <= self.negatives < self.recipe.batch_size:
            raise ValueError(f"negatives must be from 1 to {self.recipe.batch_size - 1}, got {self.negatives}")

    def run(self, seed: int, place: Place) -> Outcome:
        """Train one encoder on the mixing drawn from `seed`."""
        make_model = None
        if self.negatives is not None:
            make_model = partial(FewNegatives, count=self.negatives)
        found = recover(self.mixing, self.recipe, seed, self.groups, device=place.device, make_model=make_model)
        bias = concentration_bias(found.matched, self.mixing.concentration, self.groups)
        return Outcome({**found.metrics, **bias}, {"curve": found.curve, "matched": found.matched})


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
