"""Exact samples of p(u) ∝ exp(-(u - z)ᵀ Λ (u - z)) on the sphere, by rejection.

Up to a constant p is a Fisher–Bingham density, exp(-q + 2y) with q = uᵀΛu, y = bᵀu, b = Λz. The axis {u, -u} comes
first, with density ∝ e^{-q} cosh 2y; the sign follows, + with probability sigmoid(4y).

For the axis, log cosh(2√v) is concave in v = y², so its tangent at y₀² bounds it: with σ = tanh(2y₀)/y₀,
log cosh 2y <= log cosh 2y₀ + σ(y² - y₀²). Let w = a + q - σy² = uᵀΩu, Ω = a + Λ - σbbᵀ. Since
(d/2) log w <= w + (d/2) log(d/2) - d/2,

    -q + log cosh 2y + (d/2) log w <= log M = a - y₀ tanh 2y₀ - d/2 + log cosh 2y₀ + (d/2) log(d/2),

and w^{-d/2} is the angular central Gaussian density with precision Ω, drawn as x/|x|, x ~ N(0, Ω⁻¹). This is exact for
every a > -min Λ and every y₀ with σ bᵀD⁻¹b < 1 (D = a + Λ); they set the acceptance only. Ω is a diagonal plus a
rank-one matrix, so a proposal costs O(d). The tangent is far tighter than κy <= κ(1 + y²)/2 of the classical scheme.

References:
    Rusak et al., arXiv 2407.00143, section 3 (the density). See also Kent, Ganeiber & Mardia (2018), "A new unified
    approach for the simulation of a wide class of directional distributions", JCGS (angular central Gaussian
    envelopes).
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
_PATIENCE = 32  # proposals that a row is given under the shift shared by all rows


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

    A shared Λ comes with a shared shift a, the best for a typical z; a row that it does not serve within some tries
    gets its own, since z along an axis may otherwise wait for ever. The Gaussians of the proposals are drawn in the
    dtype of `loc` (float32 at least); everything after them, the acceptance test above all, is float64.

    Arguments:
        loc: z, unit vectors.
        concentration: Λ, one row shared by all or one each; any real numbers.
        repeats: the number of samples for each row.
        generator: the source of randomness, on the device of `loc`.

    Returns:
        Samples of shape (repeats · rows, dim), all rows once, then all rows again, …; dtype of `loc`.
    """
    rows, dim = loc.shape
    shared = len(concentration) == 1
    common = _envelope(loc, concentration, _typical_shift(concentration) if shared else _shifts(loc, concentration))
    samples = torch.empty(repeats * rows, dim, dtype=loc.dtype, device=loc.device)
    block = _block(loc)
    proposals = min(_PROPOSALS, block)
    for start in range(0, len(samples), block):
        wanted = torch.arange(start, min(start + block, len(samples)), device=loc.device)
        envelope, columns, tried, own = common, wanted % rows, 0, not shared
        while len(wanted):
            if not own and tried >= _PATIENCE:  # rows far from typical, where the common shift may be hopeless
                envelope = _envelope(loc[columns], concentration, _shifts(loc[columns], concentration))
                columns, own = torch.arange(len(wanted), device=loc.device), True
            tries = max(1, proposals // len(wanted))
            tried += tries
            x, y, square, log_accept = _propose(envelope, columns, tries, loc.dtype, generator)
            accepted = _uniform(log_accept.shape, x, generator) < log_accept.exp()
            # Any accepted proposal of a row will do, as long as the choice looks at nothing else.
            done, which = accepted.max(0)
            found = done.nonzero()[:, 0]
            chosen = which[found] * len(wanted) + found
            y, square = y.flatten()[chosen], square.flatten()[chosen]
            positive = _uniform(y.shape, x, generator) < torch.sigmoid(4 * y)
            u = x.flatten(1).index_select(1, chosen) * (square.rsqrt() * torch.where(positive, 1.0, -1.0))
            samples[wanted[found]] = u.T.to(loc.dtype)
            left = (~done).nonzero()[:, 0]
            wanted, columns = wanted[left], columns[left]
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
    envelope = _envelope(loc, concentration, _shifts(loc, concentration))
    tries = _block(loc)
    means, errors = [], []
    for row in range(len(loc)):
        index = torch.tensor([row], device=loc.device)
        parts = [min(tries, n - start) for start in range(0, n, tries)]
        accept = torch.cat([_propose(envelope, index, k, loc.dtype, generator)[3].exp()[:, 0] for k in parts])
        mean = accept.mean()
        means.append(mean.log() + envelope.constants[4, row] + log_area(loc.shape[1]))
        errors.append(accept.std() / (math.sqrt(n) * mean))
    return NormalizerEstimate(torch.stack(means).to(loc.dtype), torch.stack(errors).to(loc.dtype))


def _block(loc: Float[Tensor, "rows dim"]) -> int:
    numbers = _NUMBERS if loc.device.type == "cpu" else _NUMBERS_ACCELERATOR
    return max(1, numbers // loc.shape[1])


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


def _envelope(
    loc: Float[Tensor, "rows dim"], concentration: Float[Tensor, "#rows dim"], shift: Float[Tensor, " #rows"]
) -> _Envelope:
    dim = loc.shape[1]
    lam = concentration.to(torch.float64).T  # (dim, 1) or (dim, rows)
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
    """Near the y₀ of highest acceptance, the root of h(y tanh 2y + ½) = y², by Newton's iteration from above.

    From above it stays above, so that σh < 1. Two steps come within 1e-4, and any y₀ leaves the samples exact.
    """
    y = (h + torch.sqrt(h * (h + 2))) / 2
    for _ in range(2):
        tanh = torch.tanh(2 * y)
        y = y - (y * y - h * (y * tanh + 0.5)) / (2 * y - h * (tanh + 2 * y * (1 - tanh * tanh)))
    return y


def _shifts(loc: Float[Tensor, "rows dim"], concentration: Float[Tensor, "#rows dim"]) -> Float[Tensor, " rows"]:
    """The best shift a for every row."""
    lam = concentration.to(torch.float64).T
    return _best_shifts(lam, (lam * loc.to(torch.float64).T) ** 2)


def _typical_shift(concentration: Float[Tensor, "1 dim"]) -> Float[Tensor, " 1"]:
    """The best shift a for a typical z, z_i² = 1/d. Training loops come back with the same Λ again and again."""
    shift = _cached_shift(tuple(concentration[0].tolist()))
    return torch.tensor([shift], dtype=torch.float64, device=concentration.device)


@lru_cache(maxsize=256)
def _cached_shift(concentration: tuple[float, ...]) -> float:
    lam = torch.tensor(concentration, dtype=torch.float64)[:, None]
    return float(_best_shifts(lam, lam * lam / len(lam)))


def _best_shifts(lam: Float[Tensor, " dim #rows"], b2: Float[Tensor, "dim rows"]) -> Float[Tensor, " rows"]:
    """The a that minimises log M - ½ log|Ω|, the root of

        ½ [Σ 1/D_i + (2 y₀ tanh(2y₀)/h) Σ b_i²/D_i²] = 1,      D = a + Λ.

    It sets the efficiency only, so ten bisections of log(a + min Λ) are plenty.
    """
    lowest = lam.amin(0)
    low = torch.full_like(b2[0], 0.5)
    high = len(lam) / 2 + 1 + b2.sum(0).sqrt()
    for _ in range(10):
        middle = torch.sqrt(low * high)
        r = 1 / (middle - lowest + lam)
        strength = b2 * r
        h = strength.sum(0).clamp_min(1e-30)
        y0 = _tangent_point(h)
        above = r.sum(0) + 2 * y0 * torch.tanh(2 * y0) / h * (strength * r).sum(0) > 2
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return torch.sqrt(low * high) - lowest
