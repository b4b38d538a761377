"""The generalised normal on R^d and truncated to a box: densities by quadrature, samplers, special cases, errors."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from interval_laws import P_VALUE, gauss_legendre, kernel_cdf, kernel_integral
from scipy import stats
from torch.distributions import Independent, Laplace, Normal

from aninfonce.distributions import GeneralizedNormal, TruncatedGeneralizedNormal
from aninfonce.distributions._truncated_generalized_normal import partial_moment

F64 = torch.float64
EXPONENTS = [0.5, 1.0, 1.5, 2.0, 3.0, 8.0]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vector(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=F64)


# Free


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("concentration", [0.2, 1.0, 30.0])
def test_free_normalizer_and_moments(exponent, concentration):
    law = GeneralizedNormal(vector(0.7), concentration, exponent)
    reach = (800 / concentration) ** (1 / exponent)  # e^-800 is nothing
    mass = 2 * kernel_integral(0.0, concentration, exponent, 0.0, reach)
    second = 2 * kernel_integral(0.0, concentration, exponent, 0.0, reach, moment=2)
    assert law.log_normalizer.item() == pytest.approx(math.log(mass), abs=1e-8)
    assert law.variance.item() == pytest.approx(second / mass, rel=1e-8)
    assert law.mean.item() == 0.7


@pytest.mark.parametrize("exponent", [*EXPONENTS, 100.0])
def test_free_samples_follow_the_density(exponent):
    law = GeneralizedNormal(vector(-1.0, 4.0), vector(0.3, 20.0), exponent)
    u = law.sample((20_000,), generator=seeded())
    for k in range(2):
        x = (u[:, k] - law.loc[k]).numpy() * law.concentration[k].item() ** (1 / exponent)
        assert stats.kstest(x, stats.gennorm(exponent).cdf).pvalue > P_VALUE
    signs = ((u > law.loc).long() @ torch.tensor([1, 2])).bincount(minlength=4)
    assert stats.chisquare(signs.numpy()).pvalue > P_VALUE
    # the entropy is the mean of -log p
    surprise = -law.log_prob(u)
    assert surprise.mean().item() == pytest.approx(law.entropy().item(), abs=4.5 * surprise.std().item() / 20_000**0.5)


def test_one_is_laplace_and_two_is_normal():
    z, lam = vector(0.5, -2.0, 1.0), vector(0.3, 1.0, 25.0)
    u = z + torch.randn(40, 3, generator=seeded(), dtype=F64)
    # no factor 1/2: λ is the inverse scale of Laplace, and half the precision of the Gaussian
    for exponent, other in [(1.0, Laplace(z, 1 / lam)), (2.0, Normal(z, (2 * lam).rsqrt()))]:
        law = GeneralizedNormal(z, lam, exponent)
        torch.testing.assert_close(law.log_prob(u), Independent(other, 1).log_prob(u))
        torch.testing.assert_close(law.entropy(), Independent(other, 1).entropy())
        torch.testing.assert_close(law.variance, other.variance)
        torch.testing.assert_close(law.unnormalized_log_prob(u) - law.log_normalizer, law.log_prob(u))


def test_free_samples_are_differentiable():
    z, lam = vector(1.0, 2.0).requires_grad_(), vector(0.5, 3.0).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z, k: GeneralizedNormal(z, k, 1.5).rsample((4,), generator=seeded()), (z, lam)
    )
    assert not GeneralizedNormal(z, lam, 1.5).sample().requires_grad


# Truncated


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("concentration", [1e-3, 1.0, 40.0])
@pytest.mark.parametrize("z", [-1.0, 0.3, 1.9])
def test_truncated_normalizer_and_moments(exponent, concentration, z):
    low, high = -1.0, 2.0
    law = TruncatedGeneralizedNormal(vector(z), concentration, exponent, low, high)
    mass, first, second = (kernel_integral(z, concentration, exponent, low, high, m) for m in range(3))
    assert law.log_normalizer.item() == pytest.approx(math.log(mass), abs=1e-9)
    assert law.mean.item() == pytest.approx(first / mass, abs=1e-9)
    assert law.variance.item() == pytest.approx(second / mass - (first / mass) ** 2, rel=1e-6)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("truncated", [False, True])
def test_the_density_integrates_to_one_in_the_plane(exponent, truncated):
    z, lam = vector(0.2, -0.5), vector(2.0, 7.0)
    if truncated:
        law = TruncatedGeneralizedNormal(z, lam, exponent, vector(-1.0, -2.0), vector(1.0, 0.5))
        edges = [(-1.0, 0.2, 1.0), (-2.0, -0.5, 0.5)]
    else:
        law = GeneralizedNormal(z, lam, exponent)
        reach = [(40 / k) ** (1 / exponent) for k in lam.tolist()]
        edges = [(m - r, m, m + r) for m, r in zip(z.tolist(), reach, strict=True)]
    # Pieces that shrink towards z, where the density has a kink or a cusp.
    pieces = [sorted({m, *(m + (wall - m) * 0.2**k for wall in (a, b) for k in range(10))}) for a, m, b in edges]
    grids = [gauss_legendre(e, nodes=20) for e in pieces]
    points = torch.from_numpy(np.stack(np.meshgrid(grids[0][0], grids[1][0], indexing="ij"), -1))
    weights = torch.from_numpy(np.outer(grids[0][1], grids[1][1]))
    assert (weights * law.log_prob(points).exp()).sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("exponent", [*EXPONENTS, 100.0])
@pytest.mark.parametrize(("z", "concentration"), [(0.3, 5.0), (1.9, 5.0), (-1.0, 0.01), (0.0, 500.0)])
def test_truncated_samples_follow_the_density(exponent, z, concentration):
    law = TruncatedGeneralizedNormal(vector(z), concentration, exponent, -1.0, 2.0)
    u = law.sample((10_000,), generator=seeded())
    assert ((u >= -1) & (u <= 2)).all()
    result = stats.kstest(u[:, 0].numpy(), lambda x: kernel_cdf(x, z, concentration, exponent, -1.0, 2.0))
    assert result.pvalue > P_VALUE
    surprise = -law.log_prob(u)
    error = 4.5 * surprise.std().item() / 100 + 1e-12
    assert surprise.mean().item() == pytest.approx(law.entropy().item(), abs=error)


def test_every_row_and_coordinate_follows_its_own_law():
    z = vector(-0.9, 0.0, 0.8)[:, None].expand(3, 2)
    lam = vector(1.0, 12.0)
    u = TruncatedGeneralizedNormal(z, lam, 1.5, vector(-1.0, -1.5), 1.0).sample((8000,), generator=seeded())
    for row in range(3):
        for k, low in enumerate([-1.0, -1.5]):
            args = (z[row, k].item(), lam[k].item(), 1.5, low, 1.0)
            assert stats.kstest(u[:, row, k].numpy(), lambda x, a=args: kernel_cdf(x, *a)).pvalue > P_VALUE
    assert abs(np.corrcoef(u[:, 1].T.numpy())[0, 1]) < 0.05


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_a_wide_box_is_no_box(exponent):
    z, lam = vector(0.5, -2.0), vector(0.3, 25.0)
    free = GeneralizedNormal(z, lam, exponent)
    boxed = TruncatedGeneralizedNormal(z, lam, exponent, -1e5, 1e5)
    u = free.sample((20,), generator=seeded())
    torch.testing.assert_close(boxed.log_prob(u), free.log_prob(u))
    torch.testing.assert_close(boxed.variance, free.variance)
    torch.testing.assert_close(boxed.entropy(), free.entropy())


def test_no_concentration_is_nearly_uniform():
    law = TruncatedGeneralizedNormal(vector(0.9), 1e-12, 2.0, -1.0, 1.0)
    assert law.log_normalizer.item() == pytest.approx(math.log(2))
    assert law.mean.item() == pytest.approx(0, abs=1e-11)
    assert law.variance.item() == pytest.approx(1 / 3)


def test_the_density_outside_the_box_is_zero():
    law = TruncatedGeneralizedNormal(vector(0.5, 0.0), 1.0, 1.0, -1.0, vector(1.0, 2.0))
    assert law.log_prob(vector(1.0, 2.0)).isfinite()
    assert law.log_prob(vector(1.0 + 1e-12, 0.0)).item() == -math.inf
    assert law.unnormalized_log_prob(vector(0.0, -1.1)).item() == -math.inf
    assert law.support.check(law.sample((100,), generator=seeded())).all()


@pytest.mark.parametrize("exponent", [0.3, 1.0, 2.0, 7.0, 200.0])
@pytest.mark.parametrize("m", [0, 1, 2])
def test_partial_moments(exponent, m):
    t = vector(0.0, 1e-200, 1e-8, 1e-3, 0.5, 0.99, 1.0, 1.01, 2.0, 30.0)
    got = partial_moment(t, exponent, m)
    a = mpmath.mpf(m + 1) / exponent
    expected = [float(mpmath.gammainc(a, 0, mpmath.mpf(x) ** exponent) / exponent) for x in t.tolist()]
    torch.testing.assert_close(got, vector(*expected), rtol=1e-12, atol=0)


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0, 4.0])
def test_gradients_of_log_prob(exponent):
    u, z = vector(0.3, -0.8).requires_grad_(), vector(-0.2, 0.7).requires_grad_()
    lam, low, high = (
        vector(2.0, 9.0).requires_grad_(),
        vector(-1.0, -1.1).requires_grad_(),
        vector(1.0, 0.9).requires_grad_(),
    )
    assert torch.autograd.gradcheck(lambda u, z, k: GeneralizedNormal(z, k, exponent).log_prob(u), (u, z, lam))
    assert torch.autograd.gradcheck(
        lambda *x: TruncatedGeneralizedNormal(x[1], x[2], exponent, *x[3:]).log_prob(x[0]), (u, z, lam, low, high)
    )
    assert torch.autograd.gradcheck(
        lambda z, k: TruncatedGeneralizedNormal(z, k, exponent, -1.0, 1.0).entropy(), (z, lam)
    )


def test_the_gradient_is_finite_on_a_wall():
    z = vector(1.0).requires_grad_()
    (gradient,) = torch.autograd.grad(TruncatedGeneralizedNormal(z, 3.0, 1.5, -1.0, 1.0).log_normalizer, z)
    # d/dz ∫ e^{-λ|u-z|^p} du = e^{-λ|low-z|^p} - e^{-λ|high-z|^p}
    expected = (math.exp(-3 * 2**1.5) - 1) / kernel_integral(1.0, 3.0, 1.5, -1.0, 1.0)
    assert gradient.item() == pytest.approx(expected, rel=1e-9)


# Both


def truncated(loc, concentration, exponent, validate_args=None):
    return TruncatedGeneralizedNormal(loc, concentration, exponent, -1.0, 1.0, validate_args=validate_args)


@pytest.mark.parametrize("make", [GeneralizedNormal, truncated])
def test_shapes_dtypes_expand_and_seed(make):
    law = make(torch.zeros(4, 3), torch.ones(2, 1, 3), 1.5)
    assert law.batch_shape == (2, 4)
    assert law.event_shape == (3,)
    u = law.sample((6,), generator=seeded())
    assert u.shape == (6, 2, 4, 3)
    assert u.dtype == torch.float32
    assert torch.equal(u, law.sample((6,), generator=seeded()))
    assert law.log_prob(u).shape == (6, 2, 4)
    assert law.log_prob(u).dtype == torch.float32
    assert law.entropy().shape == law.log_normalizer.shape == (2, 4)
    assert law.mean.shape == law.variance.shape == (2, 4, 3)
    wide = law.expand((7, 2, 4))
    assert wide.sample((5,)).shape == (5, 7, 2, 4, 3)
    assert wide.log_prob(wide.sample()).shape == (7, 2, 4)
    half = make(torch.zeros(3, dtype=torch.float16), 5.0, 1.0).sample((1000,), generator=seeded())
    assert half.dtype == torch.float16
    assert half.isfinite().all()


@pytest.mark.parametrize("make", [GeneralizedNormal, truncated])
@pytest.mark.parametrize(
    ("loc", "concentration", "exponent", "error", "message"),
    [
        (torch.zeros(2, dtype=torch.int64), 1.0, 1.0, TypeError, "loc must be a floating-point tensor"),
        (torch.tensor(0.0), 1.0, 1.0, ValueError, r"loc must have shape \(..., dim\)"),
        (torch.tensor([0.0, math.nan]), 1.0, 1.0, ValueError, "loc must be finite"),
        (torch.zeros(2), torch.ones(3), 1.0, ValueError, r"concentration must be a number or have shape \(2,\)"),
        (torch.zeros(2), torch.tensor([1.0, 0.0]), 1.0, ValueError, "concentration must be positive, got one of 0"),
        (torch.zeros(2), math.inf, 1.0, ValueError, "concentration must be finite"),
        (torch.zeros(2), 1.0, 0.0, ValueError, "exponent must be positive and finite, got 0"),
        (torch.zeros(2), 1.0, math.inf, ValueError, "exponent must be positive"),
        (torch.zeros(5, 2), torch.ones(4, 2), 1.0, ValueError, "broadcast"),
    ],
)
def test_errors(make, loc, concentration, exponent, error, message):
    with pytest.raises(error, match=message):
        make(loc, concentration, exponent)


@pytest.mark.parametrize(
    ("loc", "low", "high", "message"),
    [
        (torch.tensor([0.0, 1.5]), -1.0, 1.0, r"loc must lie in the box, got 1.5 outside \[-1, 1\]"),
        (torch.zeros(2), 1.0, -1.0, r"low must be less than high .* edge \[1, -1\]"),
        (torch.zeros(2), torch.zeros(3), 1.0, r"low must be a number or have shape \(2,\)"),
        (torch.zeros(2), -1.0, math.inf, "high must be finite"),
    ],
)
def test_errors_of_the_box(loc, low, high, message):
    with pytest.raises(ValueError, match=message):
        TruncatedGeneralizedNormal(loc, 1.0, 1.0, low, high)


@pytest.mark.parametrize("make", [GeneralizedNormal, truncated])
def test_values_are_not_checked_when_told_so(make):
    make(torch.zeros(2), -1.0, 1.0, validate_args=False)
    with pytest.raises(ValueError, match=r"value must have shape \(..., 2\), got \(3,\)"):
        make(torch.zeros(2), 1.0, 1.0).log_prob(torch.zeros(3))


def test_no_reparametrised_samples_in_a_box():
    with pytest.raises(NotImplementedError, match="TruncatedGeneralizedNormal has no reparametrised samples"):
        truncated(torch.zeros(2), 1.0, 1.0).rsample()
