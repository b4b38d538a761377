"""Projection onto the unit sphere, y = x / |x|, for rows of any size that the number format can hold.

The square of a norm leaves the range of single precision at 1e19 and loses digits below 1e-16; there a row is divided
by its largest entry first, which changes nothing about its direction. A row without any direction, zero or below the
smallest normal number, goes to zero and has no gradient: the limits from different sides disagree, and 1 / |x| would
send whatever depends on it to infinity.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["directions", "directions_and_norms", "unit_rows"]


def directions(x: Tensor) -> Tensor:
    """x / |x| along the last axis, of plain operations, without a look at the data; differentiable to any order."""
    largest = x.detach().abs().amax(-1, keepdim=True)
    dead = largest < torch.finfo(x.dtype).tiny
    # The quotient by a constant has the same direction, and with it the same derivatives.
    scaled = torch.where(dead, 1.0, x / torch.where(dead, 1.0, largest))
    return torch.where(dead, 0.0, scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True))


@torch.no_grad()
def directions_and_norms(x: Tensor) -> tuple[Tensor, Tensor]:
    """x / |x| and |x|, shapes (..., dim) and (..., 1); the norm is infinite where there is no direction.

    With it the gradient (g - (g·y) y) / |x| is right everywhere. Warns of rows without a direction.
    """
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    low, high = _ordinary(x.dtype)
    smallest, largest = _extremes(norm)
    if low <= smallest and largest <= high:
        return x / norm, norm
    usual = (norm >= low) & (norm <= high)
    y = torch.where(usual, x / norm, directions(x))
    scale = x.abs().amax(-1, keepdim=True)
    dead = scale < torch.finfo(x.dtype).tiny
    size = scale * torch.linalg.vector_norm(x / torch.where(dead, 1.0, scale), dim=-1, keepdim=True)
    norm = torch.where(usual, norm, torch.where(dead, torch.inf, size))
    _warn_of(dead)
    return y, norm


def unit_rows(x: Tensor) -> Tensor:
    """`torch.nn.functional.normalize` along the last axis, but right for rows of any size; differentiable.

    Warns of rows without a direction.
    """
    # What is compiled or transformed cannot branch on data.
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return directions(x)
    with torch.no_grad():
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        low, high = _ordinary(x.dtype)
        smallest, largest = _extremes(norm)
    if low <= smallest and largest <= high:
        return F.normalize(x, dim=-1)
    _warn_of(x.detach().abs().amax(-1) < torch.finfo(x.dtype).tiny)
    usual = (norm >= low) & (norm <= high)
    return torch.where(usual, F.normalize(torch.where(usual, x, 1.0), dim=-1), directions(x))


def _ordinary(dtype: torch.dtype) -> tuple[float, float]:
    """Between these norms the plain quotient keeps all digits."""
    limits = torch.finfo(dtype)
    if dtype == torch.float16:  # whose squares are summed up in single precision
        return 2 * limits.tiny, limits.max / 2
    return max(1e-12, math.sqrt(limits.tiny / limits.eps)), math.sqrt(limits.max) / 2


def _extremes(norm: Tensor) -> tuple[float, float]:
    if norm.numel() == 0:
        return 1.0, 1.0
    smallest, largest = torch.stack(torch.aminmax(norm)).tolist()
    return smallest, largest


def _warn_of(dead: Tensor) -> None:
    count = int(dead.sum())
    if count:
        warnings.warn(
            f"{count} of {dead.numel()} embeddings are zero: they have no direction, count as the centre of the sphere "
            "and get no gradient",
            RuntimeWarning,
            stacklevel=3,
        )
