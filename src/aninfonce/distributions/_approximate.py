"""The approximate sampler of the paper's public code, for comparison."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from aninfonce._typing import Float
from aninfonce.distributions._law import ONE_SAMPLE, among_finite_rows, positive_vector
from aninfonce.distributions._sphere import (
    SphericalDistribution,
    as_concentration,
    broadcast_shapes,
    check_concentration,
    check_loc,
    unit_sphere,
)
from aninfonce.distributions._validation import validates

__all__ = ["ApproximateAnisotropicSpherical"]

_PROPOSALS = 8192  # at least about this many proposals at once
_FRUITLESS = 200_000  # proposals in a row without one success, after which the rest is given up


class ApproximateAnisotropicSpherical(SphericalDistribution):
    """What the paper's public code samples in the place of `AnisotropicSpherical`: close to it, not the same.

    Gaussian noise of precision 2Λ is added to z; the sum is kept if its norm lies within `tolerance` of one, and then
    projected onto the sphere. The kept shell has a thickness, over which the projection smears: variances come out
    within 2 % for Λ = (2.5, 2.5, 12.5), but up to a third too large for Λ = (1, 10, 100). The law has no closed
    density, hence no `log_prob`. In high dimension and with small λ_i hardly any proposal hits the shell.

    Arguments:
        loc: z, unit vectors, shape (..., dim), dim >= 2.
        concentration: the diagonal of Λ, strictly positive: a number, or shape (dim,) or (..., dim). The public code
            names the noise precision 2Λ.
        tolerance: half the thickness of the shell of norms that are kept, in (0, 1).
        validate_args: whether to check the values; if None, yes, unless Python runs with -O.

    Raises:
        TypeError: if `loc` is not a floating-point tensor, or `concentration` neither that nor a number.
        ValueError: if the shapes do not fit, dim < 2, `loc` is not of unit norm, `concentration` is not finite, at
            most 1e13 and strictly positive, or `tolerance` is not in (0, 1).

    See also:
        AnisotropicSpherical: the exact law.

    References:
        Rusak et al., arXiv 2407.00143, and its published code.

    Example:
        >>> near = ApproximateAnisotropicSpherical(torch.tensor([0.6, 0.0, 0.8]), torch.tensor([2.5, 2.5, 12.5]))
        >>> near.sample((4,), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([4, 3])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": unit_sphere,
        "concentration": positive_vector,
    }
    _batched: ClassVar[dict[str, int]] = {"loc": 1, "concentration": 1}
    _settings: ClassVar[tuple[str, ...]] = ("tolerance",)

    def __init__(
        self, loc: Tensor, concentration: Tensor | float, tolerance: float = 0.1, validate_args: bool | None = None
    ) -> None:
        checks = validates(validate_args)
        check_loc(loc, checks)
        dim = loc.shape[-1]
        concentration = as_concentration(concentration, loc)
        check_concentration(concentration, dim, checks)
        if not 0 < tolerance < 1:
            raise ValueError(f"tolerance must lie in (0, 1), got {tolerance}")
        batch_shape = broadcast_shapes(loc.shape[:-1], concentration.shape[:-1])
        self.tolerance = tolerance
        self.loc = loc.expand((*batch_shape, dim))
        concentration = concentration.to(loc)
        self._given = concentration if concentration.ndim else concentration.expand(dim)
        self.concentration = self._given.expand((*batch_shape, dim))
        super().__init__(batch_shape, dim, checks)

    def expand(
        self, batch_shape: _size, _instance: ApproximateAnisotropicSpherical | None = None
    ) -> ApproximateAnisotropicSpherical:
        """Return the same distribution with a larger batch shape, without copying; see `Law.expand`."""
        new = super().expand(batch_shape, _instance)
        new._given = self._given if self._given.ndim == 1 else new.concentration
        return new

    def sample(self, sample_shape: _size = ONE_SAMPLE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw samples of shape sample_shape + batch_shape + (dim,).

        Raises:
            RuntimeError: if hardly any proposal is kept, instead of an endless loop; it names the acceptance.
        """
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            dim = shape[-1]
            given = self._given if self._given.ndim == 1 else self.concentration
            loc, concentration = self.loc.reshape(-1, dim), given.reshape(-1, dim)
            repeats = torch.Size(sample_shape).numel()
            draw = partial(_sample, tolerance=self.tolerance, generator=generator)
            return among_finite_rows(draw, loc, concentration, repeats).reshape(shape)


def _sample(
    loc: Float[Tensor, "rows dim"],
    concentration: Float[Tensor, "#rows dim"],
    repeats: int,
    tolerance: float,
    generator: torch.Generator | None,
) -> Float[Tensor, "samples dim"]:
    rows, dim = loc.shape
    noise = torch.promote_types(loc.dtype, torch.float32)
    z = loc.to(noise).T.contiguous()
    deviation = (2 * concentration.to(noise)).rsqrt().T.contiguous()
    samples = torch.empty(repeats * rows, dim, dtype=loc.dtype, device=loc.device)
    wanted = torch.arange(repeats * rows, device=loc.device)
    proposed = kept = fruitless = 0
    while len(wanted):
        tries = max(1, _PROPOSALS // len(wanted))
        row = wanted % rows
        scale = deviation if deviation.shape[1] == 1 else deviation.index_select(1, row)
        x = torch.randn(dim, tries, len(wanted), dtype=noise, device=loc.device, generator=generator)
        x = x.mul_(scale[:, None]).add_(z.index_select(1, row)[:, None])
        norm = (x * x).sum(0).sqrt()
        done, which = ((norm - 1).abs() <= tolerance).max(0)
        columns = done.nonzero()[:, 0]
        chosen = which[columns] * len(wanted) + columns
        samples[wanted[columns]] = (x.flatten(1).index_select(1, chosen) / norm.flatten()[chosen]).T.to(loc.dtype)
        proposed += norm.numel()
        kept += len(columns)
        fruitless = 0 if len(columns) else fruitless + norm.numel()
        if fruitless >= _FRUITLESS:
            raise RuntimeError(
                f"the approximate sampler is hopeless here: {kept} of {proposed} proposals kept (acceptance "
                f"{kept / proposed:.1e}) and none of the last {fruitless}; {repeats * rows - kept} samples missing; "
                "use AnisotropicSpherical, which is exact"
            )
        wanted = wanted[(~done).nonzero()[:, 0]]
    return samples
