"""A variational autoencoder, whose decoder serves as the generator of controlled experiments on real images."""

from __future__ import annotations

from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["VAE", "active_units"]


@runtime_checkable
class Decoder(Protocol):
    """What the VAE asks of its decoder."""

    dim: int

    def logits(self, z: Tensor) -> Tensor:
        """Logits of the pixels, shape (n, pixels), from latents of shape (n, dim)."""
        ...


class VAE(nn.Module):
    """q(z|x) = N(μ(x), diag σ²(x)) by an MLP, p(x|z) = Bernoulli(sigmoid(logits(z))) a pixel, prior N(0, I).

    Arguments:
        decoder: a module with `dim` latents and `logits(z)`, for example `ImageDecoder`.
        pixels: values of an image, at least 1.
        width: the width of the encoder's two hidden layers, at least 1.
        generator: source of the encoder's initial weights, on the CPU.

    Raises:
        ValueError: if a number is out of range.

    References:
        Kingma & Welling 2014, "Auto-Encoding Variational Bayes", arXiv 1312.6114.
    """

    def __init__(
        self, decoder: nn.Module, pixels: int, width: int = 256, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if pixels < 1 or width < 1:
            raise ValueError(f"expected pixels >= 1 and width >= 1, got {pixels=} and {width=}")
        self.decoder = decoder
        layers = [nn.Linear(pixels, width), nn.Linear(width, width), nn.Linear(width, 2 * self._decoder.dim)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        # The posterior starts near the prior.
        nn.init.normal_(layers[-1].weight, std=0.1 / width**0.5, generator=generator)
        self.encoder = nn.Sequential(layers[0], nn.SiLU(), layers[1], nn.SiLU(), layers[2])

    @property
    def _decoder(self) -> Decoder:
        return cast("Decoder", self.decoder)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances of q(z|x), each of shape (n, dim), of images of shape (n, …) in [0, 1]."""
        mean, log_variance = self.encoder(images.flatten(1)).chunk(2, 1)
        return mean, log_variance

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The two parts of the negative evidence lower bound, in nats an image.

        Arguments:
            images: shape (n, …), in [0, 1].
            noise: standard normal, shape (n, dim); zeros decode the posterior's mean.

        Returns:
            The reconstruction error, -E log p(x|z), shape (n,), and KL(q(z|x) ‖ p(z)) unit by unit, shape (n, dim).
        """
        mean, log_variance = self.posterior(images)
        logits = self._decoder.logits(mean + noise * (log_variance / 2).exp())
        error = F.binary_cross_entropy_with_logits(logits, images.flatten(1), reduction="none").sum(1)
        return error, (mean.square() + log_variance.exp() - 1 - log_variance) / 2


@torch.no_grad()
def active_units(vae: VAE, images: Tensor) -> Tensor:
    """Which latents the VAE uses, booleans of shape (dim,): the posterior's mean varies by more than 0.01 over images.

    References:
        Burda, Grosse, Salakhutdinov 2016, "Importance Weighted Autoencoders", arXiv 1509.00519, Sec. 5 (the measure).
    """
    mean, _ = vae.posterior(images)
    return mean.var(0) > 0.01
