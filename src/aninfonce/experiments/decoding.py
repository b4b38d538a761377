"""Runs of the experiment on a decoder: train it and check that it is injective; recover latents through it."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aninfonce._tensors import pack_images
from aninfonce.data import ImageDataset, load_images
from aninfonce.data.generators import ImageDecoder, separation, smallest_singular_value
from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.distributions import HypersphericalUniform
from aninfonce.experiments.placement import placed
from aninfonce.experiments.recipe import Mixing, Recipe, RecoveryModel, make_objective
from aninfonce.experiments.recovery import WHITENING, Groups, recover_from
from aninfonce.experiments.task import Outcome, Place
from aninfonce.experiments.vae_fitting import VAERecipe, fit_vae
from aninfonce.models import VAE
from aninfonce.models.latent_encoder import LatentEncoder
from aninfonce.models.vae import active_units

__all__ = ["DecodedRecoveryTask", "DecoderTask", "OnSphere"]

# Latents for the check that the decoder is injective; numbers of pictures; a distribution is kept as its quantiles.
CHECKED, SHOWN, SHOWN_PAIRS, TURNS, QUANTILES = 2048, 10, 40, 9, 101


class OnSphere(nn.Module):
    """g(z) = decoder(radius · A z), latents of the unit sphere, shape (n, dim), to images.

    Arguments:
        decoder: the decoder of a VAE.
        radius: √dim is where the VAE's prior, a standard normal, has its mass.
        linear: A, shape (dim, dim), a rotation where g shall be injective; None is the identity.
    """

    def __init__(self, decoder: ImageDecoder, radius: float, linear: Tensor | None = None) -> None:
        super().__init__()
        self.decoder = decoder
        self.scaled: Tensor
        self.register_buffer("scaled", radius * (torch.eye(decoder.dim) if linear is None else linear))

    def forward(self, z: Tensor) -> Tensor:
        """The images of latents."""
        images: Tensor = self.decoder(z @ self.scaled.to(z).T)
        return images


@dataclass(frozen=True)
class DecoderTask:
    """Train a VAE on images, keep its decoder for the other runs, and measure how far it is from losing a latent.

    Attributes:
        file: name of the decoder's file in the study's folder.
        data: images, a name of `aninfonce.data.load_images`.
        data_root: where they are; None: torchvision downloads them.
        recipe: the VAE.
        radius: the radius of the sphere on which the decoder serves as g.
    """

    file: str
    data: str
    data_root: Path | None
    recipe: VAERecipe
    radius: float

    def run(self, seed: int, place: Place) -> Outcome:
        """Train from `seed`, write the file, measure on held-out images and on latents of the sphere."""
        started = time.process_time()
        images = load_images(self.data, self.data_root)
        rng = torch.Generator().manual_seed(seed)
        vae = fit_vae(images.train.in_memory / 255, self.recipe, rng, place.device).cpu().requires_grad_(False)
        decoder: Any = vae.decoder
        decoder.save(place.folder / self.file, self._provenance(images, seed))
        numbers, details = _fit_of(vae, images)
        injectivity, spectra = _injectivity(decoder, self.radius, rng)
        details |= spectra | {"axes": pack_images(_along_axes(decoder, self.radius, rng))}
        return Outcome({**numbers, **injectivity, "cpu_seconds": time.process_time() - started}, details)

    def check(self, place: Place) -> None:
        """Check that the decoder is there and whole."""
        ImageDecoder.load(place.folder / self.file)

    def _provenance(self, images: ImageDataset, seed: int) -> dict[str, str]:
        return {
            "trained_on": f"{len(images.train)} images of {images.name}",
            "recipe": repr(self.recipe),
            "seed": str(seed),
        }


@dataclass(frozen=True)
class DecodedRecoveryTask:
    """Recover the latents behind a decoder's images: g(z) = decoder(radius · R z), R a rotation drawn from the seed.

    The outcome's details are as those of `RecoveryTask`, and "anchors" and "positives", a few images.

    Attributes:
        file: name of the decoder's file in the study's folder; a preparation writes it.
        mixing: its Λ has one entry a latent of the decoder.
        radius: the radius of the sphere on which the decoder serves as g.
        components: principal components of the images that the encoder sees.
        recipe: how the encoder is trained.
        groups: names for groups of latents (their indices, from 0), to report R² of each.
        ignored: so many of the last latents do not reach the decoder, as after posterior collapse: g is not injective.
    """

    file: str
    mixing: Mixing
    radius: float
    components: int
    recipe: Recipe
    groups: Groups
    ignored: int = 0

    def run(self, seed: int, place: Place) -> Outcome:
        """Train one encoder on the images of one rotation of the latents."""
        started = time.process_time()
        rng = torch.Generator().manual_seed(seed)
        decoder = ImageDecoder.load(place.folder / self.file).requires_grad_(False)
        dim = decoder.dim
        # The sphere's latents have no axes but those that Λ gives them: every seed has another mixing.
        rotation, _ = torch.linalg.qr(torch.randn(dim, dim, generator=rng))
        rotation[:, dim - self.ignored :] = 0
        pairs = LatentPairs(torch.tensor(self.mixing.concentration), OnSphere(decoder, self.radius, rotation))
        observations = pairs.generator(pairs.latents(WHITENING, rng))
        encoder = LatentEncoder(dim, self.recipe.width, observations, rng, components=self.components)
        model = RecoveryModel(encoder, make_objective(self.recipe, dim))
        shown = [pack_images(pairs.generator(z)) for z in pairs.latent_pairs(SHOWN_PAIRS, rng)]
        pairs, model, rng = placed(pairs, model, rng, seed, place.device)
        found = recover_from(pairs, model, self.recipe, rng, self.groups)
        details = {
            "curve": found.curve,
            "concentration": found.concentration,
            "matched": found.matched,
            "anchors": shown[0],
            "positives": shown[1],
        }
        return Outcome({**found.metrics, "cpu_seconds": time.process_time() - started}, details)


@torch.no_grad()
def _fit_of(vae: VAE, images: ImageDataset) -> tuple[dict[str, float], dict[str, Any]]:
    """How well the VAE describes held-out images: numbers, and what figures draw."""
    train, test = images.train.in_memory / 255, images.test.in_memory / 255
    mean, _ = vae.posterior(test)
    error, divergence = vae(test, torch.zeros_like(mean))
    decoded = vae.decoder(mean)
    unexplained = (decoded - test).square().sum() / (test - train.mean(0)).square().sum()
    numbers = {
        "reconstruction_error": float(error.mean()),
        "kl": float(divergence.sum(1).mean()),
        "explained": 1 - float(unexplained),
        "active_units": float(active_units(vae, test).double().mean()),
        "posterior_radius": float(mean.square().sum(1).mean().sqrt()),
    }
    details = {
        "kl_per_unit": divergence.mean(0).tolist(),
        "originals": pack_images(test[:SHOWN]),
        "reconstructions": pack_images(decoded[:SHOWN]),
    }
    return numbers, details


def _injectivity(decoder: ImageDecoder, radius: float, rng: torch.Generator) -> tuple[dict[str, float], dict[str, Any]]:
    """How far g is from losing a latent, in the small, at large, and by inverting it; in double precision."""
    exact = copy.deepcopy(decoder).double()
    g = OnSphere(exact, radius)
    z = HypersphericalUniform(decoder.dim, dtype=torch.float64).sample((CHECKED,), generator=rng)
    local = smallest_singular_value(g, z)
    apart = separation(g, z)
    undone = exact.inverse(g(z)) / radius
    numbers = {
        "smallest_singular_value": float(local.min()),
        "singular_value_1_percent": float(local.quantile(0.01)),
        "singular_value_median": float(local.median()),
        "separation": apart.searched,
        "separation_distance": apart.distance,
        "separation_sample": float(apart.nearest.min()),
        "separation_median": apart.median,
        "inverse_error": float((undone - z).norm(dim=1).max()),
    }
    share = torch.linspace(0, 1, QUANTILES, dtype=torch.float64)
    spectra = {"singular_values": local.quantile(share).tolist(), "nearest": apart.nearest.quantile(share).tolist()}
    return numbers, spectra


@torch.no_grad()
def _along_axes(decoder: ImageDecoder, radius: float, rng: torch.Generator) -> Tensor:
    """Images along the great circle through one point and every axis; shape (dim, TURNS, channels, height, width)."""
    start = HypersphericalUniform(decoder.dim).sample((1,), generator=rng)
    axes = torch.eye(decoder.dim)
    across = F.normalize(start - (start @ axes.T).T * axes, dim=1)  # of each axis: the start's direction without it
    angle = torch.linspace(-torch.pi / 2, torch.pi / 2, TURNS)[:, None, None]
    z = (angle.cos() * across + angle.sin() * axes).transpose(0, 1)
    images: Tensor = OnSphere(decoder, radius)(z.flatten(0, 1))
    return images.reshape(decoder.dim, TURNS, *decoder.shape)
