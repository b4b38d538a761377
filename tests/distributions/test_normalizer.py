from __future__ import annotations

import math

import pytest
import torch
from spherical_laws import (
    bimodal,
    circle_grid,
    log_bessel_integral,
    log_two_level_integral,
    sphere_grid,
    unit,
)

from aninfonce.distributions import AnisotropicSpherical, log_area, log_sphere_integral
from aninfonce.distributions import _normalizer as normalizer
from aninfonce.distributions._normalizer import moments

F64 = torch.float64


def exponent(u: torch.Tensor, lam: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return -(u**2 * lam).sum(-1) + 2 * (u * b).sum(-1)


def random_parameters(dim: int, rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Λ over seven decades, equal or unequal within a row, and b = Λz with z along axes or in general position."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.rand(rows, 1, generator=generator, dtype=F64) * 7 - 3
    own = torch.rand(rows, dim, generator=generator, dtype=F64) * 7 - 3
    lam = 10 ** torch.where(torch.rand(rows, 1, generator=generator) < 0.5, common, own)
    z = torch.randn(rows, dim, generator=generator, dtype=F64)
    z *= 10 ** (-4 * torch.rand(rows, dim, generator=generator, dtype=F64))
    return lam, lam * z / z.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("dim", [2, 3, 10, 50, 512])
@pytest.mark.parametrize("kappa", [1e-3, 0.1, 1.0, 10.0, 1e3, 1e5])
def test_isotropic_is_the_bessel_closed_form(dim, kappa):
    half = torch.tensor([kappa / 2], dtype=F64)
    expected = log_bessel_integral(dim, kappa)
    got = log_sphere_integral(torch.zeros(1, dtype=F64), half, repeats=dim)
    assert got.item() == pytest.approx(expected, rel=1e-13, abs=1e-12)
    # the same, every coordinate by itself, and Λ instead of 0: |u| = 1 only adds a constant
    lam = torch.full((dim,), 0.7, dtype=F64)
    got = log_sphere_integral(lam, half * unit(dim))
    assert got.item() == pytest.approx(expected - 0.7, rel=1e-13, abs=1e-11)


@pytest.mark.parametrize("dim", [2, 3, 10, 512])
def test_nothing_to_integrate_leaves_the_area(dim):
    zero = torch.zeros(dim, dtype=F64)
    assert log_sphere_integral(zero, zero).item() == pytest.approx(log_area(dim), rel=1e-13)


def test_agrees_with_quadrature_on_the_circle():
    lam, b = random_parameters(2, 200, seed=0)
    lam[::4] -= 2 * lam[::4].amax(1, keepdim=True)  # signed ones
    points, weight = circle_grid(2**14)
    expected = torch.logsumexp(exponent(points, lam[:, None], b[:, None]), 1) + math.log(weight)
    got = log_sphere_integral(lam, b)
    torch.testing.assert_close(got, expected, rtol=1e-13, atol=1e-11)


def test_agrees_with_quadrature_on_the_sphere():
    generator = torch.Generator().manual_seed(0)
    lam = 60 * torch.rand(40, 3, generator=generator, dtype=F64) - 20
    b = lam * unit(3, 40)
    points, weight = sphere_grid(120, 160)
    expected = torch.logsumexp(exponent(points, lam[:, None], b[:, None]) + weight.log(), 1)
    torch.testing.assert_close(log_sphere_integral(lam, b), expected, rtol=1e-13, atol=1e-11)


@pytest.mark.parametrize("levels", [(2.5, 12.5), (5.0, 25.0), (1e-3, 50.0), (-4.0, 3.0)])
@pytest.mark.parametrize("dims", [(5, 5), (3, 17)])
def test_two_levels_reduce_to_one_integral(dims, levels):
    z = unit(sum(dims), seed=3)
    lam = torch.tensor([levels[0]] * dims[0] + [levels[1]] * dims[1], dtype=F64)
    b = lam * z
    norms = (b[: dims[0]].norm().item(), b[dims[0] :].norm().item())
    expected = log_two_level_integral(dims, levels, norms)
    assert log_sphere_integral(lam, b).item() == pytest.approx(expected, rel=1e-12, abs=1e-11)


@pytest.mark.parametrize("dim", [2, 3, 20])
def test_more_nodes_change_nothing(dim, monkeypatch):
    lam, b = random_parameters(dim, 300, seed=1)
    got = log_sphere_integral(lam, b)
    assert got.isfinite().all()
    monkeypatch.setattr(normalizer, "_NODES", 300)
    monkeypatch.setattr(normalizer, "_SLOPE", 0.5)
    monkeypatch.setattr(normalizer, "_DROP", 44.0)
    torch.testing.assert_close(got, log_sphere_integral(lam, b), rtol=1e-13, atol=2e-12)


def test_blocks_of_rows_change_nothing(monkeypatch):
    lam, b = random_parameters(4, 50, seed=2)
    whole = log_sphere_integral(lam, b)
    monkeypatch.setattr(normalizer, "_BLOCK", 1000)
    torch.testing.assert_close(log_sphere_integral(lam, b), whole, rtol=1e-14, atol=1e-13)
    torch.testing.assert_close(log_sphere_integral(lam.reshape(5, 10, 4), b.reshape(5, 10, 4)), whole.reshape(5, 10))


def test_gradients_of_both_orders():
    lam = torch.tensor([0.5, 3.0, 12.0, -1.0], dtype=F64, requires_grad=True)
    b = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=F64).mul(4).requires_grad_()
    assert torch.autograd.gradcheck(log_sphere_integral, (lam, b))
    assert torch.autograd.gradgradcheck(log_sphere_integral, (lam, b))


def test_moments_agree_with_quadrature():
    lam = torch.tensor([1.0, 6.0, 20.0], dtype=F64)
    b = lam * unit(3, 5)
    points, weight = sphere_grid(80, 120)
    density = torch.softmax(exponent(points, lam, b[:, None]) + weight.log(), 1)
    first, second = moments(lam, b)
    torch.testing.assert_close(first, density @ points, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(second, density @ points**2, rtol=1e-11, atol=1e-11)
    assert not first.requires_grad
    assert moments(lam, b.requires_grad_())[0].requires_grad


@pytest.mark.parametrize(
    ("dim", "low", "high"), [(2, 1.0, 30.0), (3, 1.0, 100.0), (10, 2.5, 12.5), (20, 5.0, 25.0), (50, 0.01, 5.0)]
)
def test_the_acceptance_of_the_sampler_tells_the_same(dim, low, high):
    positive = AnisotropicSpherical(unit(dim, 4), bimodal(dim, low, high))
    got = positive.log_normalizer_from_acceptance(200_000, generator=torch.Generator().manual_seed(0))
    assert got.standard_error.shape == got.estimate.shape == (4,)
    assert (got.standard_error < 0.01).all()
    assert ((got.estimate - positive.log_normalizer).abs() < 4.5 * got.standard_error).all()


def test_the_standard_error_is_honest():
    positive = AnisotropicSpherical(unit(3).expand(200, 3), bimodal(3, 2.0, 20.0))
    got = positive.log_normalizer_from_acceptance(1000, generator=torch.Generator().manual_seed(0))
    scores = (got.estimate - positive.log_normalizer) / got.standard_error
    assert 0.8 < scores.std() < 1.2


def test_acceptance_needs_two_proposals():
    with pytest.raises(ValueError, match="at least 2, got 1"):
        AnisotropicSpherical(unit(3), torch.ones(3)).log_normalizer_from_acceptance(1)
