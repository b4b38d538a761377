"""The generalised normal distribution on R^d: Laplace, Gaussian, and what lies between and beyond."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from aninfonce.distributions._euclidean import (
    EuclideanDistribution,
    check_concentration,
    check_exponent,
    check_vectors,
)
from aninfonce.distributions._law import ONE_SAMPLE, positive_vector
from aninfonce.distributions._sphere import broadcast_shapes
from aninfonce.distributions._validation import validates

__all__ = ["GeneralizedNormal"]


class GeneralizedNormal(EuclideanDistribution):
    """The conditional p(u | z) ∝ exp(-Σ_k λ_k |u_k - z_k|^p) on R^d; its coordinates are independent.

    p = 1 is the Laplace distribution of scale 1/λ, p = 2 the Gaussian of precision 2λ (there is no factor 1/2), and
    p → ∞ tends to the uniform distribution on z ± 1.

    Arguments:
        loc: z, shape (..., dim), dim >= 1.
        concentration: λ > 0: a number, or one for each coordinate, shape (dim,) or (..., dim), broadcast with `loc`.
        exponent: p > 0, one number.
        validate_args: whether to check the values; if None, yes, unless Python runs with -O.

    Raises:
        TypeError: if `loc` is not a floating-point tensor.
        ValueError: if the shapes do not fit, `loc` is not finite, or `concentration` or `exponent` is not positive and
            finite.

    See also:
        TruncatedGeneralizedNormal: the same on a box.
        AnisotropicSpherical: p = 2 on the sphere.

    References:
        Zimmermann et al., "Contrastive Learning Inverts the Data Generating Process", arXiv 2102.08850, section 3.2.
        Nadarajah (2005), "A generalized normal distribution", Journal of Applied Statistics 32 (moments, entropy).

    Example:
        >>> positive = GeneralizedNormal(torch.zeros(3), torch.tensor([1.0, 4.0, 4.0]), exponent=1.0)
        >>> u = positive.sample((4,), generator=torch.Generator().manual_seed(0))
        >>> u.shape, positive.log_prob(u).shape
        (torch.Size([4, 3]), torch.Size([4]))
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": constraints.real_vector,
        "concentration": positive_vector,
    }
    _batched: ClassVar[dict[str, int]] = {"loc": 1, "concentration": 1}
    _settings: ClassVar[tuple[str, ...]] = ("exponent",)
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, loc: Tensor, concentration: Tensor | float, exponent: float, validate_args: bool | None = None
    ) -> None:
        checks = validates(validate_args)
        check_vectors("loc", loc, checks)
        concentration = check_concentration(concentration, loc, checks)
        self.exponent = check_exponent(exponent)
        shape = broadcast_shapes(loc.shape, concentration.shape)
        self.loc = loc.expand(shape)
        self.concentration = concentration.expand(shape)
        super().__init__(shape[:-1], shape[-1], checks)

    def rsample(self, sample_shape: _size = ONE_SAMPLE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw samples of shape sample_shape + batch_shape + (dim,), differentiable in `loc` and `concentration`.

        The region under the graph of e^{-|x|^p} is drawn from uniformly, its height as e^{-G}: x = V G^{1/p} with V
        uniform on (-1, 1) and G ~ Gamma(1 + 1/p). Unlike the powers of Gamma(1/p) this underflows for no p.
        """
        shape = self._extended_shape(sample_shape)
        dtype = torch.promote_types(self.loc.dtype, torch.float32)
        noise = torch.rand(shape, dtype=dtype, device=self.loc.device, generator=generator) * 2 - 1
        gamma = torch._standard_gamma(torch.full_like(noise, 1 + 1 / self.exponent), generator=generator)
        scale = self.concentration.to(dtype) ** (-1 / self.exponent)
        return (self.loc + scale * noise * gamma ** (1 / self.exponent)).to(self.loc.dtype)

    def unnormalized_log_prob(self, value: Tensor) -> Tensor:
        """Return -Σ_k λ_k |u_k - z_k|^p for every vector u of `value` (..., dim): the similarity of `LpInfoNCE`.

        Raises:
            ValueError: if the shape does not fit (and arguments are validated).
        """
        if self._validate_args:
            self._check_value(value)
        return -(self.concentration * (value - self.loc).abs() ** self.exponent).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of every vector of `value` (..., dim); differentiable in it and the parameters.

        Raises:
            ValueError: if the shape does not fit (and arguments are validated).
        """
        return self.unnormalized_log_prob(value) - self.log_normalizer

    @property
    def log_normalizer(self) -> Tensor:
        """Log of ∫ exp(-Σ_k λ_k |x_k|^p) dx = Σ_k log(2 Γ(1 + 1/p) λ_k^{-1/p}), of shape batch_shape."""
        one = math.log(2) + math.lgamma(1 + 1 / self.exponent)
        return (one - self.concentration.log() / self.exponent).sum(-1)

    def entropy(self) -> Tensor:
        """The entropy log_normalizer + d/p, of shape batch_shape."""
        return self.log_normalizer + self.event_shape[0] / self.exponent

    @property
    def mean(self) -> Tensor:
        """The location z, of shape batch_shape + (dim,)."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The location z, of shape batch_shape + (dim,)."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance λ^{-2/p} Γ(3/p)/Γ(1/p) of every coordinate, of shape batch_shape + (dim,)."""
        return self.absolute_moment(2)

    def absolute_moment(self, r: float) -> Tensor:
        """E|u_k - z_k|^r = λ_k^{-r/p} Γ((r + 1)/p)/Γ(1/p), r > -1, of shape batch_shape + (dim,)."""
        unit = math.exp(math.lgamma((r + 1) / self.exponent) - math.lgamma(1 / self.exponent))
        return unit * self.concentration ** (-r / self.exponent)
