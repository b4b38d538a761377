"""Exact samples of p(u) ∝ exp(-(u - z)ᵀ Λ (u - z)) on the sphere, by rejection.

Up to a constant p is a Fisher–Bingham density, exp(-q + 2y) with q = uᵀΛu, y = bᵀu, b = Λz. The axis {u, -u} comes
first, with density ∝ e^{-q} cosh 2y; the sign follows, + with probability sigmoid(4y).

For the axis, log cosh(2√v) is concave in v = y², so its tangent at y₀² bounds it: log cosh 2y <= log cosh 2y₀ + σ(y² - y₀²),
σ = tanh(2y₀)/y₀. With w = a + q - σy² = uᵀΩu, Ω = a + Λ - σbbᵀ, and (d/2) log w <= w + (d/2) log(d/2) - d/2,

    -q + log cosh 2y + (d/2) log w <= log M = a - y₀ tanh 2y₀ - d/2 + log cosh 2y₀ + (d/2) log(d/2),

and w^{-d/2} is the angular central Gaussian density with precision Ω, drawn as x/|x|, x ~ N(0, Ω⁻¹). This is exact for every
a > -min Λ and every y₀ with σ bᵀD⁻¹b < 1 (D = a + Λ); they set the acceptance only. Ω is a diagonal plus a rank-one
matrix, so a proposal costs O(d). The tangent is far tighter than κy <= κ(1 + y²)/2 of the classical scheme.

References:
    Rusak et al., arXiv 2407.00143, section 3 (the density). See also Kent, Ganeiber & Mardia (2018), "A new unified approach
    for the simulation of a wide class of directional distributions", JCGS (angular central Gaussian envelopes).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from aninfonce._typing import Float
from aninfonce.distributions._sphere import log_area

__all__ = ["NormalizerEstimate", "estimate_log_integral", "sample_fisher_bingham"]

_PROPOSALS = 2048  # once fewer rows than this remain, they get several proposals each, about this many in all
_NUMBERS = 2**17  # numbers in one block of proposals: small enough for the cache of a processor core
_NUMBERS_ACCELERATOR = 2**24


class NormalizerEstimate(NamedTuple):
    """A Monte Carlo estimate of a log normalising constant, and its standard error."""

    estimate: Tensor
    standard_error: Tensor


class _Envelope(NamedTuple):
    """What a proposal needs to know of its row. Coordinates stand first (columns are rows of the batch): torch adds
    over a leading dimension several times faster than over a short trailing one."""

    scale: Float[Tensor, "dim cols"]  # D^{-½}; a single column if all rows share Λ
    linear: Float[Tensor, "dim rows"]  # D^{-½} b
    constants: Float[Tensor, "5 rows"]  # g = (1 - σh)^{-½}; (g - 1)/h; σ; a - log M; log M - ½ log|Ω|


def sample_fisher_bingham(
    loc: Float[Tensor, "rows dim"],
    concentration: Float[Tensor, "#rows dim"],
    repeats: int,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "samples dim"]:
    """Draw `repeats` samples for every row, exactly.

    The Gaussians of the proposals are drawn in the dtype of `loc` (float32 at least); everything after them, the
    acceptance test above all, is float64.

    Arguments:
        loc: z, unit vectors.
        concentration: Λ, one row shared by all or one each; any real numbers.
        repeats: the number of samples for each row.
        generator: the source of randomness, on the device of `loc`.

    Returns:
        Samples of shape (repeats · rows, dim), all rows once, then all rows again, …; dtype of `loc`.
    """
    rows, dim = loc.shape
    envelope = _envelope(loc, concentration)
    samples = torch.empty(repeats * rows, dim, dtype=loc.dtype, device=loc.device)
    numbers = _NUMBERS if loc.device.type == "cpu" else _NUMBERS_ACCELERATOR
    proposals = max(1, min(_PROPOSALS, numbers // dim))
    for wanted in torch.arange(repeats * rows, device=loc.device).split(max(1, numbers // dim)):
        while len(wanted):
            tries = max(1, proposals // len(wanted))
            x, y, square, log_accept = _propose(envelope, wanted % rows, tries, loc.dtype, generator)
            accepted = _uniform(log_accept.shape, x, generator) < log_accept.exp()
            # Any accepted proposal of a row will do, as long as the choice looks at nothing else.
            done, which = accepted.max(0)
            columns = done.nonzero()[:, 0]
            chosen = which[columns] * len(wanted) + columns
            y, square = y.flatten()[chosen], square.flatten()[chosen]
            positive = _uniform(y.shape, x, generator) < torch.sigmoid(4 * y)
            u = x.flatten(1).index_select(1, chosen) * (square.rsqrt() * torch.where(positive, 1.0, -1.0))
            samples[wanted[columns]] = u.T.to(loc.dtype)
            wanted = wanted[(~done).nonzero()[:, 0]]
    return samples


def estimate_log_integral(
    loc: Float[Tensor, "rows dim"],
    concentration: Float[Tensor, "#rows dim"],
    n: int,
    generator: torch.Generator | None = None,
) -> NormalizerEstimate:
    """Estimate log ∫ exp(-uᵀΛu + 2bᵀu) du, b = Λz, from the acceptance of `n` proposals a row: it is

        acceptance · M · |S^{d-1}| · |Ω|^{-½}.

    The probabilities of acceptance are averaged, not their outcomes, which has the smaller variance.
    """
    envelope = _envelope(loc, concentration)
    dim = loc.shape[1]
    numbers = _NUMBERS if loc.device.type == "cpu" else _NUMBERS_ACCELERATOR
    tries = max(1, numbers // dim)
    means, errors = [], []
    for row in range(len(loc)):
        index = torch.tensor([row], device=loc.device)
        parts = [min(tries, n - start) for start in range(0, n, tries)]
        accept = torch.cat([_propose(envelope, index, k, loc.dtype, generator)[3].exp()[:, 0] for k in parts])
        mean = accept.mean()
        means.append(mean.log() + envelope.constants[4, row] + log_area(dim))
        errors.append(accept.std() / (math.sqrt(n) * mean))
    return NormalizerEstimate(torch.stack(means).to(loc.dtype), torch.stack(errors).to(loc.dtype))


def _uniform(shape: torch.Size, like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, dtype=like.dtype, device=like.device, generator=generator)


def _propose(
    envelope: _Envelope, columns: Tensor, tries: int, dtype: torch.dtype, generator: torch.Generator | None
) -> tuple[
    Float[Tensor, "dim tries cols"],
    Float[Tensor, "tries cols"],
    Float[Tensor, "tries cols"],
    Float[Tensor, "tries cols"],
]:
    """Propose `tries` points for each column: x (not normalised), y = bᵀx/|x|, |x|², and log P(accept)."""
    dim = len(envelope.linear)
    shared = envelope.scale.shape[1] == 1
    scale = (envelope.scale if shared else envelope.scale.index_select(1, columns))[:, None]
    linear = envelope.linear.index_select(1, columns)[:, None]
    g, c, sigma, offset, _ = envelope.constants.index_select(1, columns)
    noise = dtype if dtype == torch.float64 else torch.float32
    e = torch.randn(dim, tries, len(columns), dtype=noise, device=columns.device, generator=generator)
    e = e.to(torch.float64)
    # x = Ω^{-½}ε, with the square root D^{-½}(I + c mmᵀ) of Ω⁻¹, m = D^{-½}b; hence xᵀΩx = |ε|² and bᵀx = g mᵀε.
    along = (e * linear).sum(0)
    norm = (e * e).sum(0)
    x = torch.addcmul(e, linear, c * along).mul_(scale)
    square = (x * x).sum(0)
    w = norm / square
    y = g * along * square.rsqrt()
    twice = 2 * y.abs()
    # -q + log cosh 2y + (d/2) log w - log M, with q = w - a + σy²
    log_cosh = twice + torch.log1p(torch.exp(-2 * twice)) - math.log(2.0)
    return x, y, square, offset - w - sigma * y * y + log_cosh + dim / 2 * torch.log(w)


def _envelope(loc: Float[Tensor, "rows dim"], concentration: Float[Tensor, "#rows dim"]) -> _Envelope:
    dim = loc.shape[1]
    lam = concentration.to(torch.float64).T  # (dim, 1) or (dim, rows)
    shift = _shifts(concentration)
    d = shift + lam
    scale = d.rsqrt()
    linear = (loc.to(torch.float64).T * (lam * scale)).contiguous()
    h = (linear * linear).sum(0).clamp_min(1e-30)  # bᵀD⁻¹b; b = 0 is allowed when Λ is signed
    y0 = _tangent_point(h)
    tanh = torch.tanh(2 * y0)
    sigma = tanh / y0
    g = (1 - sigma * h).rsqrt()
    c = sigma * g * g / (g + 1)  # (g - 1)/h
    log_cosh = 2 * y0 + torch.log1p(torch.exp(-4 * y0)) - math.log(2.0)
    log_m_minus_a = log_cosh - y0 * tanh - dim / 2 + dim / 2 * math.log(dim / 2)
    log_det = torch.log(d).sum(0) - 2 * torch.log(g)  # |Ω| = Π D · (1 - σh)
    constants = torch.stack((g, c, sigma, -log_m_minus_a, shift + log_m_minus_a - log_det / 2))
    return _Envelope(scale, linear, constants)


def _tangent_point(h: Tensor) -> Tensor:
    """The y₀ of highest acceptance, the root of h(y tanh 2y + ½) = y², by Newton's iteration from above.

    From above it stays above, so that σh < 1; four steps reach machine precision, and fewer would do.
    """
    y = (h + torch.sqrt(h * (h + 2))) / 2
    for _ in range(4):
        tanh = torch.tanh(2 * y)
        y = y - (y * y - h * (y * tanh + 0.5)) / (2 * y - h * (tanh + 2 * y * (1 - tanh * tanh)))
    return y


def _shifts(concentration: Float[Tensor, "rows dim"]) -> Float[Tensor, " rows"]:
    """The shift a for every row of Λ, solved once for each distinct row."""
    device = concentration.device
    if len(concentration) == 1:  # the usual case, in loops that come back with the same Λ again and again
        shift = _cached_shift(tuple(concentration[0].tolist()))
        return torch.tensor([shift], dtype=torch.float64, device=device)
    distinct, index = torch.unique(concentration, dim=0, return_inverse=True)
    return _solve_shifts(distinct.to(torch.float64))[index]


@lru_cache(maxsize=256)
def _cached_shift(concentration: tuple[float, ...]) -> float:
    return float(_solve_shifts(torch.tensor([concentration], dtype=torch.float64)))


def _solve_shifts(lam: Float[Tensor, "rows dim"]) -> Float[Tensor, " rows"]:
    """The a that minimises log M - ½ log|Ω| for a typical z, z_i² = 1/d: the root of

        ½ [Σ 1/D_i + (2 y₀ tanh(2y₀)/h) Σ b_i²/D_i²] = 1,      D = a + Λ,  b_i² = λ_i²/d,

    by bisection. It sets the efficiency only, so three digits are plenty.
    """
    dim = lam.shape[1]
    lowest = lam.amin(1)
    b2 = lam * lam / dim
    low = 0.5 - lowest
    high = dim / 2 + 1 + b2.sum(1).sqrt() - lowest
    for _ in range(24):
        middle = (low + high) / 2
        d = middle[:, None] + lam
        h = (b2 / d).sum(1).clamp_min(1e-30)
        y0 = _tangent_point(h)
        factor = 2 * y0 * torch.tanh(2 * y0) / h
        above = (1 / d).sum(1) + factor * (b2 / (d * d)).sum(1) > 2
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (low + high) / 2
