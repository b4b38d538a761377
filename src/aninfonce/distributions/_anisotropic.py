"""The anisotropic conditional of the paper, exactly: samples, density and normalising constant."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from aninfonce.distributions._highest_point import highest_point
from aninfonce.distributions._law import ONE_SAMPLE, among_finite_rows
from aninfonce.distributions._normalizer import log_sphere_integral, moments
from aninfonce.distributions._rejection import NormalizerEstimate, estimate_log_integral, sample_fisher_bingham
from aninfonce.distributions._sphere import (
    SphericalDistribution,
    as_concentration,
    broadcast_shapes,
    check_concentration,
    check_loc,
    unit_sphere,
)
from aninfonce.distributions._validation import validates

__all__ = ["AnisotropicSpherical"]


class AnisotropicSpherical(SphericalDistribution):
    """The anisotropic conditional p(u | z) ∝ exp(-(u - z)ᵀ Λ (u - z)) on S^{d-1}, Λ diagonal.

    There is no factor 1/2: a coordinate with a large λ_i varies little, with a standard deviation near 1/√(2λ_i). In
    the convention of noise precisions (the public code's "25 and 5"), Λ is half of them.

    Samples are exact (rejection, in float64, which the device must know) and the density is normalised to machine
    precision. Where only ratios of densities at one z are needed, `unnormalized_log_prob` is cheaper.

    Arguments:
        loc: z, unit vectors, shape (..., dim), dim >= 2.
        concentration: the diagonal of Λ: a number, or shape (dim,), shared by all, or (..., dim), broadcast with
            `loc`. Strictly positive unless `signed`. A shared one is faster.
        signed: allow any real concentration, as the optimum under hard negatives, Λ - Λ⁻, may have.
        validate_args: whether to check the values; if None, yes, unless Python runs with -O.

    Raises:
        TypeError: if `loc` is not a floating-point tensor, or `concentration` neither that nor a number.
        ValueError: if the shapes do not fit, dim < 2, `loc` is not of unit norm, or `concentration` is not finite,
            above 1e13 in size or, unless `signed`, not strictly positive.

    See also:
        VonMisesFisher: the isotropic case, κ = 2λ.
        ApproximateAnisotropicSpherical: the sampler of the paper's public code.

    References:
        Rusak et al., "InfoNCE: Identifying the Gap Between Theory and Practice", arXiv 2407.00143, section 3.

    Example:
        >>> z = torch.tensor([0.6, 0.0, 0.8])
        >>> positive = AnisotropicSpherical(z, concentration=torch.tensor([2.5, 2.5, 12.5]))
        >>> u = positive.sample((4,), generator=torch.Generator().manual_seed(0))
        >>> u.shape, positive.log_prob(u).shape
        (torch.Size([4, 3]), torch.Size([4]))
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": unit_sphere,
        "concentration": constraints.real_vector,
    }
    _batched: ClassVar[dict[str, int]] = {"loc": 1, "concentration": 1}
    _settings: ClassVar[tuple[str, ...]] = ("signed",)

    def __init__(
        self, loc: Tensor, concentration: Tensor | float, signed: bool = False, validate_args: bool | None = None
    ) -> None:
        checks = validates(validate_args)
        check_loc(loc, checks)
        dim = loc.shape[-1]
        concentration = as_concentration(concentration, loc)
        check_concentration(concentration, dim, checks, signed)
        batch_shape = broadcast_shapes(loc.shape[:-1], concentration.shape[:-1])
        self.signed = signed
        self.loc = loc.expand((*batch_shape, dim))
        concentration = concentration.to(loc)
        self._given = concentration if concentration.ndim else concentration.expand(dim)  # a shared vector stays one
        self.concentration = self._given.expand((*batch_shape, dim))
        super().__init__(batch_shape, dim, checks)

    def expand(self, batch_shape: _size, _instance: AnisotropicSpherical | None = None) -> AnisotropicSpherical:
        """Return the same distribution with a larger batch shape, without copying; see `Law.expand`."""
        new = super().expand(batch_shape, _instance)
        new._given = self._given if self._given.ndim == 1 else new.concentration
        return new

    def sample(self, sample_shape: _size = ONE_SAMPLE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw samples of shape sample_shape + batch_shape + (dim,), exactly.

        Arguments:
            sample_shape: how many samples for each distribution of the batch.
            generator: the source of randomness, on the device of `loc`; torch's global one if None.
        """
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            repeats = torch.Size(sample_shape).numel()
            draw = partial(sample_fisher_bingham, generator=generator)
            return among_finite_rows(draw, *self._rows(), repeats).reshape(shape)

    def unnormalized_log_prob(self, value: Tensor) -> Tensor:
        """Return -(u - z)ᵀ Λ (u - z) for every vector u of `value` (..., dim): the similarity of the AnInfoNCE loss.

        Raises:
            ValueError: if a vector is not on the sphere (and arguments are validated).
        """
        if self._validate_args:
            self._validate_sample(value)
        return -(self.concentration * (value - self.loc) ** 2).sum(-1)

    @property
    def log_normalizer(self) -> Tensor:
        """Log of C(z) = ∫ exp(-(u - z)ᵀ Λ (u - z)) du, of shape batch_shape; it depends on z unless Λ is isotropic.

        Differentiable in both parameters, and computed anew at each access.
        """
        return self._log_normalizer().to(self.loc.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of every vector of `value` (..., dim), with respect to the surface measure.

        Differentiable in the value and in both parameters.

        Raises:
            ValueError: if a vector is not on the sphere (and arguments are validated).
        """
        return self.unnormalized_log_prob(value) - self.log_normalizer

    def log_normalizer_from_acceptance(self, n: int, *, generator: torch.Generator | None = None) -> NormalizerEstimate:
        """Estimate `log_normalizer` from the acceptance of the sampler, independently of the contour integral.

        C(z) = acceptance · M · |S^{d-1}| · |Ω|^{-½} · e^{-zᵀΛz}, with M and Ω the bound and the precision of the
        proposal. It needs no analysis, but its error falls with √n only; a check more than a tool.

        Arguments:
            n: how many proposals for each distribution of the batch, at least 2.
            generator: the source of randomness.

        Returns:
            The estimate and its standard error (of the logarithm), both of shape batch_shape.

        Raises:
            ValueError: if `n` < 2.
        """
        if n < 2:
            raise ValueError(f"n must be at least 2, got {n}")
        with torch.no_grad():
            loc, concentration = self._rows()
            estimate, error = estimate_log_integral(loc, concentration, n, generator)
            estimate = estimate - (concentration * loc**2).sum(1)
            return NormalizerEstimate(estimate.reshape(self._batch_shape), error.reshape(self._batch_shape))

    @property
    def mean(self) -> Tensor:
        """The mean vector E[u], inside the sphere, of shape batch_shape + (dim,)."""
        return self._moments()[0].to(self.loc.dtype)

    @property
    def mode(self) -> Tensor:
        """The point of the highest density, of shape batch_shape + (dim,): z, unless a concentration is negative.

        Then the highest density is where the sphere touches, see `highest_point`; of two such points it is one.
        """
        return highest_point(self.loc, self.concentration) if self.signed else self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of every coordinate, of shape batch_shape + (dim,), to about 1e-12."""
        first, second = self._moments()
        return (second - first**2).clamp_min(0).to(self.loc.dtype)

    def entropy(self) -> Tensor:
        """The entropy log C(z) + E[(u - z)ᵀ Λ (u - z)], of shape batch_shape."""
        first, second = self._moments()
        z, lam = self.loc.double(), self.concentration.double()
        return (self._log_normalizer() + (lam * (second - 2 * z * first + z**2)).sum(-1)).to(self.loc.dtype)

    def _rows(self) -> tuple[Tensor, Tensor]:
        dim = self.event_shape[0]
        given = self._given if self._given.ndim == 1 else self.concentration
        return self.loc.reshape(-1, dim), given.reshape(-1, dim)

    def _linear(self) -> Tensor:
        return self.concentration.double() * self.loc.double()

    def _log_normalizer(self) -> Tensor:
        b = self._linear()
        return log_sphere_integral(self.concentration.double(), b) - (b * self.loc.double()).sum(-1)

    def _moments(self) -> tuple[Tensor, Tensor]:
        return moments(self.concentration.double(), self._linear())
