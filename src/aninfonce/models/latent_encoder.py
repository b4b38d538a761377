"""The encoder of the controlled experiments: whitening, a small MLP with a linear skip, the sphere, a rotation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aninfonce._checks import check_embeddings

__all__ = ["LatentEncoder"]


class LatentEncoder(nn.Module):
    """f(x) = R · normalize(MLP(x̃) + W x̃), x̃ the whitened x, R = exp(S - Sᵀ) a trainable rotation.

    The whitening and the skip spare the network the linear part of the inverse; the rotation lets the embedding turn
    as a whole towards the axes that an anisotropic loss singles out, which gradient steps on the MLP do slowly.

    Arguments:
        dim: of the observations and of the embedding, at least 2.
        width: of the three hidden layers.
        observations: a sample of observations to take mean and covariance from, shape (n, dim), n > dim.
        generator: source of the initial weights, on the CPU.

    Raises:
        ValueError: if the observations do not have more rows than `dim`, or another dimension.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(self, dim: int, width: int, observations: Tensor, generator: torch.Generator | None = None) -> None:
        super().__init__()
        check_embeddings("observations", observations, min_rows=dim + 1)
        if observations.shape[1] != dim:
            raise ValueError(f"observations must have {dim} columns, got {observations.shape[1]}")
        mean = observations.mean(0)
        # ZCA: the symmetric square root of the inverse covariance keeps the axes as close as can be to the data's own.
        eigenvalues, eigenvectors = torch.linalg.eigh(torch.cov(observations.double().T))
        whitening = (eigenvectors * eigenvalues.clamp_min(1e-12).rsqrt()) @ eigenvectors.T
        self.register_buffer("mean", mean)
        self.register_buffer("whitening", whitening.to(observations.dtype))
        sizes = [dim, width, width, width, dim]
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in zip(sizes, sizes[1:], strict=False))
        self.skip = nn.Parameter(torch.eye(dim) / dim**0.5)
        self.skew = nn.Parameter(torch.zeros(dim, dim))
        self._initialize(generator)

    @torch.no_grad()
    def _initialize(self, generator: torch.Generator | None) -> None:
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        # Kinks of the observation lie off the origin: spread the first layer's; start close to the linear solution.
        nn.init.normal_(self.layers[0].bias, std=0.3, generator=generator)
        last = self.layers[-1]
        nn.init.normal_(last.weight, std=0.1 / last.in_features**0.5, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings on the unit sphere, shape (batch, dim), of observations of shape (batch, dim)."""
        x = (x - self.mean) @ self.whitening
        h = x
        for layer in self.layers[:-1]:
            h = F.silu(layer(h))
        h = F.normalize(self.layers[-1](h) + x @ self.skip.T, dim=-1)
        return h @ torch.linalg.matrix_exp(self.skew - self.skew.T)
