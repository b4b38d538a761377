"""Content and style: a conditional that copies some coordinates exactly and redraws the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from aninfonce.distributions._euclidean import EuclideanDistribution, check_vectors, where_inside
from aninfonce.distributions._law import ONE_SAMPLE
from aninfonce.distributions._sphere import broadcast_shapes
from aninfonce.distributions._validation import validates

__all__ = ["ContentStyleConditional"]


class ContentStyleConditional(EuclideanDistribution):
    """The conditional p(c̃, s̃ | c, s) = δ(c̃ - c) p(s̃ | s) on R^d: the content c is shared, the style s may change.

    With a `change_probability` q below 1, every style coordinate changes only with probability q_k, independently: a
    random subset A of the style is redrawn, s̃_A ~ p(s̃_A | s), and the rest copied. All q_k > 0 is what the theory asks
    of the subsets: every style coordinate changes sometimes.

    Content is the limit λ → ∞ of a coordinate of the anisotropic conditionals, and is all that the contrastive loss
    needs to keep: theory promises the content as a block, up to an invertible map, and nothing of the style.

    Arguments:
        loc: z = (c, s), shape (..., dim).
        style: the indices of the style coordinates, distinct, at least one and not all.
        style_law: p(s̃ | s), a distribution of this package on R^d or a box in R^d, of event shape (len(style),), whose
            batch shape broadcasts with that of `loc`; usually around loc[..., style], but a marginal does as well.
        change_probability: q in (0, 1]: a number, or one for each style coordinate in the order of `style`.
        validate_args: whether to check the values; if None, yes, unless Python runs with -O.

    Raises:
        TypeError: if `loc` is not a floating-point tensor.
        ValueError: if the shapes do not fit, `loc` is not finite, `style` is not such a set of indices, or a
            probability is not in (0, 1].

    See also:
        GeneralizedNormal, TruncatedGeneralizedNormal, UniformBox: laws of the style.

    References:
        von Kügelgen et al., "Self-Supervised Learning with Data Augmentations Provably Isolates Content from Style",
        arXiv 2106.04619, Assumptions 3.1 (content invariance) and 3.2 (style changes).

    Example:
        >>> from aninfonce.distributions import GeneralizedNormal
        >>> z, style = torch.tensor([0.5, -1.0, 2.0]), [1, 2]
        >>> law = GeneralizedNormal(z[..., style], concentration=4.0, exponent=2.0)
        >>> positive = ContentStyleConditional(z, style, law)
        >>> u = positive.sample((5,), generator=torch.Generator().manual_seed(0))
        >>> u[:, 0].tolist()
        [0.5, 0.5, 0.5, 0.5, 0.5]
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {"loc": constraints.real_vector}
    _batched: ClassVar[dict[str, int]] = {"loc": 1}
    _settings: ClassVar[tuple[str, ...]] = ("style", "style_law", "change_probability")

    def __init__(
        self,
        loc: Tensor,
        style: Sequence[int],
        style_law: EuclideanDistribution,
        change_probability: Tensor | float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        checks = validates(validate_args)
        check_vectors("loc", loc, checks)
        dim = loc.shape[-1]
        self.style = list(style)
        self.content = sorted(set(range(dim)) - set(style))
        # Distinct indices in range leave exactly dim - len(style) over.
        if not style or not self.content or len(self.content) + len(style) != dim:
            raise ValueError(f"style must be distinct indices from 0 to {dim - 1}, not none and not all, got {style}")
        if style_law.event_shape != (len(style),):
            raise ValueError(f"style_law must have event shape ({len(style)},), got {tuple(style_law.event_shape)}")
        probability = torch.as_tensor(change_probability, dtype=loc.dtype, device=loc.device)
        if probability.shape not in ((), (len(style),)):
            raise ValueError(
                f"change_probability must be a number or have shape ({len(style)},), got {tuple(probability.shape)}"
            )
        if checks and not bool(((probability > 0) & (probability <= 1)).all()):
            raise ValueError(f"change_probability must lie in (0, 1], got {probability.tolist()}")
        batch_shape = broadcast_shapes(loc.shape[:-1], style_law.batch_shape)
        self.loc = loc.expand((*batch_shape, dim))
        self.style_law = style_law.expand(batch_shape)
        self.change_probability = probability.expand(len(style))
        super().__init__(batch_shape, dim, checks)

    def expand(self, batch_shape: _size, _instance: ContentStyleConditional | None = None) -> ContentStyleConditional:
        """Return the same distribution with a larger batch shape, without copying; see `Law.expand`."""
        new = super().expand(batch_shape, _instance)
        new.style_law = self.style_law.expand(new.batch_shape)
        return new

    def sample(self, sample_shape: _size = ONE_SAMPLE, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw samples of shape sample_shape + batch_shape + (dim,).

        Arguments:
            sample_shape: how many samples for each distribution of the batch.
            generator: the source of randomness, on the device of `loc`; torch's global one if None.
        """
        with torch.no_grad():
            u = self.loc.expand(self._extended_shape(sample_shape)).clone()
            changed = self.style_law.sample(sample_shape, generator=generator).to(u.dtype)
            # A uniform number below one is always less than q = 1; its grid is as fine as q's own.
            draw = torch.rand(changed.shape, dtype=torch.float32, device=u.device, generator=generator)
            u[..., self.style] = torch.where(draw < self.change_probability, changed, u[..., self.style])
            return u

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density p(s̃ | s) of every vector of `value` (..., dim), -∞ where the content is not c.

        It is with respect to the Lebesgue measure of the style coordinates, at the content c: on R^d the law has no
        density.

        Raises:
            ValueError: if the shape does not fit (and arguments are validated).
            NotImplementedError: if a change probability is below 1: style coordinates that stay have atoms, and with
                them the law has no density with respect to that measure either.
        """
        self._check_density("log_prob")
        if self._validate_args:
            self._check_value(value)
        same = (value[..., self.content] == self.loc[..., self.content]).all(-1)
        return where_inside(same, value, self.style_law.log_prob(value[..., self.style]))

    def _check_density(self, name: str) -> None:
        if bool((self.change_probability < 1).any()):
            raise NotImplementedError(
                f"{name} needs change_probability=1: a style coordinate that stays put with positive probability "
                "has an atom and hence no density"
            )

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> SharedContent:
        """Vectors with this content whose style may be drawn, or has stayed where that can be."""
        return SharedContent(self)

    @property
    def mean(self) -> Tensor:
        """The mean, of shape batch_shape + (dim,): the content, and (1 - q) s + q E[s̃ | s]."""
        return self._with_style(self._style_moments()[0])

    @property
    def variance(self) -> Tensor:
        """The variance of every coordinate, of shape batch_shape + (dim,); 0 for the content."""
        first, second = self._style_moments()
        return torch.zeros_like(self.loc).index_copy(-1, self._places(), (second - first**2).clamp_min(0))

    @property
    def mode(self) -> Tensor:
        """The content with the mode of the style's law.

        Raises:
            NotImplementedError: as `log_prob`.
        """
        self._check_density("mode")
        return self._with_style(self.style_law.mode.to(self.loc.dtype))

    def entropy(self) -> Tensor:
        """The entropy of the style, of shape batch_shape, with respect to the measure of `log_prob`.

        Raises:
            NotImplementedError: as `log_prob`.
        """
        self._check_density("entropy")
        return self.style_law.entropy()

    def _style_moments(self) -> tuple[Tensor, Tensor]:
        """First and second moments of the style coordinates: copied with probability 1 - q, else redrawn."""
        s, q, law = self.loc[..., self.style], self.change_probability, self.style_law
        first = (1 - q) * s + q * law.mean
        return first, (1 - q) * s**2 + q * (law.variance + law.mean**2)

    def _with_style(self, style: Tensor) -> Tensor:
        return self.loc.index_copy(-1, self._places(), style.to(self.loc.dtype))

    def _places(self) -> Tensor:
        return torch.tensor(self.style, device=self.loc.device)


class SharedContent(constraints.Constraint):
    """Vectors (last dimension) that a `ContentStyleConditional` can give."""

    event_dim = 1

    def __init__(self, law: ContentStyleConditional) -> None:
        self.law = law
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Return, for each vector of `value` (..., dim), whether it can be drawn."""
        law = self.law
        same = (value[..., law.content] == law.loc[..., law.content]).all(-1)
        style, kept = value[..., law.style], value[..., law.style] == law.loc[..., law.style]
        # A coordinate that stayed where it was is no matter of the style's law: its mean stands in for it.
        drawn = torch.where(kept & (law.change_probability < 1), law.style_law.mean.to(style.dtype), style)
        support = cast(constraints.Constraint, law.style_law.support)
        inside: Tensor = support.check(drawn)  # type: ignore[no-untyped-call]
        return same & inside
