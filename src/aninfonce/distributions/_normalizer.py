"""The normalising constant of exponential-quadratic densities on the sphere, by contour integration.

With C(Λ, b) = ∫_{S^{d-1}} exp(-uᵀΛu + 2bᵀu) du, the Gaussian integral in polar coordinates, x = √p u, reads

    ∫_{R^d} exp(-xᵀ(Λ + s)x + 2bᵀx) dx = ∫_0^∞ e^{-sp} ½ p^{d/2-1} C(pΛ, √p b) dp = π^{d/2} Π(λ_i + s)^{-½} e^{Σ b_i²/(λ_i + s)},

a Laplace transform in p. Inverted at p = 1, with K(s) = s + Σ b_i²/(λ_i + s) - ½ Σ log(λ_i + s),

    C(Λ, b) = (π^{d/2} / πi) ∫_{s₀-i∞}^{s₀+i∞} e^{K(s)} ds,      s₀ > -min Λ.

s₀ is the real saddle point. The contour is bent into the hyperbola s₀ + ζ(w), ζ(w) = ρ(-α(cosh w - 1) + i sinh w),
whose curvature at s₀ is that of steepest descent. K being real on the axis, half of it suffices. The asymptotic slope
α < 1 keeps arg ζ within [90°, 135°), where every term of K(s₀ + ζ) - K(s₀) has a negative real part, however
unequal the λ_i: nothing grows, and the trapezoid rule converges exponentially.

References:
    Kume & Wood (2005), "Saddlepoint approximations for the Bingham and Fisher–Bingham normalising constants", Biometrika.
    Chen & Tanaka (2021), "Maximum likelihood estimation of the Fisher–Bingham distribution via efficient calculation of
    its normalizing constant", Statistics and Computing. See also Weideman & Trefethen (2007) for hyperbolic contours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aninfonce._typing import Float

__all__ = ["log_sphere_integral", "moments"]

_SLOPE = 0.6  # α: 0.5 to 0.7 do equally well
_NODES = 64  # 48 give 1e-12; see tests/distributions/test_normalizer.py
_DROP = 40.0  # the contour is cut where the integrand has fallen by e^-40
_BLOCK = 2**20  # complex numbers held at once for one block of rows


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
    shape = torch.broadcast_shapes(concentration.shape, linear.shape)
    b = linear.to(torch.float64).expand(shape).reshape(-1, shape[-1])
    if concentration.ndim == 1:
        lam = concentration.to(torch.float64)[None].expand(len(b), -1)
    else:
        lam = concentration.to(torch.float64).expand(shape).reshape(-1, shape[-1])
    rows = max(1, _BLOCK // (shape[-1] * (_NODES + 1)))
    blocks = [_log_integral(x, y, repeats) for x, y in zip(lam.split(rows), b.split(rows), strict=True)]
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
    shape = torch.broadcast_shapes(concentration.shape, linear.shape)
    with torch.enable_grad():
        # Copies of their own, so that every row of an expanded Λ gets its own derivative.
        lam = concentration.to(torch.float64).expand(shape).clone()
        b = linear.to(torch.float64).expand(shape).clone()
        if not differentiable:
            lam, b = lam.detach().requires_grad_(), b.detach().requires_grad_()
        lam.requires_grad_(), b.requires_grad_()
        by_lam, by_b = torch.autograd.grad(log_sphere_integral(lam, b).sum(), (lam, b), create_graph=differentiable)
    return by_b / 2, -by_lam


def _log_integral(
    lam: Float[Tensor, "rows terms"], b: Float[Tensor, "rows terms"], repeats: int
) -> Float[Tensor, " rows"]:
    dim = repeats * lam.shape[1]
    with torch.no_grad():  # where the contour runs does not change the integral, hence not its derivative either
        s0 = _saddle_point(lam, b * b, repeats)
        scale, end = _contour(lam + s0, b * b, repeats)
    step = end / _NODES
    w = step * torch.arange(_NODES + 1, dtype=lam.dtype, device=lam.device)  # (rows, nodes)
    zeta = _zeta(w, scale)
    tangent = scale * torch.complex(-_SLOPE * torch.sinh(w), torch.cosh(w))  # dζ/dw
    x = lam + s0
    values = (torch.exp(_rise(zeta, x, b * b, repeats)) * tangent).imag
    total = step[:, 0] * (values.sum(1) - values[:, 0] / 2)  # trapezoid; the far end is e^-40
    peak = s0[:, 0] + (b * b / x).sum(1) - repeats / 2 * torch.log(x).sum(1)  # K(s₀)
    # The two conjugate halves of the contour: (π^{d/2}/πi) · 2i · Im ∫.
    return peak + torch.log(total) + (dim / 2 - 1) * math.log(math.pi) + math.log(2.0)


def _zeta(w: Float[Tensor, "rows nodes"], scale: Float[Tensor, "rows 1"]) -> Tensor:
    return scale * torch.complex(-2 * _SLOPE * torch.sinh(w / 2) ** 2, torch.sinh(w))  # cosh w - 1 = 2 sinh²(w/2)


def _rise(zeta: Tensor, x: Float[Tensor, "rows terms"], b2: Float[Tensor, "rows terms"], repeats: int) -> Tensor:
    """K(s₀ + ζ) - K(s₀) with x = λ + s₀, free of large cancelling terms; (rows, nodes) complex."""
    z, x, b2 = zeta[:, :, None], x[:, None], b2[:, None]
    return zeta - (b2 / x * (z / (x + z))).sum(2) - repeats / 2 * torch.log(1 + z / x).sum(2)


def _saddle_point(
    lam: Float[Tensor, "rows terms"], b2: Float[Tensor, "rows terms"], repeats: int
) -> Float[Tensor, "rows 1"]:
    """Root of K'(s) = 1 - P(s), P = Σ b²/(λ+s)² + ½ Σ 1/(λ+s), by Newton's iteration on P^{-½}, nearly linear in s."""
    lowest = lam.amin(1, keepdim=True)
    gap = lam - lowest
    # The distance δ = s + min λ lies between the root for the lowest λ alone and the root for all λ equal to it.
    alone = torch.where(gap == 0, b2, 0.0).amax(1, keepdim=True)
    n, m = repeats / 4, repeats * lam.shape[1] / 4
    low = n + torch.sqrt(n * n + alone)
    high = m + torch.sqrt(m * m + b2.sum(1, keepdim=True))
    delta = low
    for _ in range(30):  # any s₀ > -min λ gives the same integral, so no test of convergence is needed
        r = 1 / (gap + delta)
        p = (b2 * r * r + repeats / 2 * r).sum(1, keepdim=True)
        slope = -(2 * b2 * r**3 + repeats / 2 * r * r).sum(1, keepdim=True)
        delta = torch.clamp(delta - 2 * p * (p.sqrt() - 1) / slope, low, high)
    return delta - lowest


def _contour(
    x: Float[Tensor, "rows terms"], b2: Float[Tensor, "rows terms"], repeats: int
) -> tuple[Float[Tensor, "rows 1"], Float[Tensor, "rows 1"]]:
    """The hyperbola's ρ, and the w at which the integrand has fallen by e^-40."""
    r = 1 / x
    second = (2 * b2 * r**3 + repeats / 2 * r * r).sum(1, keepdim=True)  # K''(s₀)
    third = (6 * b2 * r**4 + repeats * r**3).sum(1, keepdim=True)  # -K'''(s₀)
    # Steepest descent is s₀ + it - (-K'''/6K'')t² + …; the hyperbola is s₀ + it - (α/2ρ)t² + …
    scale = 3 * _SLOPE * second / third
    t = math.sqrt(2 * _DROP) * second.rsqrt() / scale  # sinh w, exact for a Gaussian
    for _ in range(10):  # the fall grows like t² near s₀ and like t far away: t·√ratio contracts towards the end
        fall = -_rise(_zeta(torch.asinh(t), scale), x, b2, repeats).real
        t = t * torch.sqrt(_DROP / fall)
    return scale, torch.asinh(t)
