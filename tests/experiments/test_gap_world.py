"""The worlds that break one assumption: each breaks what it says, by as much as it says, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import iv
from scipy.stats import kstest, t

from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.experiments.gap.world import World

N = 20_000


def draw(world, seed=0, n=N):
    rng = torch.Generator().manual_seed(seed)
    return world.pairs(torch.nn.Identity(), dtype=torch.float64).latent_pairs(n, rng)


def test_by_default_the_pairs_are_those_of_the_theory():
    world = World()
    plain = LatentPairs(torch.tensor(world.concentration, dtype=torch.float64), torch.nn.Identity())
    for ours, theirs in zip(draw(world), plain.latent_pairs(N, torch.Generator().manual_seed(0)), strict=True):
        assert torch.equal(ours, theirs)
    assert world.reflectable
    z = torch.randn(5, 10)
    assert torch.equal(world.folded(z), z)


@pytest.mark.parametrize(
    "world", [World(lean=3.0), World(axes=2.0), World(degrees_of_freedom=3), World(drift=4.0), World(push=0.3)]
)
def test_everything_stays_on_the_sphere(world):
    for points in draw(world, n=500):
        torch.testing.assert_close(points.norm(dim=1), torch.ones(500, dtype=points.dtype))


def test_the_marginal_leans_by_kappa_towards_the_diagonal():
    z, _ = draw(World(lean=4.0))
    mean = z.mean(0)
    assert mean.std() < 0.01
    # A_d(κ) = I_{d/2}(κ) / I_{d/2-1}(κ), d = 10
    assert float(mean.norm()) == pytest.approx(iv(5, 4.0) / iv(4, 4.0), abs=0.01)


def test_two_axes_are_preferred_and_no_side():
    z, _ = draw(World(axes=2.0))
    second = (z**2).mean(0)
    others = [k for k in range(10) if k not in (0, 5)]
    assert float(second[[0, 5]].min()) > 1.5 * float(second[others].max())
    assert float(z.mean(0).abs().max()) < 0.02


def test_deviations_have_the_tails_of_student():
    """A content latent seen from where it is 0, with a Λ so large that the sphere is flat there."""
    z, positive = draw(World(concentration=(4000.0,) * 4, degrees_of_freedom=4))
    flat = z[:, 0].abs() < 0.2
    deviation = (positive - z)[flat, 0] * math.sqrt(2 * 4000.0)
    # Motion along z is ruled out, which narrows the deviation by 1 - z_1².
    deviation = deviation / (1 - z[flat, 0] ** 2).sqrt()
    assert kstest(deviation.numpy(), t(4).cdf).pvalue > 0.001
    assert kstest(deviation.numpy(), "norm").pvalue < 1e-6


def test_the_concentration_changes_with_the_side():
    z, positive = draw(World(concentration=(50.0,) * 4, drift=4.0))
    squares = ((positive - z) ** 2).sum(1)
    assert float(squares[z[:, 0] < 0].mean() / squares[z[:, 0] > 0].mean()) == pytest.approx(4.0, rel=0.1)


def test_positives_are_pushed_to_one_side():
    z, positive = draw(World(push=0.2))
    plain = draw(World())[1]
    assert float((positive - plain)[:, 0].mean()) > 0.1
    assert torch.equal(z, draw(World())[0])


def test_the_fold_hides_signs_of_two_latents_only():
    z = torch.randn(100, 10)
    folded = World(fold=-1.0).folded(z)
    assert torch.equal(folded[:, [0, 5]], z[:, [0, 5]].abs())
    others = [k for k in range(10) if k not in (0, 5)]
    assert torch.equal(folded[:, others], z[:, others])
    assert bool((World(fold=0.0).folded(z)[:, 0] >= 0).all())
    halved = World(fold=0.5).folded(z)[:, 0]
    torch.testing.assert_close(halved, torch.where(z[:, 0] < 0, z[:, 0] / 2, z[:, 0]))


def test_only_symmetric_worlds_may_be_reflected():
    assert all(w.reflectable for w in (World(axes=2.0), World(degrees_of_freedom=3), World(fold=0.0)))
    assert not any(w.reflectable for w in (World(lean=1.0), World(drift=2.0), World(push=0.1)))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("concentration", (1.0, 1.0)),
        ("concentration", (1.0,) * 5),
        ("concentration", (1.0, 1.0, 1.0, 0.0)),
        ("lean", -1.0),
        ("axes", 0.0),
        ("degrees_of_freedom", 0),
        ("drift", 0.5),
        ("push", math.inf),
        ("fold", -1.5),
    ],
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=setting):
        World(**{setting: value})
