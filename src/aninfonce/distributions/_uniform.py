"""The uniform distribution on the unit hypersphere."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint
from torch.types import _size

from aninfonce.distributions._law import ONE_SAMPLE
from aninfonce.distributions._sphere import SphericalDistribution, broadcast_shapes, check_dim, log_area
from aninfonce.distributions._validation import validates

__all__ = ["HypersphericalUniform"]


class HypersphericalUniform(SphericalDistribution):
    """The uniform distribution on S^{d-1} = {u in R^d : |u| = 1}; the marginal of the latents in the paper.

    Its density is 1/|S^{d-1}|, with respect to the surface measure.

    Arguments:
        dim: d >= 2, the dimension of the space around the sphere.
        device: where the samples live.
        dtype: a floating-point dtype; torch's default if None.
        validate_args: whether to check the values; if None, yes, unless Python runs with -O.

    Raises:
        TypeError: if `dim` is not an integer or `dtype` not a floating-point dtype.
        ValueError: if `dim` < 2.

    References:
        Rusak et al., arXiv 2407.00143, section 3: p(z) = |S^{d-1}|⁻¹.

    Example:
        >>> uniform = HypersphericalUniform(10)
        >>> z = uniform.sample((5,), generator=torch.Generator().manual_seed(0))
        >>> z.shape
        torch.Size([5, 10])
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    _settings: ClassVar[tuple[str, ...]] = ("dim",)
    has_rsample = True

    def __init__(
        self,
        dim: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        validate_args: bool | None = None,
    ) -> None:
        check_dim(dim)
        dtype = torch.get_default_dtype() if dtype is None else dtype
        if not dtype.is_floating_point:
            raise TypeError(f"dtype must be a floating-point dtype, got {dtype}")
        self.dim = dim
        self._like = torch.empty(0, device=device, dtype=dtype)
        super().__init__(torch.Size(), dim, validates(validate_args))

    def sample(self, sample_shape: _size = ONE_SAMPLE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw samples of shape sample_shape + batch_shape + (dim,); normalised Gaussians."""
        shape = self._extended_shape(sample_shape)
        # Half precision is too coarse a grid for the Gaussians; the direction is rounded only at the end.
        dtype = torch.promote_types(self._like.dtype, torch.float32)
        x = torch.randn(shape, dtype=dtype, device=self._like.device, generator=generator)
        x /= torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x.to(self._like.dtype)

    def rsample(self, sample_shape: _size = ONE_SAMPLE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw samples; there is no parameter, so this is `sample`."""
        return self.sample(sample_shape, generator=generator)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return -log |S^{d-1}| for every vector of `value` (..., dim).

        Raises:
            ValueError: if a vector is not on the sphere (and arguments are validated).
        """
        if self._validate_args:
            self._validate_sample(value)
        shape = broadcast_shapes(value.shape[:-1], self._batch_shape)
        dtype = torch.promote_types(value.dtype, self._like.dtype)
        constant = torch.full(shape, -log_area(self.dim), dtype=dtype, device=value.device)
        return torch.where(value.isnan().any(-1), torch.nan, constant)

    def entropy(self) -> Tensor:
        """Return log |S^{d-1}|, the largest entropy on the sphere, of shape batch_shape."""
        return self._like.new_full(self._batch_shape, log_area(self.dim))

    @property
    def mean(self) -> Tensor:
        """Return zeros of shape batch_shape + (dim,)."""
        return self._like.new_zeros((*self._batch_shape, self.dim))

    @property
    def mode(self) -> Tensor:
        """NaN, as of `torch.distributions.Uniform`: no point is likelier than another."""
        return torch.full_like(self.mean, torch.nan)

    @property
    def variance(self) -> Tensor:
        """Return 1/d in every coordinate, of shape batch_shape + (dim,)."""
        return torch.full_like(self.mean, 1 / self.dim)
