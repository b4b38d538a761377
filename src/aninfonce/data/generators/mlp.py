"""A random invertible multilayer perceptron, the g of the controlled experiments."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["InvertibleMLP"]


def best_conditioned(dim: int, count: int, candidates: int, generator: torch.Generator | None) -> Tensor:
    """Draw random square matrices with columns of unit norm; keep the `count` with the smallest condition numbers.

    Entries are uniform on [-1, 1] before the columns are normalised, as in the paper's public code. Returns float64,
    shape (count, dim, dim), the best one first.
    """
    kept = torch.empty(0, dim, dim, dtype=torch.float64)
    conditions = torch.empty(0, dtype=torch.float64)
    for start in range(0, candidates, 4096):
        n = min(4096, candidates - start)
        drawn = 2 * torch.rand(n, dim, dim, dtype=torch.float64, generator=generator) - 1
        drawn = F.normalize(drawn, dim=1)
        # The condition number is that of the Gram matrix, square-rooted; eigenvalues of it are cheaper than an SVD.
        eigenvalues = torch.linalg.eigvalsh(drawn.mT @ drawn)
        condition = (eigenvalues[:, -1] / eigenvalues[:, 0].clamp_min(1e-300)).sqrt()
        kept, conditions = torch.cat([kept, drawn]), torch.cat([conditions, condition])
        best = conditions.argsort()[:count]
        kept, conditions = kept[best], conditions[best]
    return kept


class InvertibleMLP(nn.Module):
    """x = W_depth · φ(… φ(W_1 z)), φ a leaky ReLU, every W_i square and well conditioned: a bijection of R^dim.

    Arguments:
        dim: latents and observations have this many dimensions, at least 2.
        depth: the number of weight matrices, at least 1 (1 is linear).
        negative_slope: the slope of the leaky ReLU below zero, in (0, 1]; smaller is more nonlinear.
        candidates: matrices are the best-conditioned of that many random ones (≥ depth).
        generator: source of the randomness, on the CPU.

    Raises:
        ValueError: if an argument is outside its range.

    References:
        The mixing of the controlled experiments: Hyvärinen & Morioka 2016 (arXiv 1605.06336), Zimmermann et al. 2021
        (arXiv 2102.08850), arXiv 2407.00143 Sec. 5.

    Example:
        >>> g = InvertibleMLP(dim=4, candidates=100, generator=torch.Generator().manual_seed(0))
        >>> z = torch.ones(2, 4)
        >>> bool(torch.allclose(g.inverse(g(z)), z, atol=1e-5))
        True
    """

    weights: Tensor

    def __init__(
        self,
        dim: int,
        depth: int = 3,
        negative_slope: float = 0.2,
        *,
        candidates: int = 25_000,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if dim < 2 or depth < 1 or candidates < depth:
            raise ValueError(
                f"expected dim >= 2, depth >= 1 and candidates >= depth, got {dim=}, {depth=}, {candidates=}"
            )
        if not 0 < negative_slope <= 1:
            raise ValueError(f"negative_slope must be in (0, 1] for the map to be invertible, got {negative_slope}")
        self.negative_slope = negative_slope
        self.register_buffer(
            "weights", best_conditioned(dim, depth, candidates, generator).to(torch.get_default_dtype())
        )

    def forward(self, z: Tensor) -> Tensor:
        """Observations g(z), shape (…, dim) as the latents."""
        x = z @ self.weights[0].mT
        for weight in self.weights[1:]:
            x = F.leaky_relu(x, self.negative_slope) @ weight.mT
        return x

    def inverse(self, x: Tensor) -> Tensor:
        """Latents g⁻¹(x), shape (…, dim) as the observations; exact up to rounding."""
        for weight in self.weights[1:].flip(0):
            x = torch.linalg.solve(weight, x.unsqueeze(-1)).squeeze(-1)
            x = torch.where(x < 0, x / self.negative_slope, x)
        z: Tensor = torch.linalg.solve(self.weights[0], x.unsqueeze(-1)).squeeze(-1)
        return z
