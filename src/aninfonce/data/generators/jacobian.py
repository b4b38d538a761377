"""How far a generator is from losing a latent: the smallest singular value of its Jacobian."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from aninfonce._tensor_checks import check_embeddings

__all__ = ["smallest_singular_value"]


def smallest_singular_value(generator: Callable[[Tensor], Tensor], latents: Tensor) -> Tensor:
    """The smallest singular value of ∂g/∂z at every latent: the least that an observation moves for a unit step.

    Above zero everywhere, g is locally injective. Computed from JᵀJ, hence to about the square root of the dtype's
    precision: pass float64 latents where the generator takes them. On the sphere, where only the steps along it count,
    this is a lower bound.

    Arguments:
        generator: g, latents (n, dim) to observations (n, …), row by row, differentiable twice.
        latents: shape (n, dim), floating point.

    Returns:
        Shape (n,), at least 0, in the unit of the observations a unit of the latents.

    Raises:
        TypeError: if `latents` is not a floating-point tensor.
        ValueError: if its shape is not (n, dim), or an entry is not finite.

    Example:
        >>> smallest_singular_value(lambda z: z * torch.tensor([3.0, 0.5]), torch.ones(2, 2))
        tensor([0.5000, 0.5000])
    """
    check_embeddings("latents", latents)
    with torch.enable_grad():
        z = latents.detach().requires_grad_()
        x = generator(z).flatten(1)
        # Two reverse passes give J v: Jᵀw is linear in w, and its derivative in w along v is J v.
        w = torch.zeros_like(x, requires_grad=True)
        (pulled,) = torch.autograd.grad(x, z, w, create_graph=True)
        directions = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
        columns = [torch.autograd.grad(pulled, w, v.expand_as(z), retain_graph=True)[0] for v in directions]
    jacobian = torch.stack(columns, 1)
    eigenvalues: Tensor = torch.linalg.eigvalsh(jacobian @ jacobian.mT)
    return eigenvalues[:, 0].clamp_min(0).sqrt()
