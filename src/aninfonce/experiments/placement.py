"""Where a run of a controlled experiment computes: its pairs, its model and its randomness, on one device."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from aninfonce.data.latent_pairs import LatentPairs

__all__ = ["generator_on", "placed"]

Pairs = TypeVar("Pairs", bound=LatentPairs)
Model = TypeVar("Model", bound=nn.Module)


def placed(
    pairs: Pairs, model: Model, rng: torch.Generator, seed: int, device: str
) -> tuple[Pairs, Model, torch.Generator]:
    """Pairs, model and source of randomness on a device. Module parts are moved in place.

    Arguments:
        pairs: the data-generating process.
        model: what is trained, with its initial weights.
        rng: which the mixing and the weights were drawn from, on the CPU, so that they are the same on every device.
        seed: the seed of the run.
        device: where pairs are drawn and the model is trained.
    """
    return pairs.to(device), model.to(device), generator_on(device, rng, seed)


def generator_on(device: str, rng: torch.Generator, seed: int) -> torch.Generator:
    """On the CPU `rng` itself, which goes on; elsewhere another one of that device and the same seed."""
    return rng if torch.device(device).type == "cpu" else torch.Generator(device).manual_seed(seed)
