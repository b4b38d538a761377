"""What a controlled experiment draws its data from, and how it trains: the settings and the parts they stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aninfonce._checks import nearest_name
from aninfonce.experiments.muon import Float32Muon
from aninfonce.experiments.uniformity import moment_penalty
from aninfonce.models.image_latent_encoder import ImageLatentEncoder
from aninfonce.models.latent_encoder import LatentEncoder
from aninfonce.objectives import AnInfoNCE, InfoNCE

__all__ = ["Mixing", "Recipe", "RecoveryModel", "make_objective", "make_optimizers", "schedule"]


@dataclass(frozen=True)
class Mixing:
    """The data-generating process of a run: latents, their concentrations and the law of the mixing g.

    Attributes:
        concentration: Λ, one entry a latent, at least 2, all > 0 (no factor 1/2: the public code's 25 is 12.5 here).
        depth: the depth of g, see `InvertibleMLP`.
        negative_slope: the negative slope of g's leaky ReLU, see `InvertibleMLP`.

    Raises:
        ValueError: if there are fewer than 2 latents or a concentration is not positive and finite.
    """

    concentration: tuple[float, ...]
    depth: int = 3
    negative_slope: float = 0.2

    def __post_init__(self) -> None:
        if len(self.concentration) < 2:
            raise ValueError(f"expected at least 2 latents, got concentration {self.concentration}")
        if not all(0 < c < math.inf for c in self.concentration):
            raise ValueError(f"every concentration must be positive and finite, got {self.concentration}")


@dataclass(frozen=True)
class Recipe:
    """How the encoder is trained; the defaults are for d = 10.

    Attributes:
        objective: "aninfonce", or "infonce" with a fixed or trainable temperature.
        temperature: τ of InfoNCE, > 0; None: trainable, from 1.
        negatives_from: see `aninfonce.InfoNCE`. With "anchors" and without `symmetric` the theorem's assumptions hold
            to the letter and Λ̂ is unbiased; every other choice shrinks its range.
        symmetric: see `aninfonce.InfoNCE`.
        steps: optimiser steps.
        batch_size: pairs a step, at least 2.
        reuse: how often every drawn pair serves, each time reflected anew (see `LatentPairs.batches`).
        width: the width of the encoder's hidden layers. Half of the default does for AnInfoNCE and is faster. InfoNCE
            at τ = 1
            fills its embedding with nonlinear functions of the content, which takes width: a narrow encoder falls short
            of that and keeps some style in their place (R² .12 to .18 at width 48, .03 at 96).
        hidden_layers: number of hidden layers of the encoder.
        uniformity_weight: the weight of `moment_penalty`, which is added to the loss while the encoder
            forms; at least 0.
        uniformity_until: the share of the steps after which nothing but the loss is left, in (0, 1]; the weight falls
            linearly to 0 until there.
        initial_concentration: Λ̂ at the start (its geometric mean).
        initial_spread: Λ̂ starts log-linear between mean/spread and mean·spread; at least 1 (all equal).
        rate_matrices: Muon's learning rate on the weight matrices.
        rate_biases: Adam's on the biases.
        rate_rotation: Adam's on the rotation.
        rate_concentration: Adam's on log Λ̂ (or log τ).
        averaging: decay of the exponential moving average of the weights that is measured, in [0, 1).
        evaluations: how often R² is measured along the way, the last time at the end.
        centring: weight, at least 0, of the squared norm of the anchors' mean embedding, which is added to the loss.
            Anchors are uniform on the sphere, so that it is 0 in truth and moves no optimum. It keeps training out of
            a trap at large ratios of Λ: the embedding fills a hemisphere and folds one style latent (z_i becomes about
            |z_i|, of linear R² 0), a local minimum.

    Raises:
        ValueError: if a setting is outside its range, or the objective is unknown.
    """

    objective: str = "aninfonce"
    temperature: float | None = None
    negatives_from: str = "anchors"
    symmetric: bool = False
    steps: int = 2000
    batch_size: int = 768
    reuse: int = 4
    width: int = 96
    hidden_layers: int = 3
    uniformity_weight: float = 0.0
    uniformity_until: float = 0.75
    initial_concentration: float = 4.0
    initial_spread: float = 1.5
    rate_matrices: float = 0.05
    rate_biases: float = 0.05
    rate_rotation: float = 0.02
    rate_concentration: float = 0.1
    averaging: float = 0.97
    evaluations: int = 12
    centring: float = 0.0

    def __post_init__(self) -> None:
        nearest_name("objective", self.objective, ("aninfonce", "infonce"))
        counts = {"steps": 1, "batch_size": 2, "reuse": 1, "width": 1, "hidden_layers": 1, "evaluations": 1}
        for name, least in counts.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        rates = ("rate_matrices", "rate_biases", "rate_rotation", "rate_concentration")
        for name in ("initial_concentration", *rates):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be positive and finite, or None, got {self.temperature}")
        if not 1 <= self.initial_spread < math.inf:
            raise ValueError(f"initial_spread must be at least 1 and finite, got {self.initial_spread}")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging must be in [0, 1), got {self.averaging}")
        if not 0 <= self.centring < math.inf:
            raise ValueError(f"centring must be at least 0 and finite, got {self.centring}")
        if not 0 <= self.uniformity_weight < math.inf:
            raise ValueError(f"uniformity_weight must be at least 0 and finite, got {self.uniformity_weight}")
        if not 0 < self.uniformity_until <= 1:
            raise ValueError(f"uniformity_until must be in (0, 1], got {self.uniformity_until}")

    def uniformity_at(self, step: int) -> float:
        """The weight of the penalty at a step, from 1 on; 0 from `uniformity_until` on."""
        return self.uniformity_weight * max(0.0, 1 - step / (self.uniformity_until * self.steps))


class RecoveryModel(nn.Module):
    """What is trained: the encoder and the loss with its own parameters; for the penalties see `Recipe`."""

    def __init__(self, encoder: LatentEncoder | ImageLatentEncoder, objective: InfoNCE | AnInfoNCE) -> None:
        super().__init__()
        self.encoder = encoder
        self.objective = objective
        self.centring = self.uniformity_weight = 0.0  # `fit_encoder` sets them

    def forward(self, x: Tensor, x_positive: Tensor) -> Tensor:
        """The loss of a batch of observed pairs, each of shape (batch, dim); images: (batch, channels, size, size)."""
        u, v = self.encoder(torch.cat([x, x_positive])).chunk(2)
        return self.contrast(u, v) + self.penalty(u)

    def penalty(self, u: Tensor) -> Tensor | float:
        """What is added to the loss for anchors u, shape (batch, dim), that are not uniform; 0 without penalties."""
        penalty: Tensor | float = 0.0
        if self.centring:
            penalty = penalty + self.centring * u.mean(0).square().sum()
        if self.uniformity_weight:
            penalty = penalty + self.uniformity_weight * moment_penalty(u)
        return penalty

    def contrast(self, u: Tensor, v: Tensor) -> Tensor:
        """The contrastive loss of embeddings of pairs, each of shape (batch, dim)."""
        loss: Tensor = self.objective(u, v)
        return loss


def make_objective(recipe: Recipe, dim: int) -> InfoNCE | AnInfoNCE:
    """The loss a recipe asks for, on embeddings of `dim` dimensions."""
    # The encoders normalise already; that the loss does, too, is what lets it take its fast path.
    if recipe.objective == "infonce":
        return InfoNCE(
            1.0 if recipe.temperature is None else recipe.temperature,
            learnable=recipe.temperature is None,
            negatives_from=recipe.negatives_from,
            symmetric=recipe.symmetric,
        )
    spread = torch.linspace(1, -1, dim) * math.log(recipe.initial_spread)
    return AnInfoNCE(
        dim,
        init=recipe.initial_concentration * spread.exp(),
        negatives_from=recipe.negatives_from,
        symmetric=recipe.symmetric,
    )


def make_optimizers(model: RecoveryModel, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the weight matrices, Adam for everything else, each with its rate.

    References:
        Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    layers = model.encoder.linear_layers
    groups = [
        {"params": [layer.bias for layer in layers], "lr": recipe.rate_biases},
        {"params": [model.encoder.skew], "lr": recipe.rate_rotation},
        *model.objective.param_groups(recipe.rate_concentration),
    ]
    matrices = [model.encoder.skip, *(layer.weight for layer in layers)]
    # Two Newton–Schulz steps do here; more of them cost time and change nothing.
    return [
        Float32Muon(matrices, lr=recipe.rate_matrices, momentum=0.95, ns_steps=2),
        torch.optim.Adam([group for group in groups if group["params"]], betas=(0.9, 0.99), fused=True),
    ]


def schedule(step: int, steps: int, warmup: int = 20, decay_from: float = 0.4, floor: float = 0.02) -> float:
    """The factor on every learning rate, in (0, 1]: a short warm-up, a plateau, then a line down to `floor`.

    Arguments:
        step: from 0 to `steps`.
        steps: number of steps of the whole training.
        warmup: steps until the full rate.
        decay_from: where the line down starts, as a share of `steps`.
        floor: the factor at the end.
    """
    if step < warmup:
        return (step + 1) / warmup
    remaining = max(0.0, 1 - step / steps) / (1 - decay_from)
    return floor + (1 - floor) * min(1.0, remaining)
