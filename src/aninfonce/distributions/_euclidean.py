"""R^d and the boxes in it: what the distributions there share, and the checks of their arguments."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from aninfonce._tensor_checks import check_finite
from aninfonce.distributions._law import ONE_SAMPLE, Law
from aninfonce.distributions._sphere import broadcast_shapes

__all__ = [
    "Box",
    "EuclideanDistribution",
    "check_box",
    "check_concentration",
    "check_coordinates",
    "check_exponent",
    "check_inside",
    "check_vectors",
    "where_inside",
]


class Box(constraints.Constraint):
    """Vectors (last dimension) with low <= u <= high in every coordinate."""

    event_dim = 1

    def __init__(self, low: Tensor, high: Tensor) -> None:
        self.low, self.high = low, high
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Return, for each vector of `value` (..., dim), whether it lies in the box."""
        return ((self.low <= value) & (value <= self.high)).all(-1)


def where_inside(inside: Tensor, value: Tensor, log_density: Tensor) -> Tensor:
    """`log_density` inside the support, -∞ outside, and NaN where a vector of `value` (..., dim) has a NaN."""
    outside = torch.where(value.isnan().any(-1), torch.nan, -torch.inf).to(log_density.dtype)
    return torch.where(inside, log_density, outside)


class EuclideanDistribution(Law):
    """What the distributions of vectors in R^d share: the generator of `sample`, and what a value may be.

    Densities are with respect to the Lebesgue measure of R^d, so that a point outside the support is no error: its
    density is zero. NaN is one, or without checks has the density NaN.
    """

    def sample(self, sample_shape: _size = ONE_SAMPLE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw samples of shape sample_shape + batch_shape + (dim,).

        Arguments:
            sample_shape: how many samples for each distribution of the batch.
            generator: the source of randomness, on the device of the parameters; torch's global one if None.
        """
        with torch.no_grad():
            return self.rsample(sample_shape, generator=generator)

    def rsample(self, sample_shape: _size = ONE_SAMPLE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw samples that are differentiable in the parameters, where `has_rsample` says so."""
        raise NotImplementedError(f"{type(self).__name__} has no reparametrised samples; use sample()")

    def _check_value(self, value: Tensor) -> None:
        """Raise ValueError unless `value` holds vectors (..., dim) that broadcast with the batch shape, without NaN."""
        if value.ndim < 1 or value.shape[-1:] != self._event_shape:
            raise ValueError(f"value must have shape (..., {self._event_shape[0]}), got {tuple(value.shape)}")
        broadcast_shapes(value.shape[:-1], self._batch_shape)
        if bool(value.isnan().any()):
            raise ValueError(f"value must not be NaN, got {int(value.isnan().sum())} NaN among {value.numel()} numbers")


def check_vectors(name: str, x: object, values: bool) -> Tensor:
    """Check that `x` is a floating-point tensor (..., dim), dim >= 1, and if `values`, finite; return it.

    Raises:
        TypeError: if it is not a floating-point tensor.
        ValueError: if it is a scalar, dim is 0 or an entry is not finite.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape (..., dim), got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got dtype {x.dtype}")
    if x.ndim < 1 or x.shape[-1] < 1:
        raise ValueError(f"{name} must have shape (..., dim) with dim >= 1, got {tuple(x.shape)}")
    if values:
        check_finite(name, x)
    return x


def check_coordinates(name: str, x: Tensor | float, loc: Tensor, values: bool) -> Tensor:
    """Check that `x` is a number or of shape (dim,) or (..., dim), and if `values`, finite.

    Returns:
        A tensor (dim,) or (..., dim) in the dtype and on the device of `loc`.

    Raises:
        ValueError: if its last dimension is not that of `loc` or an entry is not finite.
    """
    x = torch.as_tensor(x, dtype=loc.dtype, device=loc.device)
    dim = loc.shape[-1]
    if x.ndim and x.shape[-1] != dim:
        raise ValueError(
            f"{name} must be a number or have shape ({dim},) or (..., {dim}) like loc, got {tuple(x.shape)}"
        )
    if values:
        check_finite(name, x)
    return x.expand(dim) if x.ndim == 0 else x


def check_concentration(concentration: Tensor | float, loc: Tensor, values: bool) -> Tensor:
    """`check_coordinates` of a concentration, which must be positive as well.

    Raises:
        ValueError: as `check_coordinates`, or if an entry is not positive (and `values`).
    """
    concentration = check_coordinates("concentration", concentration, loc, values)
    if values and not bool((concentration > 0).all()):
        raise ValueError(f"concentration must be positive, got one of {float(concentration.detach().min()):.6g}")
    return concentration


def check_exponent(exponent: float) -> float:
    """Return `exponent` if it is positive and finite.

    Raises:
        ValueError: if it is not.
    """
    if not 0 < exponent < math.inf:
        raise ValueError(f"exponent must be positive and finite, got {exponent}")
    return float(exponent)


def check_box(low: Tensor, high: Tensor) -> None:
    """Check that every edge [low, high] of a box, of finite bounds, has a length.

    Raises:
        ValueError: if one has none.
    """
    if not bool((low < high).all()):
        low, high = _worst(high - low, low, high)
        raise ValueError(f"low must be less than high in every coordinate, got the edge [{low:.6g}, {high:.6g}]")


def check_inside(name: str, x: Tensor, low: Tensor, high: Tensor) -> None:
    """Check that every vector of `x` lies in the box.

    Raises:
        ValueError: if one does not.
    """
    if not bool(((low <= x) & (x <= high)).all()):
        x, low, high = _worst(torch.minimum(x - low, high - x), x, low, high)
        raise ValueError(f"{name} must lie in the box, got {x:.6g} outside [{low:.6g}, {high:.6g}]")


def _worst(score: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The entries of all tensors, broadcast together, where `score` is smallest."""
    return tuple(x.detach().expand_as(score).flatten()[score.argmin()] for x in tensors)
