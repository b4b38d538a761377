"""The unit hypersphere: its area, its constraint, and the checks that its distributions share."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.distributions import constraints

from aninfonce._tensor_checks import check_finite
from aninfonce.distributions._law import LARGEST_CONCENTRATION, Law

__all__ = [
    "SphericalDistribution",
    "as_concentration",
    "broadcast_shapes",
    "check_concentration",
    "check_dim",
    "check_kappa",
    "check_loc",
    "log_area",
    "unit_sphere",
]


def log_area(dim: int) -> float:
    """Log of the area of the unit sphere in `dim` dimensions, log |S^{d-1}| = log 2 + (d/2) log π - log Γ(d/2).

    Example:
        >>> round(math.exp(log_area(3)) / math.pi, 12)  # 4π
        4.0
    """
    return math.log(2.0) + dim / 2 * math.log(math.pi) - math.lgamma(dim / 2)


def _tolerance(dtype: torch.dtype) -> float:
    """How far from one the norm of a "unit" vector may lie, in its dtype."""
    return max(1e-4, 8 * torch.finfo(dtype).eps)


class _UnitSphere(constraints.Constraint):
    """Vectors (last dimension) of unit Euclidean norm, up to rounding."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        """Return, for each vector of `value` (..., dim), whether its norm is one."""
        norm = torch.linalg.vector_norm(value, dim=-1)
        near: Tensor = (norm - 1).abs() <= _tolerance(value.dtype)
        return near


unit_sphere = _UnitSphere()


class SphericalDistribution(Law):
    """What the distributions on S^{d-1} share: the support."""

    support = unit_sphere


def as_concentration(concentration: Tensor | float, loc: Tensor) -> Tensor:
    """A number becomes a tensor, in the dtype and on the device of `loc`; everything else stays what it is."""
    if isinstance(concentration, int | float) and not isinstance(concentration, bool):
        return torch.tensor(float(concentration), dtype=loc.dtype, device=loc.device)
    return cast(Tensor, concentration)


def _check_tensor(name: str, x: object, shape: str) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape {shape}, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got dtype {x.dtype}")
    return x


def check_loc(loc: object, values: bool) -> None:
    """Check that `loc` is a floating-point tensor (..., dim), dim >= 2, and if `values`, of unit norm.

    Raises:
        TypeError: if it is not a floating-point tensor.
        ValueError: if it is a scalar, dim < 2, an entry is not finite or a norm is not one.
    """
    loc = _check_tensor("loc", loc, "(..., dim)")
    if loc.ndim < 1 or loc.shape[-1] < 2:
        raise ValueError(f"loc must have shape (..., dim) with dim >= 2, got {tuple(loc.shape)}")
    if not values:
        return
    check_finite("loc", loc)
    norm = torch.linalg.vector_norm(loc.detach(), dim=-1)
    tolerance = _tolerance(loc.dtype)
    if not bool(((norm - 1).abs() <= tolerance).all()):
        worst = norm.flatten()[(norm - 1).abs().argmax()]
        raise ValueError(f"loc must have unit norm (within {tolerance:.0e}), got a vector of norm {float(worst):.6g}")


def check_concentration(concentration: object, dim: int, values: bool, signed: bool = False) -> None:
    """Check that `concentration` is a floating-point tensor, () or (..., dim), and if `values`, finite and positive.

    Raises:
        TypeError: if it is not a floating-point tensor.
        ValueError: if its last dimension is not `dim`, or an entry is not finite, or (unless `signed`) not positive.
    """
    concentration = _check_tensor("concentration", concentration, f"({dim},) or (..., {dim})")
    if concentration.ndim and concentration.shape[-1] != dim:
        raise ValueError(
            f"concentration must be a number or have shape ({dim},) or (..., {dim}) like loc, "
            f"got {tuple(concentration.shape)}"
        )
    if not values:
        return
    check_finite("concentration", concentration)
    _check_not_too_large(concentration)
    if not signed and not bool((concentration > 0).all()):
        raise ValueError(
            "concentration must be strictly positive (pass signed=True to allow other values), "
            f"got a smallest entry of {float(concentration.detach().min()):.6g}"
        )


def _check_not_too_large(concentration: Tensor) -> None:
    if bool((concentration.abs() > LARGEST_CONCENTRATION).any()):
        raise ValueError(
            f"concentration must be at most {LARGEST_CONCENTRATION:.0e}, where samples are z to six digits, "
            f"got one of {float(concentration.detach().abs().max()):.6g}"
        )


def check_kappa(concentration: object, values: bool) -> None:
    """Check that `concentration` is a floating-point tensor, and if `values`, finite and not negative.

    Raises:
        TypeError: if it is not a floating-point tensor.
        ValueError: if an entry is not finite or negative.
    """
    concentration = _check_tensor("concentration", concentration, "(...)")
    if not values:
        return
    check_finite("concentration", concentration)
    _check_not_too_large(concentration)
    if bool((concentration < 0).any()):
        raise ValueError(f"concentration must be at least 0, got one of {float(concentration.detach().min()):.6g}")


def check_dim(dim: object) -> None:
    """Check that `dim` is an integer of at least 2.

    Raises:
        TypeError: if it is not an integer.
        ValueError: if it is less than 2.
    """
    if isinstance(dim, bool) or not isinstance(dim, int):
        raise TypeError(f"dim must be an integer, got {type(dim).__name__}")
    if dim < 2:
        raise ValueError(f"dim must be at least 2, got {dim}")


def broadcast_shapes(*shapes: torch.Size) -> torch.Size:
    """Return the shape that `shapes` broadcast to.

    Raises:
        ValueError: if they do not.
    """
    try:
        return torch.Size(np.broadcast_shapes(*shapes))
    except ValueError as error:
        raise ValueError(f"shapes must broadcast together, got {', '.join(str(tuple(s)) for s in shapes)}") from error
