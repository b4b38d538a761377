"""The encoder of the controlled experiments: whitening, a small MLP with a linear skip, the sphere, a rotation."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aninfonce._sphere import unit_rows
from aninfonce._tensor_checks import check_embeddings
from aninfonce._typing import Float

__all__ = ["LatentEncoder", "cayley_rotation"]


class LatentEncoder(nn.Module):
    """f(x) = Rᵀ normalize(MLP(x̃) + W x̃), x̃ the whitened x, R a trainable rotation.

    The whitening and the skip spare the network the linear part of the inverse; the rotation lets the embedding turn
    as a whole towards the axes that an anisotropic loss singles out, which gradient steps on the MLP do slowly. It is
    a `cayley_rotation`. The hidden activations are leaky ReLUs: the inverse of a generator with kinks has kinks.

    Arguments:
        dim: number of dimensions of the observations, at least 2; with `components` of the latents.
        width: the width of the hidden layers, at least 1.
        observations: a sample of observations to take mean and covariance from, shape (n, dim), n > dim; with
            `components` of any shape (n, …), n > components.
        generator: source of the initial weights, on the CPU.
        components: whiten the leading principal components only, at least `dim` of them; for observations of more
            dimensions than latents, such as images. None: all of them.
        embedding_dim: number of dimensions of the embedding, at least 2; as `dim` if None.
        hidden_layers: how many, at least 1. Two of them are the exact form of the inverse of a generator of depth 3.

    Raises:
        TypeError: if the observations are not a floating-point tensor.
        ValueError: if a number is out of range, the observations have too few rows, or without `components` another
            dimension than `dim`.
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
        components: int | None = None,
        embedding_dim: int | None = None,
        hidden_layers: int = 3,
    ) -> None:
        super().__init__()
        out = dim if embedding_dim is None else embedding_dim
        if min(dim, out) < 2 or width < 1 or hidden_layers < 1:
            raise ValueError(
                "expected dim >= 2, embedding_dim >= 2, width >= 1 and hidden_layers >= 1, "
                f"got {dim=}, embedding_dim={out}, {width=} and {hidden_layers=}"
            )
        kept = dim if components is None else components
        check_embeddings("observations", observations.flatten(1), min_rows=kept + 1)
        entries = observations[0].numel()
        if components is None and entries != dim:
            raise ValueError(f"observations must have {dim} columns, got {entries}; otherwise pass components")
        if not dim <= kept <= entries:
            raise ValueError(f"components must be from dim = {dim} to the observations' {entries}, got {components}")
        mean, whitening = _whitening(observations.flatten(1), components)
        self.register_buffer("mean", mean)
        self.register_buffer("whitening", whitening)
        sizes = [kept, *[width] * hidden_layers, out]
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        self.skip = nn.Parameter(torch.eye(out, kept) / dim**0.5)
        self.skew = nn.Parameter(torch.zeros(out, out))
        self._initialize(generator)

    @property
    def linear_layers(self) -> list[nn.Linear]:
        """All layers of the network, from the input on."""
        return [layer for layer in self.modules() if isinstance(layer, nn.Linear)]

    @property
    def rotation(self) -> Tensor:
        """R, square of the embedding's dimension, orthogonal with determinant 1; differentiable."""
        return cayley_rotation(self.skew)

    @torch.no_grad()
    def _initialize(self, generator: torch.Generator | None) -> None:
        first, *_, last = self.linear_layers
        for layer in self.linear_layers:
            nn.init.kaiming_normal_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        # The whitened generator's kinks lie off the origin: spread the first layer's. Start close to a linear map.
        nn.init.normal_(first.bias, std=0.1, generator=generator)
        nn.init.normal_(last.weight, std=0.1 / last.in_features**0.5, generator=generator)

    def features(self, x: Tensor) -> Tensor:
        """What is normalised and turned, MLP(x̃) + W x̃, shape (batch, embedding_dim)."""
        x = (x.flatten(1) - self.mean) @ self.whitening
        h = x
        for layer in self.layers[:-1]:
            h = F.leaky_relu(layer(h), 0.2)
        features: Tensor = self.layers[-1](h) + x @ self.skip.T
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings on the unit sphere, shape (batch, embedding_dim), of observations of shape (batch, …)."""
        return unit_rows(self.features(x)) @ self.rotation


def cayley_rotation(skew: Tensor) -> Tensor:
    """R = (I - A)⁻¹(I + A) of A = (S - Sᵀ)/2: a rotation of shape (dim, dim) from a free matrix S, the identity at 0.

    References:
        Helfrich, Willmott, Ye 2018, "Orthogonal recurrent neural networks with scaled Cayley transform",
        arXiv 1707.09520.
    """
    a = (skew - skew.T) / 2
    identity = torch.eye(len(a), dtype=a.dtype, device=a.device)
    rotation: Tensor = torch.linalg.solve(identity - a, identity + a)
    return rotation


def _whitening(
    observations: Float[Tensor, "n entries"], components: int | None
) -> tuple[Float[Tensor, " entries"], Float[Tensor, "entries kept"]]:
    """Mean of the observations, and the map that whitens them: all of them, or their leading principal components."""
    eigenvalues, eigenvectors = torch.linalg.eigh(torch.cov(observations.double().T))
    scaled = eigenvectors * eigenvalues.clamp_min(1e-12).rsqrt()
    # ZCA: the symmetric square root of the inverse covariance keeps the axes as close as can be to the data's own.
    whitening = scaled @ eigenvectors.T if components is None else scaled[:, -components:].flip(1)
    return observations.mean(0), whitening.to(observations.dtype)
