from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from spherical_laws import P_VALUE, bimodal, chi_square_p, circle_grid, cosine_cdf, sphere_grid, unit

from aninfonce.distributions import AnisotropicSpherical, ApproximateAnisotropicSpherical, VonMisesFisher, unit_sphere

F64 = torch.float64


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def worst_z_score(u: torch.Tensor, law: AnisotropicSpherical) -> float:
    """The largest |z| of the sample means of u and (u - E u)² over all coordinates and rows; u is (n, ..., dim)."""
    u = u.double()
    error = u.mean(0) - law.mean
    spread = (u - law.mean) ** 2
    z1 = error / (u.std(0) / math.sqrt(len(u)))
    z2 = (spread.mean(0) - law.variance) / (spread.std(0) / math.sqrt(len(u)))
    return float(torch.stack((z1, z2)).abs().max())


# --- The law of the samples ---


@pytest.mark.parametrize(
    ("concentration", "z"),
    [
        ((2.5, 2.5, 12.5), (0.6, 0.0, 0.8)),
        ((1.0, 100.0, 1.0), (1.0, 0.0, 0.0)),
        ((1.0, 5.0, 25.0), (0.48, 0.6, 0.64)),
        ((0.01, 0.02, 30.0), (0.0, 0.0, 1.0)),  # z where the density of the axis alone would be low
        ((-6.0, 2.0, 4.0), (0.48, 0.6, 0.64)),
        ((0.0, 3.0, -3.0), (1.0, 0.0, 0.0)),  # b = Λz = 0: a Bingham law
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_follow_the_density(concentration, z, dtype):
    law = AnisotropicSpherical(torch.tensor(z, dtype=dtype), torch.tensor(concentration, dtype=dtype), signed=True)
    u = law.sample((200_000,), generator=seeded())
    reference = AnisotropicSpherical(law.loc.double(), law.concentration.double(), signed=True, validate_args=False)
    assert chi_square_p(u, reference.unnormalized_log_prob) > P_VALUE


def test_that_test_rejects_the_approximate_sampler():
    z, concentration = torch.tensor([0.48, 0.6, 0.64], dtype=F64), torch.tensor([1.0, 10.0, 100.0], dtype=F64)
    exact = AnisotropicSpherical(z, concentration)
    u = ApproximateAnisotropicSpherical(z, concentration).sample((200_000,), generator=seeded())
    assert chi_square_p(u, exact.unnormalized_log_prob) < 1e-12
    assert worst_z_score(u, exact) > 10
    u = exact.sample((200_000,), generator=seeded())
    assert chi_square_p(u, exact.unnormalized_log_prob) > P_VALUE
    assert worst_z_score(u, exact) < 4.5


@pytest.mark.parametrize("dim", [2, 3, 10, 50, 512])
@pytest.mark.parametrize("level", [0.05, 2.5, 100.0])
def test_isotropic_is_von_mises_fisher(dim, level):
    z = unit(dim, 1000).float()
    u = AnisotropicSpherical(z, torch.full((dim,), level)).sample((10 if dim < 512 else 2,), generator=seeded())
    cosine = (u.double() * z.double()).sum(-1).flatten().numpy()
    assert stats.kstest(cosine, lambda t: cosine_cdf(t, dim, 2 * level)).pvalue > P_VALUE
    other = VonMisesFisher(z, torch.tensor(2 * level)).sample((10,), generator=seeded(1))
    other = (other.double() * z.double()).sum(-1).flatten().numpy()
    assert stats.ks_2samp(cosine, other).pvalue > P_VALUE


@pytest.mark.parametrize("dim", [10, 20])
def test_moments_agree_with_importance_sampling(dim):
    z, concentration = unit(dim, seed=5), bimodal(dim, 2.5, 12.5)
    law = AnisotropicSpherical(z, concentration)
    squared = (law.sample((100_000,), generator=seeded()) - z) ** 2
    # Proposals uniform around z with a density known up to a factor: no code shared with the sampler or the integral.
    level = 4.0
    v = VonMisesFisher(z, torch.tensor(2 * level, dtype=F64)).sample((500_000,), generator=seeded(1))
    delta = (v - z) ** 2
    weight = torch.softmax(-(delta * (concentration - level)).sum(1), 0)
    expected = weight @ delta
    error = torch.sqrt((weight**2) @ (delta - expected) ** 2 + squared.var(0) / len(squared))
    assert 1 / (weight**2).sum() > 500, "the reference is worth too few samples"
    assert ((squared.mean(0) - expected).abs() < 4.5 * error).all()
    assert (error < 0.05 * expected).all()


@pytest.mark.parametrize(
    ("dim", "low", "high"), [(2, 1.0, 50.0), (10, 2.5, 12.5), (10, 1.0, 100.0), (20, 5.0, 25.0), (50, 5.0, 25.0)]
)
def test_moments_agree_with_the_integral(dim, low, high):
    law = AnisotropicSpherical(unit(dim, 3, seed=7), bimodal(dim, low, high))
    assert worst_z_score(law.sample((50_000,), generator=seeded()), law) < 4.5


def test_every_row_follows_its_own_concentration():
    concentration = torch.tensor([[1.0, 2.0, 30.0, 4.0], [20.0, 0.1, 0.1, 20.0], [5.0, 5.0, 5.0, 5.0]], dtype=F64)
    law = AnisotropicSpherical(unit(4, 3), concentration)
    u = law.sample((60_000,), generator=seeded())
    assert worst_z_score(u, law) < 4.5
    for row in range(3):
        alone = AnisotropicSpherical(law.loc[row], concentration[row])
        v = alone.sample((60_000,), generator=seeded(row + 1))
        assert worst_z_score(v, alone) < 4.5
        for i in range(4):
            assert stats.ks_2samp(u[:, row, i].numpy(), v[:, i].numpy()).pvalue > P_VALUE


def test_thousands_of_rows_each_with_its_own_concentration():
    dim, rows = 5, 4000
    level = 10 ** (4 * torch.rand(rows, 1, generator=seeded(3), dtype=F64) - 2)
    z = unit(dim, rows)
    u = AnisotropicSpherical(z, level.expand(rows, dim)).sample((2,), generator=seeded())
    cosine = (u * z).sum(-1)
    # The probability integral transform, row by row: uniform only if no row gets another's constants.
    p = [float(cosine_cdf(cosine[:, i].numpy(), dim, float(2 * level[i]))[0]) for i in range(0, rows, 8)]
    assert stats.kstest(p, "uniform").pvalue > P_VALUE


@pytest.mark.parametrize("dim", [2, 3, 10, 100])
def test_extreme_concentrations(dim):
    concentration = torch.logspace(-3, 4, dim, dtype=F64)
    for z in (unit(dim, 64), torch.eye(dim, dtype=F64)):
        law = AnisotropicSpherical(z, concentration)
        u = law.sample((4,), generator=seeded())
        assert u.isfinite().all()
        torch.testing.assert_close(u.norm(dim=-1), torch.ones(4, len(z), dtype=F64), rtol=0, atol=1e-14)
        assert law.log_prob(u).isfinite().all()
    # Along the axis of the largest λ the shift that suits most z is hopeless; such rows need one of their own.
    law = AnisotropicSpherical(torch.stack((unit(dim), torch.eye(dim, dtype=F64)[-1])), concentration)
    assert worst_z_score(law.sample((10_000,), generator=seeded()), law) < 4.5


# --- The density ---


def test_the_density_integrates_to_one_on_the_circle():
    concentration = torch.tensor([[0.001, 1e4], [3.0, 0.5], [-4.0, 30.0]], dtype=F64)
    law = AnisotropicSpherical(unit(2, 3), concentration, signed=True)
    points, weight = circle_grid(2**14)
    total = law.log_prob(points[:, None]).exp().sum(0) * weight
    torch.testing.assert_close(total, torch.ones(3, dtype=F64), rtol=0, atol=1e-10)


def test_the_density_integrates_to_one_on_the_sphere():
    concentration = torch.tensor([[2.5, 2.5, 12.5], [1.0, 40.0, 3.0], [-4.0, 3.0, 0.0]], dtype=F64)
    law = AnisotropicSpherical(unit(3, 3), concentration, signed=True)
    points, weight = sphere_grid(80, 120)
    total = weight @ law.log_prob(points[:, None]).exp()
    torch.testing.assert_close(total, torch.ones(3, dtype=F64), rtol=0, atol=1e-10)


def test_log_prob_is_the_similarity_less_the_normalizer():
    z, concentration, u = unit(6, 4), bimodal(6, 2.0, 9.0), unit(6, 4, seed=1)
    law = AnisotropicSpherical(z, concentration)
    similarity = torch.stack([-((u[i] - z[i]) @ concentration.diag() @ (u[i] - z[i])) for i in range(4)])
    torch.testing.assert_close(law.unnormalized_log_prob(u), similarity)
    torch.testing.assert_close(law.log_prob(u), similarity - law.log_normalizer)


def test_isotropic_log_prob_is_von_mises_fisher():
    z, u = unit(8, 5), unit(8, 5, seed=1)
    got = AnisotropicSpherical(z, torch.full((8,), 3.5, dtype=F64)).log_prob(u)
    torch.testing.assert_close(got, VonMisesFisher(z, torch.tensor(7.0, dtype=F64)).log_prob(u))


def test_gradients_of_log_prob():
    z, u = unit(4, 3).requires_grad_(), unit(4, 3, seed=1).requires_grad_()
    shared = torch.tensor([0.5, 3.0, 12.0, 1.0], dtype=F64, requires_grad=True)

    def log_prob(u: torch.Tensor, z: torch.Tensor, concentration: torch.Tensor) -> torch.Tensor:
        return AnisotropicSpherical(z, concentration, signed=True).log_prob(u)

    assert torch.autograd.gradcheck(log_prob, (u, z, shared))
    own = (10 * torch.rand(3, 4, generator=seeded(), dtype=F64) - 3).requires_grad_()
    assert torch.autograd.gradcheck(log_prob, (u, z, own))


def test_maximum_likelihood_recovers_the_concentration():
    truth = torch.tensor([2.5, 2.5, 12.5, 12.5], dtype=F64)
    z = unit(4, 6000)
    u = AnisotropicSpherical(z, truth).sample(generator=seeded())
    log_lam = torch.zeros(4, dtype=F64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_lam], line_search_fn="strong_wolfe", max_iter=8)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = -AnisotropicSpherical(z, log_lam.exp()).log_prob(u).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(log_lam.detach().exp(), truth, rtol=0.08, atol=0)


def test_entropy_is_the_mean_of_minus_log_prob():
    law = AnisotropicSpherical(unit(10, 2), bimodal(10, 2.5, 12.5))
    log_prob = law.log_prob(law.sample((50_000,), generator=seeded()))
    error = log_prob.std(0) / math.sqrt(len(log_prob))
    assert ((law.entropy() + log_prob.mean(0)).abs() < 4.5 * error).all()


# --- The conventions of torch.distributions ---


def test_the_same_seed_gives_the_same_numbers():
    law = AnisotropicSpherical(unit(10, 100), bimodal(10, 2.5, 12.5))
    first, second = law.sample((3,), generator=seeded(4)), law.sample((3,), generator=seeded(4))
    assert torch.equal(first, second)
    assert not torch.equal(first, law.sample((3,), generator=seeded(5)))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = law.sample()
        torch.manual_seed(0)
        assert torch.equal(first, law.sample())


def test_a_generator_leaves_the_global_state_alone():
    state = torch.get_rng_state()
    AnisotropicSpherical(unit(3), torch.ones(3)).sample((10,), generator=seeded())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("loc", "concentration", "batch"),
    [((3,), (3,), ()), ((4, 3), (3,), (4,)), ((3,), (4, 3), (4,)), ((4, 1, 3), (5, 3), (4, 5)), ((0, 3), (3,), (0,))],
)
def test_shapes(loc, concentration, batch):
    z = unit(3, math.prod(loc[:-1])).reshape(loc).float()
    law = AnisotropicSpherical(z, torch.rand(concentration, generator=seeded()) + 0.5)
    assert law.batch_shape == batch
    assert law.event_shape == (3,)
    assert law.support is unit_sphere
    u = law.sample((2, 7), generator=seeded())
    assert u.shape == (2, 7, *batch, 3)
    assert u.dtype == torch.float32
    assert not u.requires_grad
    assert law.sample().shape == (*batch, 3)
    assert law.sample((0,)).shape == (0, *batch, 3)
    assert law.log_prob(u).shape == (2, 7, *batch)
    assert law.log_prob(u).dtype == torch.float32
    assert law.log_normalizer.shape == law.entropy().shape == batch
    assert law.mean.shape == law.variance.shape == (*batch, 3)


@pytest.mark.parametrize("own", [False, True])
def test_expand(own):
    z, concentration = unit(3, 2), torch.tensor([1.0, 5.0, 25.0], dtype=F64)
    law = AnisotropicSpherical(z, torch.stack((concentration, concentration + 1)) if own else concentration)
    wide = law.expand((500, 2))
    assert wide.batch_shape == (500, 2)
    torch.testing.assert_close(wide.log_normalizer, law.log_normalizer.expand(500, 2))
    u = wide.sample((40,), generator=seeded())
    assert u.shape == (40, 500, 2, 3)
    assert worst_z_score(u.flatten(0, 1), law) < 4.5


def test_a_learned_concentration_can_be_sampled_from():
    concentration = torch.ones(3, requires_grad=True)
    assert not AnisotropicSpherical(unit(3).float(), concentration).sample().requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    z = unit(6, 50).to(dtype)
    law = AnisotropicSpherical(z, torch.full((6,), 5.0, dtype=dtype))
    u = law.sample(generator=seeded())
    assert u.dtype == dtype
    assert unit_sphere.check(u).all()
    assert law.log_prob(u).isfinite().all()
