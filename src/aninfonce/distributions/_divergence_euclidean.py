"""Kullback–Leibler divergences between the laws on R^d and on boxes, where they have a closed form.

KL(p‖q) = -H(p) - E_p log q, and E_p log q takes E_p|u_k - z_k|^r, with z and the exponent r of q. It is closed for
r = 2 (mean and variance), for laws around the same z, for uniform laws, and between Laplace laws (r = 1). Where p gives
mass to points outside the support of q, it is infinite. Registered with torch: `torch.distributions.kl_divergence`.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from aninfonce.distributions._box import UniformBox
from aninfonce.distributions._content_style import ContentStyleConditional
from aninfonce.distributions._euclidean import EuclideanDistribution
from aninfonce.distributions._generalized_normal import GeneralizedNormal
from aninfonce.distributions._registration import divergence
from aninfonce.distributions._sphere import broadcast_shapes
from aninfonce.distributions._truncated_generalized_normal import TruncatedGeneralizedNormal

__all__: list[str] = []

Boxed: TypeAlias = UniformBox | TruncatedGeneralizedNormal
Powered: TypeAlias = GeneralizedNormal | TruncatedGeneralizedNormal


def _check_dims(p: EuclideanDistribution, q: EuclideanDistribution) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(f"p and q must have one dimension, got {p.event_shape[0]} and {q.event_shape[0]}")


def _within(p: Boxed, q: Boxed, distance: Tensor) -> Tensor:
    """`distance` where the box of p lies in that of q, else infinity."""
    inside = ((q.low <= p.low) & (p.high <= q.high)).all(-1)
    return torch.where(inside, distance, torch.inf)


def _nowhere_inside(p: EuclideanDistribution, q: EuclideanDistribution) -> Tensor:
    return p.entropy().new_full(broadcast_shapes(p.batch_shape, q.batch_shape), torch.inf)


@divergence((UniformBox, UniformBox), (TruncatedGeneralizedNormal, UniformBox))
def _from_box(p: Boxed, q: UniformBox) -> Tensor:
    """log vol(q) - H(p)."""
    _check_dims(p, q)
    return _within(p, q, (q.entropy() - p.entropy()).clamp_min(0))


@divergence((GeneralizedNormal, UniformBox), (GeneralizedNormal, TruncatedGeneralizedNormal))
def _unbounded_from_box(p: GeneralizedNormal, q: Boxed) -> Tensor:
    """Infinite: p has mass outside every box."""
    _check_dims(p, q)
    return _nowhere_inside(p, q)


@divergence(
    (UniformBox, GeneralizedNormal),
    (GeneralizedNormal, GeneralizedNormal),
    (TruncatedGeneralizedNormal, GeneralizedNormal),
)
def _from_generalized_normal(p: Boxed | GeneralizedNormal, q: GeneralizedNormal) -> Tensor:
    """-H(p) + Σ λ_k E_p|u_k - z_k|^r + the log normaliser, with λ, z, r of q."""
    _check_dims(p, q)
    distance = (q.concentration * _expected_power(p, q)).sum(-1)
    return (distance + q.log_normalizer - p.entropy()).clamp_min(0)


@divergence(
    (UniformBox, TruncatedGeneralizedNormal),
    (TruncatedGeneralizedNormal, TruncatedGeneralizedNormal),
)
def _from_truncated(p: Boxed, q: TruncatedGeneralizedNormal) -> Tensor:
    """As for the law that is not truncated, where the box of p lies in that of q."""
    _check_dims(p, q)
    distance = (q.concentration * _expected_power(p, q)).sum(-1)
    return _within(p, q, (distance + q.log_normalizer - p.entropy()).clamp_min(0))


@divergence((ContentStyleConditional, ContentStyleConditional))
def _from_content_style(p: ContentStyleConditional, q: ContentStyleConditional) -> Tensor:
    """The divergence of the styles' laws where the content is the same, else infinity.

    Raises:
        ValueError: if the style coordinates are not the same.
        NotImplementedError: if a change probability is below 1, or the styles' divergence has no closed form.
    """
    _check_dims(p, q)
    if p.style != q.style:
        raise ValueError(f"p and q must have the same style coordinates, got {p.style} and {q.style}")
    for law in (p, q):
        if bool((law.change_probability < 1).any()):
            raise NotImplementedError("the divergence needs change_probability=1, where the style has a density")
    same = (p.loc[..., p.content] == q.loc[..., q.content]).all(-1)
    return torch.where(same, kl_divergence(p.style_law, q.style_law), torch.inf)


def _expected_power(p: Boxed | GeneralizedNormal, q: Powered) -> Tensor:
    """E_p|u_k - z_k|^r of every coordinate, with z and r of q."""
    z, r = q.loc, q.exponent
    if isinstance(p, UniformBox):
        # The integral of |x|^r is sign(x)|x|^{r+1}/(r + 1).
        high, low = ((x - z).sign() * (x - z).abs() ** (r + 1) for x in (p.high, p.low))
        return (high - low) / ((r + 1) * (p.high - p.low))
    if r == 2:
        return p.variance + (p.mean - z) ** 2
    if bool((p.loc == z).all()):
        return p.absolute_moment(r)
    if isinstance(p, GeneralizedNormal) and p.exponent == r == 1:
        shift = (p.loc - z).abs()
        return shift + torch.exp(-p.concentration * shift) / p.concentration
    raise NotImplementedError(
        f"no closed form for exponents {p.exponent:g} and {r:g} around different loc; there is one for the second "
        "exponent 2, for the same loc, and between Laplace laws (exponent 1, no box)"
    )
