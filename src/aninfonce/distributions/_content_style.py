"""Content and style: a conditional that copies some coordinates exactly and redraws the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from aninfonce.distributions._euclidean import EuclideanDistribution, check_vectors
from aninfonce.distributions._sphere import ONE_SAMPLE, broadcast_shapes
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

    def expand(self, batch_shape: _size, _instance: None = None) -> ContentStyleConditional:
        """Return the same distribution with a larger batch shape, without copying."""
        new = ContentStyleConditional(
            self.loc.expand((*batch_shape, self.event_shape[0])),
            self.style,
            self.style_law.expand(torch.Size(batch_shape)),
            self.change_probability,
            validate_args=False,
        )
        new._validate_args = self._validate_args
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
        if bool((self.change_probability < 1).any()):
            raise NotImplementedError(
                "log_prob needs change_probability=1: a style coordinate that stays put with positive probability "
                "has an atom and hence no density"
            )
        if self._validate_args:
            self._check_value(value)
        same = (value[..., self.content] == self.loc[..., self.content]).all(-1)
        return torch.where(same, self.style_law.log_prob(value[..., self.style]), -torch.inf)
