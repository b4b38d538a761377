"""An encoder with a projector on top: the loss sees the projection, readouts the features below it."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from aninfonce._sphere import unit_rows
from aninfonce.models.latent_encoder import LatentEncoder

__all__ = ["ProjectedEncoder"]


class ProjectedEncoder(LatentEncoder):
    """f(x) = Rᵀ normalize(projector(h)), features h = MLP(x̃) + W x̃ (see `LatentEncoder`).

    `features` returns h, of shape (batch, feature_dim) and not normalised.

    Arguments:
        dim: number of dimensions of the observations, at least 2.
        width: the width of the hidden layers, of the projector's too, at least 1.
        observations: as in `LatentEncoder`.
        generator: source of the initial weights, on the CPU.
        feature_dim: number of dimensions of the features h, at least 2.
        embedding_dim: number of dimensions of the projection, at least 2.
        layers: weight matrices of the projector, at least 1 (1 is linear), with leaky ReLUs between them.

    Raises:
        TypeError: if the observations are not a floating-point tensor.
        ValueError: if a dimension, `width` or `layers` is out of range, or the observations do not fit.
    """

    def __init__(
        self,
        dim: int,
        width: int,
        observations: Tensor,
        generator: torch.Generator | None = None,
        *,
        feature_dim: int,
        embedding_dim: int,
        layers: int,
    ) -> None:
        if embedding_dim < 2 or layers < 1:
            raise ValueError(f"expected embedding_dim >= 2 and layers >= 1, got {embedding_dim=} and {layers=}")
        super().__init__(dim, width, observations, generator, embedding_dim=feature_dim)
        sizes = [feature_dim, *[width] * (layers - 1), embedding_dim]
        projector = [nn.Linear(n, m) for n, m in pairwise(sizes)]
        with torch.no_grad():
            for layer in projector:
                nn.init.kaiming_normal_(layer.weight, a=0.2, generator=generator)
                nn.init.zeros_(layer.bias)
        activated = [module for layer in projector for module in (layer, nn.LeakyReLU(0.2))]
        self.projector = nn.Sequential(*activated[:-1])
        self.skew = nn.Parameter(torch.zeros(embedding_dim, embedding_dim))  # the projection is what turns

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings on the unit sphere, shape (batch, embedding_dim), of observations of shape (batch, dim)."""
        return unit_rows(self.projector(self.features(x))) @ self.rotation
