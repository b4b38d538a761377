from __future__ import annotations

import math

import pytest
import torch
from scipy import special, stats
from spherical_laws import P_VALUE, circle_grid, cosine_cdf, log_bessel_integral, sphere_grid, unit

from aninfonce.distributions import HypersphericalUniform, VonMisesFisher

F64 = torch.float64


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dim", [2, 3, 10, 512])
@pytest.mark.parametrize("kappa", [0.0, 1.0, 30.0, 1e5])
def test_cosines_follow_their_law(dim, kappa):
    z = unit(dim, 500)
    u = VonMisesFisher(z, torch.tensor(kappa, dtype=F64)).sample((20,), generator=seeded())
    cosine = (u * z).sum(-1).flatten()
    torch.testing.assert_close(u.norm(dim=-1), torch.ones(20, 500, dtype=F64), rtol=0, atol=1e-14)
    assert stats.kstest(cosine.numpy(), lambda t: cosine_cdf(t, dim, kappa)).pvalue > P_VALUE


@pytest.mark.parametrize("dim", [2, 3, 10])
def test_tangents_are_uniform(dim):
    z = unit(dim, seed=3)
    u = VonMisesFisher(z, torch.tensor(5.0, dtype=F64)).sample((20_000,), generator=seeded())
    tangent = u - (u @ z)[:, None] * z
    tangent = tangent / tangent.norm(dim=1, keepdim=True)
    # Along any fixed tangent direction the coordinate is that of a uniform point on S^{d-2}.
    axis = unit(dim, seed=4) - (unit(dim, seed=4) @ z) * z
    x = (tangent @ (axis / axis.norm())).numpy()
    if dim == 2:
        assert abs((x > 0).mean() - 0.5) < 4.5 * 0.5 / math.sqrt(len(x))
    else:
        assert stats.kstest(x, lambda t: cosine_cdf(t, dim - 1, 0.0)).pvalue > P_VALUE


@pytest.mark.parametrize("z", [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
def test_the_reflection_has_no_bad_direction(z):
    law = VonMisesFisher(torch.tensor(z, dtype=F64), torch.tensor(40.0, dtype=F64))
    u = law.sample((20_000,), generator=seeded())
    error = u.std(0) / math.sqrt(len(u))
    assert ((u.mean(0) - law.mean).abs() < 4.5 * error).all()


@pytest.mark.parametrize(("dim", "kappa"), [(2, 1.0), (3, 20.0), (10, 5.0), (50, 300.0)])
def test_normalizer_mean_and_entropy(dim, kappa):
    law = VonMisesFisher(unit(dim), torch.tensor(kappa, dtype=F64))
    expected = log_bessel_integral(dim, kappa)
    ratio = special.ive(dim / 2, kappa) / special.ive(dim / 2 - 1, kappa)
    assert law.log_normalizer.item() == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(law.mean, ratio * law.loc, rtol=1e-10, atol=0)
    assert law.entropy().item() == pytest.approx(expected - kappa * ratio, rel=1e-9)


def test_no_concentration_is_uniform():
    law = VonMisesFisher(unit(5), torch.tensor(0.0, dtype=F64))
    uniform = HypersphericalUniform(5, dtype=F64)
    u = uniform.sample((3,), generator=seeded())
    torch.testing.assert_close(law.log_prob(u), uniform.log_prob(u))
    torch.testing.assert_close(law.mean, torch.zeros(5, dtype=F64))


def test_the_density_integrates_to_one():
    kappa = torch.tensor([0.5, 10.0, 200.0], dtype=F64)
    points, step = circle_grid(2000)
    total = VonMisesFisher(unit(2), kappa).log_prob(points[:, None]).exp().sum(0) * step
    torch.testing.assert_close(total, torch.ones(3, dtype=F64), rtol=0, atol=1e-11)
    points, weight = sphere_grid(160, 160)
    total = weight @ VonMisesFisher(unit(3), kappa).log_prob(points[:, None]).exp()
    torch.testing.assert_close(total, torch.ones(3, dtype=F64), rtol=0, atol=1e-11)


def test_gradients_of_log_prob():
    z, u = unit(4, 3).requires_grad_(), unit(4, 3, seed=1).requires_grad_()
    kappa = torch.tensor([0.5, 3.0, 40.0], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, z, k: VonMisesFisher(z, k).log_prob(u), (u, z, kappa))
    assert torch.autograd.gradcheck(lambda k: VonMisesFisher(z.detach(), k).entropy(), (kappa,))


def test_shapes_expand_and_seed():
    law = VonMisesFisher(unit(3, 4).float(), torch.tensor([[1.0], [50.0]]))
    assert law.batch_shape == (2, 4)
    u = law.sample((6,), generator=seeded())
    assert u.shape == (6, 2, 4, 3)
    assert u.dtype == torch.float32
    assert torch.equal(u, law.sample((6,), generator=seeded()))
    assert law.log_prob(u).shape == (6, 2, 4)
    assert law.mean.shape == (2, 4, 3)
    assert law.entropy().shape == (2, 4)
    assert law.expand((7, 2, 4)).sample().shape == (7, 2, 4, 3)


def test_every_row_follows_its_own_concentration():
    kappa = torch.tensor([0.1, 5.0, 500.0], dtype=F64)
    z = unit(6, 3)
    u = VonMisesFisher(z, kappa).sample((5000,), generator=seeded())
    for row in range(3):
        cosine = (u[:, row] @ z[row]).numpy()
        assert stats.kstest(cosine, lambda t, k=float(kappa[row]): cosine_cdf(t, 6, k)).pvalue > P_VALUE


@pytest.mark.parametrize(
    ("loc", "concentration", "error", "message"),
    [
        (torch.tensor([2.0, 0.0]), torch.tensor(1.0), ValueError, "loc must have unit norm"),
        (torch.tensor([1.0]), torch.tensor(1.0), ValueError, "dim >= 2"),
        (torch.tensor([1.0, 0.0]), torch.tensor(1), TypeError, "floating-point tensor, got dtype torch.int64"),
        (torch.tensor([1.0, 0.0]), torch.tensor(-1.0), ValueError, "at least 0, got one of -1"),
        (torch.tensor([1.0, 0.0]), torch.tensor(math.nan), ValueError, "concentration must be finite"),
        (torch.eye(2), torch.ones(3), ValueError, "broadcast"),
    ],
)
def test_errors(loc, concentration, error, message):
    with pytest.raises(error, match=message):
        VonMisesFisher(loc, concentration)


def test_values_off_the_sphere_are_an_error():
    with pytest.raises(ValueError, match="within the support"):
        VonMisesFisher(unit(3), torch.tensor(1.0)).log_prob(torch.ones(3))
