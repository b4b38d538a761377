"""The uniform distribution on a box."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from aninfonce.distributions._euclidean import Box, EuclideanDistribution, check_box, check_vectors, where_inside
from aninfonce.distributions._law import ONE_SAMPLE
from aninfonce.distributions._sphere import broadcast_shapes
from aninfonce.distributions._validation import validates

__all__ = ["UniformBox"]


class UniformBox(EuclideanDistribution):
    """The uniform distribution on the box [low_1, high_1] × … × [low_d, high_d].

    The marginal of the latents in the theory of contrastive learning on convex bodies, where
    `TruncatedGeneralizedNormal` is the conditional.

    Arguments:
        low: the smallest values, shape (..., dim), dim >= 1.
        high: the largest values: a number, or of a shape that broadcasts with `low`; the dtype becomes that of `low`.
        validate_args: whether to check the values; if None, yes, unless Python runs with -O.

    Raises:
        TypeError: if a bound is not a floating-point tensor.
        ValueError: if the shapes do not broadcast, or a bound is not finite or `low` not less than `high`.

    References:
        Zimmermann et al., "Contrastive Learning Inverts the Data Generating Process", arXiv 2102.08850, section 3.2.

    Example:
        >>> box = UniformBox(-torch.ones(4), torch.ones(4))
        >>> box.sample((5,), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 4])
        >>> print(f"{box.entropy():.4f}")  # 4 log 2
        2.7726
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "low": constraints.real_vector,
        "high": constraints.real_vector,
    }
    has_rsample = True
    _batched: ClassVar[dict[str, int]] = {"low": 1, "high": 1}

    def __init__(self, low: Tensor, high: Tensor | float, validate_args: bool | None = None) -> None:
        checks = validates(validate_args)
        check_vectors("low", low, checks)
        if isinstance(high, int | float) and not isinstance(high, bool):
            high = torch.full_like(low, high).detach()
        high = check_vectors("high", high, checks).to(low)
        shape = broadcast_shapes(low.shape, high.shape)
        if checks:
            check_box(low, high)
        self.low = low.expand(shape)
        self.high = high.expand(shape)
        super().__init__(shape[:-1], shape[-1], checks)

    def rsample(self, sample_shape: _size = ONE_SAMPLE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw samples of shape sample_shape + batch_shape + (dim,), differentiable in both bounds."""
        shape = self._extended_shape(sample_shape)
        # Half precision is too coarse a grid for the uniform numbers; the sum is rounded only at the end.
        dtype = torch.promote_types(self.low.dtype, torch.float32)
        fraction = torch.rand(shape, dtype=dtype, device=self.low.device, generator=generator)
        x = torch.lerp(self.low.to(dtype), self.high.to(dtype), fraction)
        return x.to(self.low.dtype).clamp(self.low, self.high)  # rounding may have passed a bound

    def log_prob(self, value: Tensor) -> Tensor:
        """Return -log of the volume for every vector of `value` (..., dim) in the box, and -∞ outside.

        Raises:
            ValueError: if the shape does not fit (and arguments are validated).
        """
        if self._validate_args:
            self._check_value(value)
        inside = self.support.check(value)
        dtype = torch.promote_types(value.dtype, self.low.dtype)
        return where_inside(inside, value, -self.entropy().to(dtype))

    def entropy(self) -> Tensor:
        """Return the log of the volume, of shape batch_shape."""
        return (self.high - self.low).log().sum(-1)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> Box:
        """The box."""
        return Box(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        """The centre, of shape batch_shape + (dim,)."""
        return (self.low + self.high) / 2

    @property
    def mode(self) -> Tensor:
        """NaN, as of `torch.distributions.Uniform`: no point is likelier than another."""
        return torch.full_like(self.low, torch.nan)

    @property
    def variance(self) -> Tensor:
        """The variance of every coordinate, of shape batch_shape + (dim,)."""
        return (self.high - self.low) ** 2 / 12
