from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from spherical_laws import P_VALUE, chi_square_p, cosine_cdf

from aninfonce.distributions import HypersphericalUniform, log_area, unit_sphere


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("dim", "area"), [(2, 2 * math.pi), (3, 4 * math.pi), (4, 2 * math.pi**2)])
def test_area(dim, area):
    assert math.exp(log_area(dim)) == pytest.approx(area, rel=1e-14)


@pytest.mark.parametrize("dim", [2, 3, 10, 512])
def test_coordinates_follow_their_law(dim):
    u = HypersphericalUniform(dim).sample((20_000,), generator=seeded())
    torch.testing.assert_close(u.norm(dim=1), torch.ones(20_000))
    for i in (0, dim - 1):
        assert stats.kstest(u[:, i].double().numpy(), lambda t: cosine_cdf(t, dim, 0.0)).pvalue > P_VALUE


def test_all_cells_are_equally_likely():
    u = HypersphericalUniform(3).sample((100_000,), generator=seeded())
    assert chi_square_p(u, lambda x: torch.zeros(x.shape[:-1], dtype=torch.float64)) > P_VALUE
    tilted = u + torch.tensor([0.05, 0.0, 0.0])  # the test has the power to see this
    assert chi_square_p(tilted, lambda x: torch.zeros(x.shape[:-1], dtype=torch.float64)) < P_VALUE


def test_log_prob_entropy_and_moments():
    uniform = HypersphericalUniform(5)
    u = uniform.sample((7, 2), generator=seeded())
    torch.testing.assert_close(uniform.log_prob(u), torch.full((7, 2), -log_area(5)))
    assert uniform.entropy().item() == pytest.approx(log_area(5))
    assert torch.equal(uniform.mean, torch.zeros(5))
    assert torch.equal(uniform.variance, torch.full((5,), 0.2))
    with pytest.raises(ValueError, match="within the support"):
        uniform.log_prob(torch.ones(5))


def test_conventions():
    uniform = HypersphericalUniform(4, dtype=torch.float64)
    assert uniform.batch_shape == ()
    assert uniform.event_shape == (4,)
    assert uniform.support is unit_sphere
    assert uniform.has_rsample
    assert uniform.sample().shape == (4,)
    assert uniform.sample().dtype == torch.float64
    assert torch.equal(uniform.sample((3,), generator=seeded()), uniform.rsample((3,), generator=seeded()))
    wide = uniform.expand((2, 6))
    assert wide.batch_shape == (2, 6)
    assert wide.sample((3,)).shape == (3, 2, 6, 4)
    assert wide.log_prob(wide.sample((3,))).shape == (3, 2, 6)
    assert wide.entropy().shape == (2, 6)
    assert wide.mean.shape == (2, 6, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    u = HypersphericalUniform(8, dtype=dtype).sample((100,), generator=seeded())
    assert u.dtype == dtype
    assert unit_sphere.check(u).all()


def test_errors():
    with pytest.raises(ValueError, match="dim must be at least 2, got 1"):
        HypersphericalUniform(1)
    with pytest.raises(TypeError, match=r"floating-point dtype, got torch\.int64"):
        HypersphericalUniform(3, dtype=torch.int64)
