"""The normalising constant of exponential-quadratic densities on the sphere, by contour integration.

With C(Λ, b) = ∫_{S^{d-1}} exp(-uᵀΛu + 2bᵀu) du, the Gaussian integral in polar coordinates, x = √p u, reads

    ∫_{R^d} exp(-xᵀ(Λ + s)x + 2bᵀx) dx = ∫_0^∞ e^{-sp} ½ p^{d/2-1} C(pΛ, √p b) dp
                                       = π^{d/2} Π(λ_i + s)^{-½} exp(Σ b_i²/(λ_i + s)),

a Laplace transform in p. Inverted at p = 1, with K(s) = s + Σ b_i²/(λ_i + s) - ½ Σ log(λ_i + s),

    C(Λ, b) = (π^{d/2} / πi) ∫_{s₀-i∞}^{s₀+i∞} e^{K(s)} ds,      s₀ > -min Λ.

s₀ is the real saddle point. The contour is bent into the hyperbola s₀ + ζ(w), ζ(w) = ρ(-α(cosh w - 1) + i sinh w),
whose curvature at s₀ is that of steepest descent. K being real on the axis, half of it suffices. The asymptotic slope
α < 1 keeps arg ζ within [90°, 135°), where every term of K(s₀ + ζ) - K(s₀) has a negative real part, however
unequal the λ_i: nothing grows, and the trapezoid rule converges exponentially.

References:
    See also Kume & Wood (2005), "Saddlepoint approximations for the Bingham and Fisher–Bingham normalising constants",
    Biometrika; Chen & Tanaka (2021), "Maximum likelihood estimation of the Fisher–Bingham distribution via efficient
    calculation of its normalizing constant", Statistics and Computing; Weideman & Trefethen (2007), "Parabolic and
    hyperbolic contours for computing the Bromwich integral", Mathematics of Computation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aninfonce._typing import Float
from aninfonce.distributions._sphere import broadcast_shapes

__all__ = ["log_sphere_integral", "moments"]

_SLOPE = 0.6  # α: 0.5 to 0.7 do equally well
_NODES = 56  # 48 give 1e-12
_NEWTON = 30
_DROP = 40.0  # the contour is cut where the integrand has fallen by e^-40
_BLOCK = 2**18  # numbers in one block of rows


def log_sphere_integral(concentration: Tensor, linear: Tensor, repeats: int = 1) -> Tensor:
    """Log of C(Λ, b) = ∫_{S^{d-1}} exp(-uᵀΛu + 2bᵀu) du, for any real diagonal Λ and any vector b.

    Differentiable (any number of times) in both arguments. Computed in float64 whatever the dtype; the relative error
    of C is about 1e-12 or, where log C itself is large, the rounding of log C.

    Arguments:
        concentration: Λ, any real numbers, shape (terms,) or (..., terms).
        linear: b, shape (..., terms).
        repeats: the multiplicity of every entry of Λ; the sphere then has d = repeats · terms dimensions, and an entry
            of `linear` is the norm of b over the dimensions that share it. The isotropic case is terms = 1.

    Returns:
        log C, of the broadcast shape without its last dimension, in the dtype of `linear`.

    Example:
        >>> zero = torch.zeros(3, dtype=torch.float64)
        >>> round(log_sphere_integral(zero, zero).exp().item() / math.pi, 10)  # the area of S²: 4π
        4.0
    """
    shape = broadcast_shapes(concentration.shape, linear.shape)
    # Coordinates first: torch adds over a leading dimension several times faster than over a short trailing one.
    b = linear.to(torch.float64).expand(shape).reshape(-1, shape[-1]).T
    lam = concentration.to(torch.float64).expand(shape).reshape(-1, shape[-1]).T
    rows = max(1, _BLOCK // (shape[-1] * (_NODES + 1)))
    blocks = [
        _log_integral(lam[:, start : start + rows], b[:, start : start + rows], repeats)
        for start in range(0, max(1, b.shape[1]), rows)
    ]
    return torch.cat(blocks).reshape(shape[:-1]).to(linear.dtype)


def moments(concentration: Tensor, linear: Tensor) -> tuple[Tensor, Tensor]:
    """First and second moments of the density ∝ exp(-uᵀΛu + 2bᵀu): E[u_i] = ½ ∂log C/∂b_i and E[u_i²] = -∂log C/∂λ_i.

    Arguments:
        concentration: Λ, shape (..., dim).
        linear: b, shape (..., dim).

    Returns:
        E[u] and E[u²], both (..., dim) and float64; differentiable if an argument requires a gradient.
    """
    differentiable = torch.is_grad_enabled() and (concentration.requires_grad or linear.requires_grad)
    shape = broadcast_shapes(concentration.shape, linear.shape)
    with torch.enable_grad():
        # Copies of their own, so that every row of an expanded Λ gets its own derivative.
        lam = concentration.to(torch.float64).expand(shape).clone()
        b = linear.to(torch.float64).expand(shape).clone()
        if not differentiable:
            lam, b = lam.detach(), b.detach()
        lam = lam if lam.requires_grad else lam.requires_grad_()
        b = b if b.requires_grad else b.requires_grad_()
        by_lam, by_b = torch.autograd.grad(log_sphere_integral(lam, b).sum(), (lam, b), create_graph=differentiable)
    return by_b / 2, -by_lam


def _log_integral(
    lam: Float[Tensor, "terms rows"], b: Float[Tensor, "terms rows"], repeats: int
) -> Float[Tensor, " rows"]:
    dim = repeats * len(lam)
    b2 = b * b
    with torch.no_grad():  # where the contour runs does not change the integral, hence not its derivative either
        s0 = _saddle_point(lam, b2, repeats)
        scale, end = _contour(lam + s0, b2, repeats)
    step = end / _NODES
    w = step[:, None] * torch.arange(_NODES + 1, dtype=lam.dtype, device=lam.device)  # (rows, nodes)
    real, imag = _rise(_zeta(w, scale), lam + s0, b2, repeats)
    # Im(e^rise dζ/dw), dζ/dw = ρ(-α sinh w + i cosh w)
    tangent = torch.cosh(w) * torch.cos(imag) - _SLOPE * torch.sinh(w) * torch.sin(imag)
    values = torch.exp(real) * tangent
    total = values.sum(1) - values[:, 0] / 2  # trapezoid; at the far end nothing is left
    peak = s0 + (b2 / (lam + s0)).sum(0) - repeats / 2 * torch.log(lam + s0).sum(0)  # K(s₀)
    # The two conjugate halves of the contour: (π^{d/2}/πi) · 2i · Im ∫.
    return peak + torch.log(2 * step * scale * total) + (dim / 2 - 1) * math.log(math.pi)


def _zeta(
    w: Float[Tensor, "rows nodes"], scale: Float[Tensor, " rows"]
) -> tuple[Float[Tensor, "rows nodes"], Float[Tensor, "rows nodes"]]:
    """Real and imaginary part of ζ(w); cosh w - 1 = 2 sinh²(w/2)."""
    return -2 * _SLOPE * scale[:, None] * torch.sinh(w / 2) ** 2, scale[:, None] * torch.sinh(w)


def _rise(
    zeta: tuple[Float[Tensor, "rows nodes"], Float[Tensor, "rows nodes"]],
    x: Float[Tensor, "terms rows"],
    b2: Float[Tensor, "terms rows"],
    repeats: int,
) -> tuple[Float[Tensor, "rows nodes"], Float[Tensor, "rows nodes"]]:
    """K(s₀ + ζ) - K(s₀) = ζ - Σ (b²/x)·ζ/(x + ζ) - ½ Σ log(1 + ζ/x), x = λ + s₀; real and imaginary part.

    In real arithmetic, which torch does several times faster than complex, and without large terms that cancel.
    """
    real, imag = zeta
    r = (1 / x)[:, :, None]
    strength = (b2 / x)[:, :, None]
    p = real * r
    u, v = 1 + p, imag * r  # 1 + ζ/x, in the upper half-plane
    square = u * u + v * v
    # ζ/(x + ζ) = 1 - 1/(u + iv)
    rise = real - (strength * ((u * p + v * v) / square)).sum(0) - repeats / 4 * torch.log(square).sum(0)
    turn = imag - (strength * (v / square)).sum(0) - repeats / 2 * torch.atan2(v, u).sum(0)
    return rise, turn


def _saddle_point(
    lam: Float[Tensor, "terms rows"], b2: Float[Tensor, "terms rows"], repeats: int
) -> Float[Tensor, " rows"]:
    """Root of K'(s) = 1 - P(s), P = Σ b²/(λ+s)² + ½ Σ 1/(λ+s), by Newton's iteration on P^{-½}, nearly linear in s."""
    lowest = lam.amin(0)
    gap = lam - lowest
    # The distance δ = s + min λ lies between the root for the lowest λ alone and the root for all λ equal to it.
    alone = torch.where(gap == 0, b2, 0.0).amax(0)
    n, m = repeats / 4, repeats * len(lam) / 4
    low = n + torch.sqrt(n * n + alone)
    high = m + torch.sqrt(m * m + b2.sum(0))
    delta = low
    for _ in range(_NEWTON):  # any s₀ > -min λ gives the same integral, so no test of convergence is needed
        r = 1 / (gap + delta)
        p = (b2 * r * r + repeats / 2 * r).sum(0)
        slope = -(2 * b2 * r**3 + repeats / 2 * r * r).sum(0)
        delta = torch.clamp(delta - 2 * p * (p.sqrt() - 1) / slope, low, high)
    return delta - lowest


def _contour(
    x: Float[Tensor, "terms rows"], b2: Float[Tensor, "terms rows"], repeats: int
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """The hyperbola's ρ, and the w at which the integrand has fallen by e^-40."""
    r = 1 / x
    second = (2 * b2 * r**3 + repeats / 2 * r * r).sum(0)  # K″(s₀)
    third = (6 * b2 * r**4 + repeats * r**3).sum(0)  # -K‴(s₀)
    # Steepest descent is s₀ + it - (third/6 second)t² + …; the hyperbola is s₀ + it - (α/2ρ)t² + …
    scale = 3 * _SLOPE * second / third
    t = math.sqrt(2 * _DROP) * second.rsqrt() / scale  # sinh w, exact for a Gaussian
    for _ in range(10):  # the fall grows like t² near s₀ and like t far away: t·√ratio contracts towards the end
        fall = -_rise(_zeta(torch.asinh(t)[:, None], scale), x, b2, repeats)[0][:, 0]
        t = t * torch.sqrt(_DROP / fall)
    return scale, torch.asinh(t)
