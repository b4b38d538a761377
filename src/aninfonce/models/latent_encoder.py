"""The encoder of the controlled experiments: whitening, a small MLP with a linear skip, the sphere, a rotation."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aninfonce._checks import check_embeddings

__all__ = ["LatentEncoder"]


class LatentEncoder(nn.Module):
    """f(x) = Rᵀ normalize(MLP(x̃) + W x̃), x̃ the whitened x, R a trainable rotation.

    The whitening and the skip spare the network the linear part of the inverse; the rotation lets the embedding turn
    as a whole towards the axes that an anisotropic loss singles out, which gradient steps on the MLP do slowly. It is
    the Cayley transform R = (I - A)⁻¹(I + A) of A = (S - Sᵀ)/2, S a free matrix. The hidden activations are leaky
    ReLUs: the inverse of a generator with kinks has kinks.

    Arguments:
        dim: of the observations and of the embedding, at least 2.
        width: of the hidden layers, at least 1.
        observations: a sample of observations to take mean and covariance from, shape (n, dim), n > dim.
        generator: source of the initial weights, on the CPU.
        hidden_layers: how many, at least 1. Two of them are the exact form of the inverse of a generator of depth 3.

    Raises:
        TypeError: if the observations are not a floating-point tensor.
        ValueError: if `dim`, `width` or `hidden_layers` is out of range, or the observations do not have more rows
            than `dim`, or another dimension.

    References:
        Helfrich, Willmott, Ye 2018, "Orthogonal recurrent neural networks with scaled Cayley transform",
        arXiv 1707.09520 (the rotation).
    """

    mean: Tensor
    whitening: Tensor

    def __init__(
        self,
        dim: int,
        width: int,
        observations: Tensor,
        generator: torch.Generator | None = None,
        *,
        hidden_layers: int = 3,
    ) -> None:
        super().__init__()
        if dim < 2 or width < 1 or hidden_layers < 1:
            raise ValueError(
                f"expected dim >= 2, width >= 1 and hidden_layers >= 1, got {dim=}, {width=} and {hidden_layers=}"
            )
        check_embeddings("observations", observations, min_rows=dim + 1)
        if observations.shape[1] != dim:
            raise ValueError(f"observations must have {dim} columns, got {observations.shape[1]}")
        mean = observations.mean(0)
        # ZCA: the symmetric square root of the inverse covariance keeps the axes as close as can be to the data's own.
        eigenvalues, eigenvectors = torch.linalg.eigh(torch.cov(observations.double().T))
        whitening = (eigenvectors * eigenvalues.clamp_min(1e-12).rsqrt()) @ eigenvectors.T
        self.register_buffer("mean", mean)
        self.register_buffer("whitening", whitening.to(observations.dtype))
        sizes = [dim, *[width] * hidden_layers, dim]
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        self.skip = nn.Parameter(torch.eye(dim) / dim**0.5)
        self.skew = nn.Parameter(torch.zeros(dim, dim))
        self._initialize(generator)

    @property
    def linear_layers(self) -> list[nn.Linear]:
        """The layers of the MLP, from the input on."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    @property
    def rotation(self) -> Tensor:
        """R, shape (dim, dim), orthogonal with determinant 1; differentiable."""
        a = (self.skew - self.skew.T) / 2
        identity = torch.eye(len(a), dtype=a.dtype, device=a.device)
        rotation: Tensor = torch.linalg.solve(identity - a, identity + a)
        return rotation

    @torch.no_grad()
    def _initialize(self, generator: torch.Generator | None) -> None:
        first, *_, last = self.linear_layers
        for layer in self.linear_layers:
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        # The whitened generator's kinks lie off the origin: spread the first layer's. Start close to a linear map.
        nn.init.normal_(first.bias, std=0.1, generator=generator)
        nn.init.normal_(last.weight, std=0.1 / last.in_features**0.5, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings on the unit sphere, shape (batch, dim), of observations of shape (batch, dim)."""
        x = (x - self.mean) @ self.whitening
        h = x
        for layer in self.layers[:-1]:
            h = F.leaky_relu(layer(h), 0.2)
        return F.normalize(self.layers[-1](h) + x @ self.skip.T, dim=-1) @ self.rotation
