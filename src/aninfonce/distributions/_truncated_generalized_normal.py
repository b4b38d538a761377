"""The generalised normal distribution truncated to a box, exactly: samples, density and normalising constant.

Coordinates are independent. In units of λ^{-1/p} around z, with the distances a = λ^{1/p}(z - low) >= 0 and
b = λ^{1/p}(high - z) >= 0 to the two walls, everything follows from the partial moments

    I_m(t) = ∫_0^t s^m e^{-s^p} ds = Γ((m+1)/p)/p · P((m+1)/p, t^p),

where P is the regularised lower incomplete gamma function: the mass is I_0(a) + I_0(b), the mean I_1(b) - I_1(a) over
it, and samples invert I_0. With z inside the box the mass is a sum of positive terms and keeps its digits for every λ.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from aninfonce._typing import Float
from aninfonce.distributions._euclidean import (
    Box,
    EuclideanDistribution,
    check_box,
    check_concentration,
    check_coordinates,
    check_exponent,
    check_inside,
    check_vectors,
    where_inside,
)
from aninfonce.distributions._law import ONE_SAMPLE, positive_vector
from aninfonce.distributions._sphere import broadcast_shapes
from aninfonce.distributions._validation import validates

__all__ = ["TruncatedGeneralizedNormal"]

_FLAT = 1e-18  # t^p below this is nothing next to 1 in float64: I_m(t) = t^{m+1}/(m+1), also where t^p underflows


class TruncatedGeneralizedNormal(EuclideanDistribution):
    """The conditional p(u | z) ∝ exp(-Σ_k λ_k |u_k - z_k|^p) on the box [low, high], z inside it.

    The normalising constant C(z) depends on z: near a wall more of the free law is cut off. In a contrastive loss it
    cancels when anchors are marginal draws and their negatives too, since the softmax normalises each anchor by itself
    (`LpInfoNCE` with negatives_from="anchors", symmetric=False).

    A sample costs one uniform number and one inversion a coordinate, whatever the parameters: nothing is rejected. The
    inversion is in closed form for p = 1 and p = 2, and else SciPy's, about 1 µs, on the CPU. Float64 throughout, which
    the device must know.

    Arguments:
        loc: z, shape (..., dim), dim >= 1, inside the box (walls included).
        concentration: λ > 0: a number, or one for each coordinate, shape (dim,) or (..., dim), broadcast with `loc`.
        exponent: p > 0, one number.
        low: the smallest values: a number, or a shape that broadcasts with `loc`.
        high: the largest values, of the same form as `low`.
        validate_args: whether to check the values; if None, yes, unless Python runs with -O.

    Raises:
        TypeError: if `loc` is not a floating-point tensor.
        ValueError: if the shapes do not fit, an argument is not finite, `concentration` or `exponent` is not positive,
            `low` is not less than `high`, or `loc` is outside the box.

    See also:
        GeneralizedNormal: the same on R^d.
        UniformBox: the marginal that goes with it.

    References:
        Zimmermann et al., "Contrastive Learning Inverts the Data Generating Process", arXiv 2102.08850, section 3.2.

    Example:
        >>> z = torch.tensor([0.9, 0.0])
        >>> positive = TruncatedGeneralizedNormal(z, 3.0, exponent=1.0, low=-1.0, high=1.0)
        >>> u = positive.sample((1000,), generator=torch.Generator().manual_seed(0))
        >>> bool((u.abs() <= 1).all()), [round(m, 2) for m in positive.mean.tolist()]
        (True, [0.65, 0.0])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": constraints.real_vector,
        "concentration": positive_vector,
        "low": constraints.real_vector,
        "high": constraints.real_vector,
    }
    _batched: ClassVar[dict[str, int]] = {"loc": 1, "concentration": 1, "low": 1, "high": 1}
    _settings: ClassVar[tuple[str, ...]] = ("exponent",)

    def __init__(
        self,
        loc: Tensor,
        concentration: Tensor | float,
        exponent: float,
        low: Tensor | float,
        high: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        checks = validates(validate_args)
        check_vectors("loc", loc, checks)
        concentration = check_concentration(concentration, loc, checks)
        self.exponent = check_exponent(exponent)
        low = check_coordinates("low", low, loc, checks)
        high = check_coordinates("high", high, loc, checks)
        shape = broadcast_shapes(loc.shape, concentration.shape, low.shape, high.shape)
        if checks:
            check_box(low, high)
            check_inside("loc", loc, low, high)
        self.loc = loc.expand(shape)
        self.concentration = concentration.expand(shape)
        self.low = low.expand(shape)
        self.high = high.expand(shape)
        super().__init__(shape[:-1], shape[-1], checks)

    def sample(self, sample_shape: _size = ONE_SAMPLE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw samples of shape sample_shape + batch_shape + (dim,), by inversion: monotone in the uniform numbers.

        Arguments:
            sample_shape: how many samples for each distribution of the batch.
            generator: the source of randomness, on the device of `loc`; torch's global one if None.
        """
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            unit, below, above = self._walls()
            left, right = partial_moment(below, self.exponent, 0), partial_moment(above, self.exponent, 0)
            uniform = torch.rand(shape, dtype=torch.float64, device=self.loc.device, generator=generator)
            mass = torch.lerp(-left, right, uniform)  # the signed integral from z to the sample
            x = self.loc + unit * mass.sign() * _invert(mass.abs(), self.exponent)
            return x.to(self.loc.dtype).clamp(self.low, self.high)  # rounding may have passed a wall

    def unnormalized_log_prob(self, value: Tensor) -> Tensor:
        """Return -Σ_k λ_k |u_k - z_k|^p for every vector u of `value` (..., dim) in the box, and -∞ outside.

        Raises:
            ValueError: if the shape does not fit (and arguments are validated).
        """
        if self._validate_args:
            self._check_value(value)
        inside = self.support.check(value)
        similarity = -(self.concentration * (value - self.loc).abs() ** self.exponent).sum(-1)
        return where_inside(inside, value, similarity)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of every vector of `value` (..., dim), -∞ outside the box.

        Differentiable in the value and in all parameters but the exponent.

        Raises:
            ValueError: if the shape does not fit (and arguments are validated).
        """
        return self.unnormalized_log_prob(value) - self.log_normalizer

    @property
    def log_normalizer(self) -> Tensor:
        """Log of C(z) = ∫ exp(-Σ_k λ_k |u_k - z_k|^p) du over the box, of shape batch_shape; it depends on z."""
        unit, below, above = self._walls()
        return (unit * self._moment(0, below, above)).log().sum(-1).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        """The mean, of shape batch_shape + (dim,): pushed inwards from z."""
        unit, below, above = self._walls()
        return (self.loc + unit * self._first(below, above)).to(self.loc.dtype)

    @property
    def mode(self) -> Tensor:
        """The location z, of shape batch_shape + (dim,)."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of every coordinate, of shape batch_shape + (dim,)."""
        unit, below, above = self._walls()
        second = self._moment(2, below, above) / self._moment(0, below, above)
        return (unit**2 * (second - self._first(below, above) ** 2)).to(self.loc.dtype)

    def absolute_moment(self, r: float) -> Tensor:
        """E|u_k - z_k|^r, r > -1, of shape batch_shape + (dim,): λ_k^{-r/p} (I_r(a) + I_r(b)) over the mass."""
        unit, below, above = self._walls()
        return (unit**r * self._moment(r, below, above) / self._moment(0, below, above)).to(self.loc.dtype)

    def entropy(self) -> Tensor:
        """The entropy log C(z) + E Σ_k λ_k |u_k - z_k|^p, of shape batch_shape."""
        _, below, above = self._walls()
        distance = self._moment(self.exponent, below, above) / self._moment(0, below, above)
        return self.log_normalizer + distance.sum(-1).to(self.loc.dtype)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> Box:
        """The box."""
        return Box(self.low, self.high)

    def _walls(self) -> tuple[Tensor, Tensor, Tensor]:
        """The unit of length λ^{-1/p}, and in it the distances a, b from z to the lower and the upper wall."""
        loc = self.loc.double()
        unit = self.concentration.double() ** (-1 / self.exponent)
        return unit, (loc - self.low) / unit, (self.high - loc) / unit

    def _moment(self, m: float, below: Tensor, above: Tensor) -> Tensor:
        return partial_moment(below, self.exponent, m) + partial_moment(above, self.exponent, m)

    def _first(self, below: Tensor, above: Tensor) -> Tensor:
        difference = partial_moment(above, self.exponent, 1) - partial_moment(below, self.exponent, 1)
        return difference / self._moment(0, below, above)


class _PartialMoment(torch.autograd.Function):
    """I_m(t); the derivative t^m e^{-t^p} is written out, since that of P is infinite at 0."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, exponent: float, m: float) -> Tensor:
        ctx.save_for_backward(t)
        ctx.exponent, ctx.m = exponent, m
        shape, x = (m + 1) / exponent, t**exponent
        complete = math.gamma(shape) / exponent
        moment = complete * torch.special.gammainc(x.new_tensor(shape), x)
        return torch.where(x < _FLAT, t ** (m + 1) / (m + 1), moment)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (t,) = ctx.saved_tensors
        return grad * t**ctx.m * torch.exp(-(t**ctx.exponent)), None, None


def partial_moment(t: Float[Tensor, "*batch"], exponent: float, m: float) -> Float[Tensor, "*batch"]:
    """I_m(t) = ∫_0^t s^m e^{-s^p} ds for t >= 0, float64; differentiable in t."""
    return cast(Tensor, _PartialMoment.apply(t, exponent, m))


def _invert(mass: Float[Tensor, "*batch"], exponent: float) -> Float[Tensor, "*batch"]:
    """The t >= 0 with I_0(t) = mass; infinite where the mass is all there is, Γ(1 + 1/p)."""
    fraction = (mass / math.gamma(1 + 1 / exponent)).clamp(max=1)
    if exponent == 1:
        return -torch.log1p(-fraction)
    if exponent == 2:
        t: Tensor = torch.special.erfinv(fraction)
        return t
    from scipy.special import gammaincinv  # here: the import takes a while, and only this form needs it

    x = torch.from_numpy(gammaincinv(1 / exponent, fraction.cpu().numpy())).to(mass.device)
    return torch.where(x < _FLAT, mass, x ** (1 / exponent))
