"""Recover known latents with a contrastive encoder: one run of the controlled experiments, in seconds.

The recipe (whitened input, a linear skip, Muon on the matrices, large rates on biases, rotation and Λ̂) reaches in
under a thousand steps what plain Adam reaches in tens of thousands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from aninfonce import metrics
from aninfonce.data.generators import InvertibleMLP
from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.experiments.fitting import fit_encoder
from aninfonce.experiments.placement import placed
from aninfonce.experiments.recipe import Mixing, Recipe, RecoveryModel, make_objective
from aninfonce.experiments.task import Outcome, Place
from aninfonce.models.latent_encoder import LatentEncoder
from aninfonce.objectives import AnInfoNCE, InfoNCE

__all__ = ["COLUMNS", "Mixing", "Recipe", "Recovery", "RecoveryTask", "recover", "recover_from"]

Groups = Mapping[str, Sequence[int]]

# What tables show of a recovery.
COLUMNS = ("r2", "r2_content", "r2_style", "mean_correlation", "concentration_error", "cpu_seconds")

# Samples for the input's mean and covariance, for the final measurements, for each one along the way, and for those
# that compare all pairs of a set.
WHITENING, HELD_OUT, HELD_OUT_CURVE, HELD_OUT_PAIRWISE = 8192, 8192, 4096, 1024


@dataclass(frozen=True)
class Recovery:
    """What one run recovered, measured on fresh pairs with the averaged weights.

    Attributes:
        metrics: "r2" and "r2_<group>" (held-out linear R², at most 1), "mean_correlation" (after matching),
            "concentration_error" (AnInfoNCE's; median over the latents of |Λ̂ - Λ|/Λ), "loss" and "hit_at_1" (on 1024
            pairs), "cpu_seconds" (of this process, everything included).
        curve: "step" and the same R² along training, one entry an evaluation.
        concentration: Λ̂ in the order of the embedding's dimensions (InfoNCE: 1/(2τ) in each).
        matched: Λ̂ in the order of the latents they were matched with.
    """

    metrics: dict[str, float]
    curve: dict[str, list[float]] = field(default_factory=dict)
    concentration: list[float] = field(default_factory=list)
    matched: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class RecoveryTask:
    """`recover` as a run of a study; its arguments are the attributes.

    The outcome's details are the recovery's `curve`, `concentration` and `matched`.
    """

    mixing: Mixing
    recipe: Recipe
    groups: Groups | None = None

    def run(self, seed: int, place: Place) -> Outcome:
        """Train one encoder on the mixing drawn from `seed`."""
        found = recover(self.mixing, self.recipe, seed, self.groups, device=place.device)
        details = {"curve": found.curve, "concentration": found.concentration, "matched": found.matched}
        return Outcome(found.metrics, details)


def recover(
    mixing: Mixing,
    recipe: Recipe,
    seed: int,
    groups: Groups | None = None,
    on_step: Callable[[int, float], None] | None = None,
    device: str = "cpu",
    *,
    make_model: Callable[[LatentEncoder, InfoNCE | AnInfoNCE], RecoveryModel] | None = None,
    make_pairs: Callable[[Tensor, InvertibleMLP], LatentPairs] = LatentPairs,
    measure: Callable[[Tensor, Tensor], Mapping[str, float]] | None = None,
) -> Recovery:
    """Train one encoder on one random mixing and measure what it recovers.

    Arguments:
        mixing: the data-generating process; its g is drawn from `seed`.
        recipe: how to train.
        seed: the seed of everything random: the mixing, the pairs, the initial weights.
        groups: names for groups of latents (their indices, from 0), to report R² of each.
        on_step: called with (step, loss) about a hundred times along the way.
        device: where to draw and train. The mixing and the initial weights of a seed are the same on every device.
        make_model: another way from a batch to the loss; None: that of `RecoveryModel`.
        make_pairs: another law of the pairs, from Λ and g; the exact conditional by default.
        measure: called at the end with held-out latents and their embeddings, each of shape (rows, dim); its numbers
            join the metrics.

    Returns:
        The `Recovery`; the same for the same arguments on the same machine. Its CPU seconds cover all of it, the
        mixing and the measurements included.

    Raises:
        ValueError: if a group is empty or names a latent there is not; or `recipe.negatives_from` is unknown.

    References:
        Rusak et al., arXiv 2407.00143, Sec. 5.1.

    Example:
        >>> recovery = recover(Mixing((12.5, 12.5, 2.5, 2.5)), Recipe(steps=20, batch_size=64, evaluations=1), seed=0)
        >>> sorted(recovery.metrics)
        ['concentration_error', 'cpu_seconds', 'hit_at_1', 'loss', 'mean_correlation', 'r2']
    """
    started = time.process_time()
    dim = len(mixing.concentration)
    rng = torch.Generator().manual_seed(seed)
    g = InvertibleMLP(dim, mixing.depth, mixing.negative_slope, generator=rng)
    pairs = make_pairs(torch.tensor(mixing.concentration), g)
    with torch.no_grad():
        observations = g(pairs.latents(WHITENING, rng))
    encoder = LatentEncoder(dim, recipe.width, observations, rng, hidden_layers=recipe.hidden_layers)
    model = (make_model or RecoveryModel)(encoder, make_objective(recipe, dim))
    pairs, model, rng = placed(pairs, model, rng, seed, device)
    recovery = recover_from(pairs, model, recipe, rng, groups, on_step, measure=measure)
    recovery.metrics["cpu_seconds"] = time.process_time() - started
    return recovery


def recover_from(
    pairs: LatentPairs,
    model: RecoveryModel,
    recipe: Recipe,
    rng: torch.Generator,
    groups: Groups | None = None,
    on_step: Callable[[int, float], None] | None = None,
    *,
    measure: Callable[[Tensor, Tensor], Mapping[str, float]] | None = None,
) -> Recovery:
    """Train a model on the pairs of any generator and measure what it recovers; see `recover`.

    Arguments:
        pairs: the data-generating process.
        model: encoder and loss; trained in place.
        recipe: how to train.
        rng: source of all pairs, on the device of `pairs`.
        groups: names for groups of latents (their indices, from 0), to report R² of each.
        on_step: called with (step, loss) about a hundred times along the way.
        measure: called at the end with held-out latents and their embeddings, each of shape (rows, dim); its numbers
            join the metrics.

    Returns:
        The `Recovery`; its CPU seconds are those of this call.

    Raises:
        ValueError: if a group is empty or names a latent there is not.
    """
    started = time.process_time()
    columns = {"": range(pairs.dim), **_checked(groups or {}, pairs.dim)}
    held_out = pairs.latent_pairs(HELD_OUT, rng)
    curve: dict[str, list[float]] = {}
    every = -(-recipe.steps // recipe.evaluations)

    def after_step(step: int, loss: Tensor, averaged: RecoveryModel) -> None:
        if on_step is not None and step % max(1, recipe.steps // 100) == 0:
            on_step(step, loss.item())
        if step % every == 0 and step < recipe.steps:
            _record(curve, step, _r2(averaged, pairs, held_out[0][:HELD_OUT_CURVE], columns))

    batches = pairs.batches(recipe.batch_size, rng, reuse=recipe.reuse)
    averaged = fit_encoder(model, recipe, batches, after_step)
    scores = _r2(averaged, pairs, held_out[0], columns)
    _record(curve, recipe.steps, scores)
    concentration = _concentration(averaged, len(averaged.encoder.skew)).cpu()  # the embedding may have more than z
    matched, others = _measure(averaged, pairs, held_out, concentration)
    if measure is not None:
        with torch.no_grad():
            others.update(measure(held_out[0], averaged.encoder(pairs.generator(held_out[0]))))
    numbers = {**scores, **others, "cpu_seconds": time.process_time() - started}
    return Recovery(numbers, curve, concentration.tolist(), matched.tolist())


def _checked(groups: Groups, dim: int) -> Groups:
    for name, group in groups.items():
        if not name:
            raise ValueError("a group of latents must have a name")
        if len(group) == 0 or not all(0 <= index < dim for index in group):
            raise ValueError(f"group {name!r} must hold latents, from 0 to {dim - 1}, at least one, got {list(group)}")
    return groups


@torch.no_grad()
def _r2(model: RecoveryModel, pairs: LatentPairs, z: Tensor, columns: Groups) -> dict[str, float]:
    """Held-out R² of every group of latents, as r2_<group>; of the group without a name, as r2."""
    scores = metrics.linear_r2(z, model.encoder(pairs.generator(z)), groups=columns)
    return {f"r2_{name}" if name else "r2": score for name, score in scores.items()}


def _record(curve: dict[str, list[float]], step: int, scores: dict[str, float]) -> None:
    """Append one evaluation to the curve."""
    for name, value in {"step": float(step), **scores}.items():
        curve.setdefault(name, []).append(value)


@torch.no_grad()
def _concentration(model: RecoveryModel, dim: int) -> Tensor:
    """Λ̂ of shape (dim,); of InfoNCE 1/(2τ) in every dimension."""
    if isinstance(model.objective, AnInfoNCE):
        return model.objective.concentration
    return torch.as_tensor(0.5 / model.objective.temperature).expand(dim)


@torch.no_grad()
def _measure(
    model: RecoveryModel, pairs: LatentPairs, held_out: tuple[Tensor, Tensor], concentration: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Λ̂ in the order of the latents, and every number but R², on pairs the training has not seen."""
    z, positive = held_out
    z_hat = model.encoder(pairs.generator(z))
    matched = concentration[torch.as_tensor(metrics.match_dimensions(z, z_hat).permutation)]
    true = pairs.concentration.cpu()
    u, v = z_hat[:HELD_OUT_PAIRWISE], model.encoder(pairs.generator(positive[:HELD_OUT_PAIRWISE]))
    numbers = {
        "mean_correlation": metrics.mean_correlation(z, z_hat),
        "loss": float(model.objective(u, v)),
        "hit_at_1": metrics.hit_at_k(u, v, 1),
    }
    if isinstance(model.objective, AnInfoNCE):
        numbers["concentration_error"] = float(((matched - true).abs() / true).median())
    return matched, numbers
