"""One run with harder negatives than the batch offers by itself: how they are drawn, and which Λ̂ results."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import torch
from torch import Tensor
from torch.nn import functional as F

from aninfonce import metrics
from aninfonce._checks import nearest_name
from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.distributions import AnisotropicSpherical
from aninfonce.experiments.fitting import fit_encoder
from aninfonce.experiments.known_latents import World, scores
from aninfonce.experiments.recipe import Mixing, Recipe, RecoveryModel
from aninfonce.experiments.task import Outcome, Place
from aninfonce.objectives import AnInfoNCE
from aninfonce.objectives._negatives import Negatives
from aninfonce.objectives.hard_negatives import NegativesRule, Reweighted, TopK

__all__ = ["KINDS", "MinedTask", "NaiveTopK", "TiltedNegatives", "TiltedTask", "folded_directions"]

KINDS = ("plain", "reweighted", "top-k", "naive-top-k")
POOL = 8  # batches drawn at a time


@dataclass(frozen=True)
class TiltedTask:
    """Explicit negatives of every anchor from p⁻(c|z) ∝ exp(-(c-z)ᵀΛ⁻(c-z)) on the sphere, seen through g as all else.

    Metrics: see `known_latents.scores`, and "concentration_<group>", the mean Λ̂ of the dimensions matched with a group
    of latents; "folded", see `folded_directions`. Details: "matched", Λ̂ in the order of the latents.

    Attributes:
        mixing: latents, Λ and the law of g.
        recipe: how to train; Λ̂ itself is trained, not its logarithm, so that it may become negative.
        tilt: Λ⁻, one entry a latent, any sign.
        groups: names for groups of latents.
        negatives: number of negatives of every anchor, M ≥ 1.
        corrected: whether the sampler's log density is passed to the loss (the log-Q correction).
        warm_up: the first steps that many have the other anchors as negatives, which are draws of the marginal.
        warm_up_batch: pairs in a batch of these.

    Raises:
        ValueError: if the tilt has not one finite entry a latent, or there are no negatives.
    """

    mixing: Mixing
    recipe: Recipe
    tilt: tuple[float, ...]
    groups: Mapping[str, Sequence[int]]
    negatives: int = 16
    corrected: bool = False
    warm_up: int = 0
    warm_up_batch: int = 512

    def __post_init__(self) -> None:
        if len(self.tilt) != len(self.mixing.concentration) or not all(map(math.isfinite, self.tilt)):
            raise ValueError(
                f"expected a finite tilt for each of {len(self.mixing.concentration)} latents, got {self.tilt}"
            )
        if self.negatives < 1:
            raise ValueError(f"negatives must be at least 1, got {self.negatives}")

    def run(self, seed: int, place: Place) -> Outcome:
        """Train one encoder on the mixing drawn from `seed`."""
        started = time.process_time()
        world = World.draw(self.mixing, self.recipe.width, seed, place.device)
        model = OwnNegativesModel(world.encoder, _objective(self.recipe, len(self.tilt), signed=True)).to(place.device)
        pairs = LatentPairs(torch.tensor(self.mixing.concentration, device=place.device), world.generator)
        draws = TiltedNegatives(
            pairs,
            torch.tensor(self.tilt, device=place.device),
            self.negatives,
            self.corrected,
        )
        reuse = self.recipe.reuse
        batches = chain(
            islice(pairs.batches(self.warm_up_batch, world.rng, reuse=reuse), self.warm_up),
            draws.batches(self.recipe.batch_size, world.rng, reuse=reuse),
        )
        trained = fit_encoder(model, self.recipe, batches)
        return _outcome(world, trained, self.groups, started)


@dataclass(frozen=True)
class MinedTask:
    """The batch's own negatives, all of them alike or the hard ones before the others.

    Metrics and details as of `TiltedTask`; Λ̂ is that of the objective, without a correction.

    Attributes:
        mixing: latents, Λ and the law of g.
        recipe: how to train; the other anchors are the negatives.
        groups: names for groups of latents.
        kind: "plain"; "reweighted" (`Reweighted`); "top-k" (`TopK`); or "naive-top-k": the k hardest and always the
            positive.
        strength: β of "reweighted", k of the last two.

    Raises:
        ValueError: if the kind is unknown, or the strength out of the rule's range.
    """

    mixing: Mixing
    recipe: Recipe
    groups: Mapping[str, Sequence[int]]
    kind: str = "plain"
    strength: float = 0.0

    def __post_init__(self) -> None:
        nearest_name("kind", self.kind, KINDS)
        self._rule()

    def _rule(self) -> NegativesRule | None:
        if self.kind == "plain":
            return None
        if self.kind == "reweighted":
            return Reweighted(self.strength)
        return (TopK if self.kind == "top-k" else NaiveTopK)(int(self.strength))

    def run(self, seed: int, place: Place) -> Outcome:
        """Train one encoder on the mixing drawn from `seed`."""
        started = time.process_time()
        world = World.draw(self.mixing, self.recipe.width, seed, place.device)
        objective = _objective(self.recipe, len(self.mixing.concentration), rule=self._rule())
        model = RecoveryModel(world.encoder, objective).to(place.device)
        pairs = LatentPairs(torch.tensor(self.mixing.concentration, device=place.device), world.generator)
        batches = pairs.batches(self.recipe.batch_size, world.rng, reuse=self.recipe.reuse)
        return _outcome(world, fit_encoder(model, self.recipe, batches), self.groups, started)


@dataclass(frozen=True)
class TiltedNegatives:
    """Pairs and, for every anchor z, M negatives from p⁻(c|z) ∝ exp(-(c-z)ᵀΛ⁻(c-z)).

    Attributes:
        pairs: the pairs of the anchors and their positives.
        tilt: Λ⁻, shape (dim,).
        count: M.
        corrected: whether batches carry the sampler's log densities.
    """

    pairs: LatentPairs
    tilt: Tensor
    count: int
    corrected: bool

    @torch.no_grad()
    def batches(self, batch_size: int, rng: torch.Generator, *, reuse: int = 1) -> Iterator[tuple[Tensor, ...]]:
        """Endless batches of anchors, positives, both (batch, dim), and negatives, (batch, M, dim), as observed.

        With the correction the log density follows, up to a constant of the anchor, of the positives, (batch,), and of
        the negatives, (batch, M). Every draw serves `reuse` times, reflected anew as in `LatentPairs.batches`: Λ⁻ is
        diagonal, too.
        """
        while True:
            n = POOL * batch_size
            z, positive = self.pairs.latent_pairs(n, rng)
            near = AnisotropicSpherical(z, self.tilt, signed=True, validate_args=False)
            negatives = near.sample((self.count,), generator=rng).transpose(0, 1)
            latents = torch.cat([z[:, None], positive[:, None], negatives], 1)
            log_q = -((latents - z[:, None]) ** 2 @ self.tilt)
            for _ in range(reuse):
                signs = 1 - 2 * torch.randint(0, 2, z.shape, generator=rng, device=z.device).to(z)
                for rows in torch.split(torch.randperm(n, generator=rng, device=z.device), batch_size):
                    x = self.pairs.generator(signs[rows, None] * latents[rows])
                    batch = (x[:, 0], x[:, 1], x[:, 2:])
                    yield (*batch, log_q[rows, 1], log_q[rows, 2:]) if self.corrected else batch


class OwnNegativesModel(RecoveryModel):
    """Every anchor with negatives of its own, all through one encoder."""

    def forward(self, x: Tensor, x_positive: Tensor, *own: Tensor) -> Tensor:
        """The loss of a batch of `TiltedNegatives.batches`, or of pairs alone."""
        if not own:
            return super().forward(x, x_positive)
        x_negatives, *log_q = own
        rows = torch.cat([x, x_positive, x_negatives.flatten(0, 1)])
        u, v, negatives = self.encoder(rows).split([len(x), len(x), x_negatives.shape[:2].numel()])
        negatives = negatives.unflatten(0, x_negatives.shape[:2])
        loss: Tensor = self.objective(u, v, negatives=negatives, log_q=tuple(log_q) or None)
        return loss + self.penalty(u)


@dataclass(frozen=True)
class NaiveTopK(TopK):
    """The usual choice: the k hardest negatives, and always the positive."""

    def losses(self, negatives: Negatives, positive: Tensor) -> list[Tensor]:
        """Every anchor's loss, one tensor a direction."""
        always = torch.full_like(positive, torch.inf)  # so that every positive ranks among the k + 1
        return [F.softplus(log_r - positive[rows]) for rows, log_r in negatives.hardest(self.k, always)]


