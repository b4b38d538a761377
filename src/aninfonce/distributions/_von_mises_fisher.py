"""The von Mises–Fisher distribution: the isotropic conditional on the sphere."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from aninfonce._typing import Float
from aninfonce.distributions._law import ONE_SAMPLE, among_finite_rows
from aninfonce.distributions._normalizer import log_sphere_integral
from aninfonce.distributions._sphere import (
    SphericalDistribution,
    as_concentration,
    broadcast_shapes,
    check_kappa,
    check_loc,
    unit_sphere,
)
from aninfonce.distributions._validation import validates

__all__ = ["VonMisesFisher"]

_PROPOSALS = 4096  # once fewer rows than this remain, they get several proposals each


class VonMisesFisher(SphericalDistribution):
    """The von Mises–Fisher distribution on S^{d-1}, p(u) ∝ exp(κ zᵀu).

    The anisotropic conditional with Λ = λI is this one with κ = 2λ, since |u - z|² = 2 - 2zᵀu.

    Arguments:
        loc: z, the mean direction: unit vectors, shape (..., dim), dim >= 2.
        concentration: κ >= 0, a number or a tensor of a shape that broadcasts with the batch shape of `loc`; 0 is the
            uniform distribution.
        validate_args: whether to check the values; if None, yes, unless Python runs with -O.

    Raises:
        TypeError: if `loc` is not a floating-point tensor, or `concentration` neither that nor a number.
        ValueError: if the shapes do not broadcast, dim < 2, `loc` is not of unit norm or `concentration` is negative,
            not finite or above 1e13.

    See also:
        AnisotropicSpherical: one concentration for each coordinate.

    References:
        Wood (1994), "Simulation of the von Mises Fisher distribution"; Ulrich (1984), "Computer generation of
        distributions on the m-sphere".

    Example:
        >>> vmf = VonMisesFisher(torch.tensor([0.0, 0.0, 1.0]), 50.0)
        >>> u = vmf.sample((1000,), generator=torch.Generator().manual_seed(0))
        >>> bool((u.mean(0) - vmf.mean).abs().max() < 0.02)
        True
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": unit_sphere,
        "concentration": constraints.nonnegative,
    }
    _batched: ClassVar[dict[str, int]] = {"loc": 1, "concentration": 0}

    def __init__(self, loc: Tensor, concentration: Tensor | float, validate_args: bool | None = None) -> None:
        checks = validates(validate_args)
        check_loc(loc, checks)
        concentration = as_concentration(concentration, loc)
        check_kappa(concentration, checks)
        batch_shape = broadcast_shapes(loc.shape[:-1], concentration.shape)
        self.loc = loc.expand((*batch_shape, loc.shape[-1]))
        self.concentration = concentration.to(loc).expand(batch_shape)
        super().__init__(batch_shape, loc.shape[-1], checks)

    def sample(self, sample_shape: _size = ONE_SAMPLE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw samples of shape sample_shape + batch_shape + (dim,), exactly."""
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            loc = self.loc.reshape(-1, shape[-1])
            concentration = self.concentration.reshape(-1)
            draw = partial(sample_von_mises_fisher, generator=generator)
            return among_finite_rows(draw, loc, concentration, torch.Size(sample_shape).numel()).reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of every vector of `value` (..., dim), with respect to the surface measure.

        Differentiable in the value and in both parameters.

        Raises:
            ValueError: if a vector is not on the sphere (and arguments are validated).
        """
        if self._validate_args:
            self._validate_sample(value)
        # zᵀu = 1 - |u - z|²/2: unlike the product, this forgives norms that are one up to rounding only.
        half_square = ((value.double() - self.loc.double()) ** 2).sum(-1) / 2
        kappa = self.concentration.double()
        dtype = torch.promote_types(value.dtype, self.loc.dtype)
        return (kappa * (1 - half_square) - self._log_integral(kappa)).to(dtype)

    @property
    def log_normalizer(self) -> Tensor:
        """Log of ∫ exp(κ zᵀu) du, of shape batch_shape."""
        return self._log_integral(self.concentration)

    @property
    def mean(self) -> Tensor:
        """The mean vector A(κ) z, of shape batch_shape + (dim,); A(κ) = I_{d/2}(κ)/I_{d/2-1}(κ)."""
        return self._mean_resultant_length()[..., None].to(self.loc.dtype) * self.loc

    @property
    def mode(self) -> Tensor:
        """The mean direction z, of shape batch_shape + (dim,); at κ = 0 every other point is as likely."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of every coordinate, of shape batch_shape + (dim,), to about 1e-12.

        With t = zᵀu, E t² = 1 - (d - 1) A/κ, and what is orthogonal to z has no direction of its own:
        Var u_i = z_i² Var t + (1 - z_i²) A/κ.
        """
        # A/κ tends to 1/d for small κ; there it is computed from a κ that is still large enough to divide by.
        kappa = self.concentration.double().clamp_min(1e-6)
        across = self._mean_resultant_length(kappa) / kappa
        along = 1 - (self.event_shape[0] - 1) * across - self._mean_resultant_length() ** 2
        z2 = self.loc.double() ** 2
        variance = z2 * along.clamp_min(0)[..., None] + (1 - z2) * across[..., None]
        return variance.clamp_min(0).to(self.loc.dtype)

    def entropy(self) -> Tensor:
        """The entropy log C(κ) - κ A(κ), of shape batch_shape."""
        kappa = self.concentration.double()
        return (self._log_integral(kappa) - kappa * self._mean_resultant_length()).to(self.loc.dtype)

    def _log_integral(self, kappa: Tensor) -> Tensor:
        b = kappa[..., None] / 2
        return log_sphere_integral(b.new_zeros(1), b, repeats=self.event_shape[0])

    def _mean_resultant_length(self, kappa: Tensor | None = None) -> Tensor:
        """A(κ), of shape batch_shape, float64; κ is the concentration unless given."""
        kappa = self.concentration.double() if kappa is None else kappa
        differentiable = torch.is_grad_enabled() and kappa.requires_grad
        with torch.enable_grad():
            kappa = kappa.clone() if differentiable else kappa.detach().clone().requires_grad_()
            (length,) = torch.autograd.grad(self._log_integral(kappa).sum(), kappa, create_graph=differentiable)
        return length


def sample_von_mises_fisher(
    loc: Float[Tensor, "rows dim"],
    concentration: Float[Tensor, " rows"],
    repeats: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "samples dim"]:
    """Draw `repeats` samples for every row: all rows once, then all rows again, …

    The cosine t = zᵀu is drawn by rejection (Wood 1994). With m = d - 1, b = m/(2κ + √(4κ² + m²)) and
    x₀ = (1 - b)/(1 + b):

        t = (1 - (1 + b)β)/(1 - (1 - b)β),  β ~ Beta(m/2, m/2)
        accept if log U < κ(t - x₀) + m log((1 - x₀t)/(1 - x₀²))

    For v uniform on S^{d-1}, (1 + v₁)/2 is such a β, and the other coordinates of v are, normalised, an independent
    uniform direction, the tangent's. So Gaussians are all it takes, and a reflection then carries e₁ to z.
    """
    rows, dim = loc.shape
    kappa = concentration.to(torch.float64)
    m = dim - 1
    b = m / (2 * kappa + torch.sqrt(4 * kappa**2 + m**2))
    samples = torch.empty(repeats * rows, dim, dtype=loc.dtype, device=loc.device)
    noise = torch.promote_types(loc.dtype, torch.float32)
    wanted = torch.arange(repeats * rows, device=loc.device)
    while len(wanted):
        tries = max(1, _PROPOSALS // len(wanted))
        row = wanted % rows
        k, c = kappa[row], b[row]
        e = torch.randn(dim, tries, len(wanted), dtype=noise, device=loc.device, generator=generator)
        rest = (e[1:] * e[1:]).sum(0)
        first = e[0].to(torch.float64)
        beta = (1 + first / torch.sqrt(first**2 + rest)) / 2
        # In terms of 1 - t and 1 - x₀ = 2b/(1 + b), which stay accurate when κ is large.
        gap = 2 * c * beta / (1 - (1 - c) * beta)
        gap0 = 2 * c / (1 + c)
        log_accept = k * (gap0 - gap) + m * torch.log((gap0 + (1 - gap0) * gap) / (gap0 * (2 - gap0)))
        accepted = torch.rand(gap.shape, dtype=k.dtype, device=k.device, generator=generator) < log_accept.exp()
        done, which = accepted.max(0)
        columns = done.nonzero()[:, 0]
        chosen = which[columns] * len(wanted) + columns
        gap = gap.flatten()[chosen]
        tangent = e[1:].flatten(1).index_select(1, chosen) * (gap * (2 - gap) / rest.flatten()[chosen]).sqrt()
        local = torch.cat(((1 - gap)[None], tangent)).T  # around e₁
        samples[wanted[columns]] = _carry(local, loc[row[columns]].to(torch.float64)).to(loc.dtype)
        wanted = wanted[(~done).nonzero()[:, 0]]
    return samples


def _carry(u: Float[Tensor, "rows dim"], z: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
    """Apply the reflection that carries ±e₁ to z, whichever sign keeps the difference large, then the sign."""
    sign = torch.where(z[:, :1] > 0, -1.0, 1.0)
    v = -z
    v[:, :1] += sign  # sign·e₁ - z, of squared norm 2(1 - sign·z₁) >= 2
    u = sign * u
    return u - v * (2 * (u * v).sum(1, keepdim=True) / (v * v).sum(1, keepdim=True))
