"""Where exp(-(u - z)ᵀ Λ (u - z)) is largest on the sphere, for a diagonal Λ with entries of any sign.

With b = Λz that is the u of unit norm with the least uᵀΛu - 2bᵀu. Stationary points solve (Λ + μ)u = b, and the least
one has μ >= -min Λ (Λ + μ positive semidefinite): u_i = b_i/(λ_i + μ) with the largest root μ of the secular equation
Σ b_i²/(λ_i + μ)² = 1, which falls from there on. If b has no part along the lowest λ, the root may be missing: then
μ = -min Λ, and what u lacks to unit norm lies along that axis, in either direction ("the hard case").

References:
    Gander, Golub & von Matt (1989), "A constrained eigenvalue problem", Linear Algebra and its Applications.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["highest_point"]

_HALVINGS = 200  # of an interval that spans a factor: down to rounding


@torch.no_grad()
def highest_point(loc: Tensor, concentration: Tensor) -> Tensor:
    """The u of the highest density.

    Arguments:
        loc: z, unit vectors, shape (..., dim).
        concentration: Λ, shape (..., dim), of the same shape.

    Returns:
        Unit vectors, of that shape and the dtype of `loc`; not differentiable.
    """
    lam, z = concentration.double(), loc.double()
    b = lam * z
    lowest, axis = lam.min(-1, keepdim=True)
    gap = lam - lowest
    # δ = μ + min Λ lies between the norms of b along the lowest λ alone and of the whole b.
    low = torch.where(gap == 0, b, 0.0).norm(dim=-1, keepdim=True)
    high = b.norm(dim=-1, keepdim=True)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = (torch.where(b == 0, 0.0, b / (gap + middle)) ** 2).sum(-1, keepdim=True) > 1
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    u = torch.where(b == 0, 0.0, b / (gap + high))
    missing = (1 - (u * u).sum(-1, keepdim=True)).clamp_min(0).sqrt()
    hard = missing > 1e-6
    u = torch.where(hard, u.scatter(-1, axis, missing), u)
    unit: Tensor = u / torch.linalg.vector_norm(u, dim=-1, keepdim=True)
    return unit.to(loc.dtype)