def _objective(recipe: Recipe, dim: int, *, signed: bool = False, rule: NegativesRule | None = None) -> AnInfoNCE:
    """The loss; by default the other anchors are the negatives."""
    return AnInfoNCE(
        dim,
        recipe.initial_concentration * (torch.linspace(1, -1, dim) * math.log(recipe.initial_spread)).exp(),
        normalize=False,
        signed=signed,
        negatives_from="anchors",
        symmetric=False,
        hard_negatives=rule,
    )


def _outcome(world: World, trained: RecoveryModel, groups: Mapping[str, Sequence[int]], started: float) -> Outcome:
    assert isinstance(trained.objective, AnInfoNCE)  # as built here
    numbers, z_hat, order = scores(world, trained.encoder, groups)
    matched = trained.objective.concentration.detach()[order]
    for name, latents in groups.items():
        numbers[f"concentration_{name}"] = float(matched[list(latents)].mean())
    numbers["folded"] = float(folded_directions(world.held_out, z_hat))
    numbers["cpu_seconds"] = time.process_time() - started
    return Outcome(numbers, {"matched": matched.tolist()})


def folded_directions(z: Tensor, z_hat: Tensor) -> int:
    """How many directions w of the latents the embedding shows up to their sign only: not w·z, but |w·z|.

    Arguments:
        z: latents, shape (rows, dim).
        z_hat: embeddings, shape (rows, dim).

    Returns:
        Among the principal axes of what a linear map leaves of z, those whose variance it leaves by more than half
        while |w·z| is recovered with a held-out R² above one half.
    """
    centered = z - z.mean(0)
    features = z_hat - z_hat.mean(0)
    left = centered - features @ torch.linalg.lstsq(features, centered).solution
    variances, axes = torch.linalg.eigh(left.T @ left)
    missing = axes[:, variances > 0.5 * (centered**2).sum(0).mean()]
    if missing.shape[1] == 0:
        return 0
    sizes = (z @ missing).abs()
    found = metrics.linear_r2(sizes, z_hat, groups={str(i): [i] for i in range(sizes.shape[1])})
    return sum(score > 0.5 for score in found.values())
