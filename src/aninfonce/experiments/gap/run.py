"""One run: an encoder trained in a world that breaks an assumption, what it recovers, and what the checks say."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aninfonce import metrics
from aninfonce.data.generators import InvertibleMLP, smallest_singular_value
from aninfonce.experiments.fitting import fit_encoder
from aninfonce.experiments.gap.checks import CHECKS, fitted, p_values, rejection_rates
from aninfonce.experiments.gap.world import World, WorldPairs
from aninfonce.experiments.placement import placed
from aninfonce.experiments.recipe import Recipe, RecoveryModel, make_objective
from aninfonce.experiments.task import Outcome, Place
from aninfonce.models.latent_encoder import LatentEncoder
from aninfonce.models.projected_encoder import ProjectedEncoder
from aninfonce.objectives import AnInfoNCE

__all__ = ["Architecture", "GapTask"]

WHITENING, HELD_OUT, HELD_OUT_PAIRWISE, JACOBIANS = 8192, 8192, 1024, 256


@dataclass(frozen=True)
class Architecture:
    """The encoder beyond its width.

    Attributes:
        embedding_dim: at least 2; None: as many as latents.
        projector_layers: number of layers of the projector between the features that are read out and the embedding;
            0: none.
        feature_dim: number of dimensions of those features, at least 2, if there is a projector.

    Raises:
        ValueError: if `projector_layers` is negative.
    """

    embedding_dim: int | None = None
    projector_layers: int = 0
    feature_dim: int = 32

    def __post_init__(self) -> None:
        if self.projector_layers < 0:
            raise ValueError(f"projector_layers must be at least 0, got {self.projector_layers}")

    def encoder(self, width: int, observations: Tensor, rng: torch.Generator) -> LatentEncoder:
        """The encoder, with initial weights from `rng`."""
        dim = observations.shape[1]
        out = dim if self.embedding_dim is None else self.embedding_dim
        if self.projector_layers == 0:
            return LatentEncoder(dim, width, observations, rng, embedding_dim=out)
        return ProjectedEncoder(
            dim,
            width,
            observations,
            rng,
            feature_dim=self.feature_dim,
            embedding_dim=out,
            layers=self.projector_layers,
        )


@dataclass(frozen=True)
class GapTask:
    """Train one encoder and check the assumptions on its embeddings of pairs it has not seen.

    Measures of the outcome: "r2", "r2_content", "r2_style" and "r2_singled" (the latents `World.singled`; held-out
    linear R²), the same with "features_" in front of what comes before the projector and the normalisation;
    "concentration_content" and "concentration_style" (means of Λ̂ over the matched dimensions), "concentration_error"
    (AnInfoNCE's; median over the latents of |Λ̂ - Λ|/Λ); "hit_at_1" and "loss" (among 1024 pairs), "chance_loss"
    (log 1024), "effective_rank", "effective_candidates" (of 17, at the Λ̂ that `metrics.anisotropy` finds),
    "smallest_singular_value" (of the mixing, over 256 latents); "rings_CHECK" (share of the samples in which a check
    rejects at .05) and "rings" (the mean over the checks).

    Attributes:
        world: the data-generating process.
        recipe: how to train.
        architecture: the architecture of the encoder.
        samples: how many samples of fresh pairs the checks see, at least 0.
        rows: pairs in each of them.

    Raises:
        ValueError: if `samples` is negative.
    """

    world: World
    recipe: Recipe
    architecture: Architecture = Architecture()
    samples: int = 6
    rows: int = 1000

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise ValueError(f"samples must be at least 0, got {self.samples}")

    def run(self, seed: int, place: Place) -> Outcome:
        """Train and measure; the mixing, the pairs and the initial weights come from `seed`."""
        started = time.process_time()
        rng = torch.Generator().manual_seed(seed)
        g = InvertibleMLP(self.world.dim, generator=rng)
        with torch.no_grad():
            pairs = self.world.pairs(g)
            observations = pairs.generator(pairs.latents(WHITENING, rng))
        encoder = self.architecture.encoder(self.recipe.width, observations, rng)
        out = self.architecture.embedding_dim or self.world.dim
        model = RecoveryModel(encoder, make_objective(self.recipe, out))
        pairs, model, rng = placed(pairs, model, rng, seed, place.device)
        reuse = self.recipe.reuse if self.world.reflectable else 1
        averaged = fit_encoder(model, self.recipe, pairs.batches(self.recipe.batch_size, rng, reuse=reuse))
        with torch.no_grad():
            z, positive = pairs.latent_pairs(HELD_OUT, rng)
            x, x_positive = pairs.generator(z), pairs.generator(positive)
            u, v = averaged.encoder(x), averaged.encoder(x_positive)
            numbers = self._recovery(averaged, x, z, u) | _discriminability(averaged, u, v)
        refit = fitted(u.cpu(), v.cpu())
        numbers["effective_candidates"] = math.nan if refit is None else refit.effective_candidates
        concentration = None if refit is None else refit.concentration
        p = [self._check(averaged, pairs, concentration, rng, number) for number in range(self.samples)]
        rates = rejection_rates(p)
        numbers |= {f"rings_{check}": rate for check, rate in rates.items()}
        if known := [rate for rate in rates.values() if not math.isnan(rate)]:
            numbers["rings"] = float(np.mean(known))
        exact = self.world.pairs(copy.deepcopy(g).cpu().double(), dtype=torch.float64).generator
        singular = smallest_singular_value(exact, z[:JACOBIANS].cpu().double())
        numbers["smallest_singular_value"] = float(singular.min())
        numbers["cpu_seconds"] = time.process_time() - started
        details = {"p_values": {check: [sample[check] for sample in p] for check in CHECKS}}
        return Outcome(numbers, {**details, "concentration": _concentration(averaged, out).tolist()})

    def _recovery(self, model: RecoveryModel, x: Tensor, z: Tensor, u: Tensor) -> dict[str, float]:
        """R² of the embedding and of the features below a projector; Λ̂ in the order of the latents."""
        world = self.world
        numbers: dict[str, float] = {}
        groups = {"": range(world.dim), **world.groups, "singled": world.singled}
        for layer, values in {"": u, "features_": cast("LatentEncoder", model.encoder).features(x)}.items():
            scores = metrics.linear_r2(z, values, groups=groups)
            numbers |= {f"{layer}r2_{name}" if name else f"{layer}r2": score for name, score in scores.items()}
        partners = torch.as_tensor(metrics.match_dimensions(z, u).permutation)
        concentration = _concentration(model, u.shape[1]).cpu()
        matched = torch.where(partners >= 0, concentration[partners], math.nan)
        for name in ("content", "style"):
            numbers[f"concentration_{name}"] = float(matched[world.groups[name]].nanmean())
        if isinstance(model.objective, AnInfoNCE):
            true = torch.tensor(world.concentration)
            numbers["concentration_error"] = float(((matched - true).abs() / true).nanmedian())
        return numbers

    def _check(
        self,
        model: RecoveryModel,
        pairs: WorldPairs,
        concentration: npt.NDArray[np.float64] | None,
        rng: torch.Generator,
        number: int,
    ) -> dict[str, float]:
        """p-values of a sample of fresh pairs."""
        with torch.no_grad():
            u, v = (model.encoder(pairs.generator(part)).cpu() for part in pairs.latent_pairs(self.rows, rng))
        return p_values(u, v, concentration, number)


def _concentration(model: RecoveryModel, dim: int) -> Tensor:
    """Λ̂ of shape (dim,); of InfoNCE 1/(2τ) in every dimension."""
    if isinstance(model.objective, AnInfoNCE):
        return model.objective.concentration.detach()
    return torch.as_tensor(0.5 / model.objective.temperature).detach().expand(dim)


def _discriminability(model: RecoveryModel, u: Tensor, v: Tensor) -> dict[str, float]:
    """How hard it is to find the positive, and how many dimensions the embedding fills."""
    some, others = u[:HELD_OUT_PAIRWISE], v[:HELD_OUT_PAIRWISE]
    return {
        "hit_at_1": metrics.hit_at_k(some, others, 1),
        "loss": float(model.objective(some, others)),
        "chance_loss": math.log(HELD_OUT_PAIRWISE),
        "effective_rank": metrics.effective_rank(u),
    }
