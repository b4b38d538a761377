"""A variational autoencoder of images, trained in seconds, for the sake of its decoder."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aninfonce.data.generators import ImageDecoder
from aninfonce.models import VAE

__all__ = ["VAERecipe", "fit_vae"]


@dataclass(frozen=True)
class VAERecipe:
    """How the VAE is built and trained.

    Attributes:
        dim: number of latents, at least 1.
        widths: the widths of the decoder's hidden layers, see `ImageDecoder`.
        encoder_width: the width of the encoder's two hidden layers, at least 1.
        beta: weight of the KL term, > 0; 1 is the evidence lower bound.
        warm_up: share of the steps over which that weight rises to `beta`, in [0, 1). Units that carry nothing yet are
            else pressed onto the prior, where some decoders leave them for good.
        steps: optimiser steps, at least 1.
        batch_size: images a step, at least 1.
        rate: Adam's largest learning rate, in one cycle.

    Raises:
        ValueError: if a setting is outside its range.
    """

    dim: int = 10
    widths: tuple[int, ...] = (96, 192)
    encoder_width: int = 256
    beta: float = 1.0
    warm_up: float = 0.6
    steps: int = 2000
    batch_size: int = 128
    rate: float = 4e-3

    def __post_init__(self) -> None:
        for name in ("dim", "encoder_width", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("beta", "rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if not 0 <= self.warm_up < 1:
            raise ValueError(f"warm_up must be in [0, 1), got {self.warm_up}")


def fit_vae(images: Tensor, recipe: VAERecipe, rng: torch.Generator, device: str = "cpu") -> VAE:
    """Train a VAE on images held in memory.

    Arguments:
        images: shape (n, channels, height, width), in [0, 1].
        recipe: network and training.
        rng: source of all randomness, on the CPU.
        device: where to train.
    """
    shape = tuple(images.shape[1:])
    decoder = ImageDecoder(recipe.dim, shape, recipe.widths, generator=rng)
    vae = VAE(decoder, math.prod(shape), recipe.encoder_width, generator=rng).to(device)
    images = images.to(device)
    optimizer = torch.optim.Adam(vae.parameters(), lr=recipe.rate, betas=(0.9, 0.99))
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=recipe.steps + 1, pct_start=0.1)
    batch_size = min(recipe.batch_size, len(images))
    order = torch.empty(0, dtype=torch.long)
    for step in range(recipe.steps):
        if len(order) < batch_size:
            order = torch.randperm(len(images), generator=rng)
        chosen, order = order[:batch_size], order[batch_size:]
        noise = torch.randn(batch_size, recipe.dim, generator=rng).to(device)
        error, divergence = vae(images[chosen.to(device)], noise)
        progress = step / (recipe.warm_up * recipe.steps) if recipe.warm_up else 1.0
        weight = recipe.beta * min(1.0, max(0.05, progress))
        loss = error.mean() + weight * divergence.sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cycle.step()
    return vae
