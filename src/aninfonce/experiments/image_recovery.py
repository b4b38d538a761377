"""Recover the factors behind images of sprites: one run of the controlled experiment on images, and its pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aninfonce import metrics
from aninfonce._tensors import pack_images
from aninfonce.data.generators import (
    LatentsToFactors,
    SpriteGenerator,
    SpriteRenderer,
    smallest_singular_value,
)
from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.experiments.placement import placed
from aninfonce.experiments.recipe import Mixing, Recipe, RecoveryModel, make_objective
from aninfonce.experiments.recovery import recover_from
from aninfonce.experiments.task import Outcome, Place
from aninfonce.models.image_latent_encoder import ImageLatentEncoder

__all__ = ["PicturesTask", "SpriteRecoveryTask"]

STATISTICS = 2048  # images for the encoder's mean, scale and components
KERNEL_ROWS = 1000  # that the nonlinear readout is fitted on; its time grows with their third power
LATENTS = 256  # where the generator's Jacobian is taken
PAIRS = 8  # in the picture of each law


def sprite_pairs(factors: tuple[str, ...], concentration: tuple[float, ...], size: int) -> LatentPairs:
    """Pairs of sprites: latents on the sphere, one a factor, which increases linearly with it.

    Arguments:
        factors: those that the latents drive; the others stay in the middle of their ranges.
        concentration: Λ, one entry a factor.
        size: the images' height and width in pixels.

    Raises:
        ValueError: if there is not one concentration for every factor, or a factor is unknown or comes twice.
    """
    if len(concentration) != len(factors):
        raise ValueError(f"expected {len(factors)} concentrations, one a factor, got {len(concentration)}")
    return LatentPairs(torch.tensor(concentration), SpriteGenerator(LatentsToFactors(factors), SpriteRenderer(size)))


@dataclass(frozen=True)
class SpriteRecoveryTask:
    """Train one encoder on pairs of sprites and measure what it recovers of every factor.

    The outcome's metrics are those of `recover_from`, with r2_<factor> of each factor, and besides: "kernel_r2",
    "kernel_r2_content" and "kernel_r2_style" (nonlinear readout), "disentanglement", "completeness" and
    "informativeness" (see `metrics.dci`).

    Attributes:
        factors: those that the latents drive.
        mixing: Λ, one entry a factor.
        recipe: how to train; its `width` is that of the encoder's linear layer.
        groups: "content" and "style" -> the factors' columns.
        spare: dimensions of the embedding beyond those of the latents, at least 0.
        channels: number of channels of the encoder's first convolution.
        size: the images' height and width in pixels, a multiple of 8.
    """

    factors: tuple[str, ...]
    mixing: Mixing
    recipe: Recipe
    groups: Mapping[str, tuple[int, ...]]
    spare: int = 1
    channels: int = 16
    size: int = 32

    def run(self, seed: int, place: Place) -> Outcome:
        """Train one encoder; initial weights and pairs come from `seed`."""
        started = time.process_time()
        rng = torch.Generator().manual_seed(seed)
        pairs = sprite_pairs(self.factors, self.mixing.concentration, self.size)
        with torch.no_grad():
            images = pairs.generator(pairs.latents(STATISTICS, rng))
        dim = pairs.dim + self.spare
        encoder = ImageLatentEncoder(dim, images, channels=self.channels, width=self.recipe.width, generator=rng)
        model = RecoveryModel(encoder, make_objective(self.recipe, dim))
        pairs, model, rng = placed(pairs, model, rng, seed, place.device)
        groups = {**self.groups, **{name: (i,) for i, name in enumerate(self.factors)}}
        found = recover_from(pairs, model, self.recipe, rng, groups, measure=self._readouts)
        details = {"curve": found.curve, "concentration": found.concentration, "matched": found.matched}
        return Outcome({**found.metrics, "cpu_seconds": time.process_time() - started}, details)

    def _readouts(self, z: Tensor, z_hat: Tensor) -> dict[str, float]:
        found = metrics.dci(z, z_hat)
        groups = {"": range(z.shape[1]), **self.groups}
        kernel = metrics.kernel_r2(z, z_hat, groups, max_rows=KERNEL_ROWS)
        return {
            "disentanglement": found.disentanglement,
            "completeness": found.completeness,
            "informativeness": found.informativeness,
            **{f"kernel_r2_{name}" if name else "kernel_r2": value for name, value in kernel.items()},
        }


@dataclass(frozen=True)
class PicturesTask:
    """Is g injective, and what do the pairs look like?

    The outcome's metrics are "smallest_singular_value" and "median_singular_value": of g's Jacobian, which has one
    smallest singular value at every latent, the least and the median over random latents, in units of the image's
    Euclidean norm (pixels in [0, 1]) a unit of the latents. Its details hold a few pairs of every law, packed.

    Attributes:
        factors: those that the latents drive.
        laws: name of a law -> Λ.
        size: the images' height and width in pixels.
    """

    factors: tuple[str, ...]
    laws: Mapping[str, tuple[float, ...]]
    size: int = 32

    def run(self, seed: int, place: Place) -> Outcome:
        """Draw and look, on the CPU."""
        started = time.process_time()
        rng = torch.Generator().manual_seed(seed)
        pictures: dict[str, Any] = {}
        for name, concentration in self.laws.items():
            pairs = sprite_pairs(self.factors, concentration, self.size)
            z, positive = pairs.latent_pairs(PAIRS, rng)
            pictures[name] = [pack_images(pairs.generator(z)), pack_images(pairs.generator(positive))]
        latents = pairs.latents(LATENTS, rng).double()
        values = torch.cat([smallest_singular_value(pairs.generator, part) for part in torch.split(latents, 64)])
        numbers = {
            "smallest_singular_value": float(values.min()),
            "median_singular_value": float(values.median()),
            "cpu_seconds": time.process_time() - started,
        }
        return Outcome(numbers, {"pictures": pictures})
