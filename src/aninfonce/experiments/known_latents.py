"""What runs with their own loss or their own pairs have in common: the latents' world, and what a run recovered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aninfonce import metrics
from aninfonce.data.generators import InvertibleMLP
from aninfonce.distributions import HypersphericalUniform
from aninfonce.experiments.placement import generator_on
from aninfonce.experiments.recipe import Mixing
from aninfonce.models.latent_encoder import LatentEncoder

__all__ = ["HELD_OUT", "World", "scores"]

# Samples for the input's mean and covariance, and for the measurements.
WHITENING, HELD_OUT = 8192, 8192


@dataclass(frozen=True)
class World:
    """One random mixing, an untrained encoder of its observations, and the source of everything random after them.

    Attributes:
        generator: g.
        encoder: f, whitening included.
        rng: on the device.
        held_out: latents for the measurements, shape (8192, dim), from the marginal.
    """

    generator: InvertibleMLP
    encoder: LatentEncoder
    rng: torch.Generator
    held_out: Tensor

    @classmethod
    def draw(cls, mixing: Mixing, width: int, seed: int, device: str = "cpu") -> World:
        """The world of a seed; mixing and initial weights are the same on every device."""
        dim = len(mixing.concentration)
        rng = torch.Generator().manual_seed(seed)
        g = InvertibleMLP(dim, mixing.depth, mixing.negative_slope, generator=rng)
        with torch.no_grad():
            observations = g(HypersphericalUniform(dim).sample((WHITENING,), generator=rng))
        encoder = LatentEncoder(dim, width, observations, rng)
        rng = generator_on(device, rng, seed)
        held_out = HypersphericalUniform(dim, device=device).sample((HELD_OUT,), generator=rng)
        return cls(g.to(device), encoder.to(device), rng, held_out)


@torch.no_grad()
def scores(
    world: World, encoder: Callable[[Tensor], Tensor], groups: Mapping[str, Sequence[int]]
) -> tuple[dict[str, float], Tensor, Tensor]:
    """What an encoder recovers of the held-out latents.

    Returns:
        "r2" and "r2_<group>" (held-out linear R²) and "mean_correlation"; the embeddings, shape (8192, dim); and for
        every latent the dimension it was matched with, shape (dim,).
    """
    z = world.held_out
    z_hat = encoder(world.generator(z))
    r2 = metrics.linear_r2(z, z_hat, groups={"": range(z.shape[1]), **groups})
    numbers = {f"r2_{name}" if name else "r2": value for name, value in r2.items()}
    numbers["mean_correlation"] = metrics.mean_correlation(z, z_hat)
    return numbers, z_hat, torch.as_tensor(metrics.match_dimensions(z, z_hat).permutation, device=z_hat.device)
