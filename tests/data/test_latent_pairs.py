from __future__ import annotations

import itertools
import math

import pytest
import torch

from aninfonce.data.generators import InvertibleMLP
from aninfonce.data.latent_pairs import LatentPairs

CONCENTRATION = (12.5, 6.0, 2.5, 1.0)


def identity_pairs() -> LatentPairs:
    return LatentPairs(torch.tensor(CONCENTRATION, dtype=torch.float64), lambda z: z)


def collect(pairs: LatentPairs, n: int, seed: int, **settings) -> tuple[torch.Tensor, torch.Tensor]:
    batches = itertools.islice(pairs.batches(1000, torch.Generator().manual_seed(seed), **settings), n)
    z, positive = zip(*batches, strict=True)
    return torch.cat(z), torch.cat(positive)


def statistics(z: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
    """Numbers whose means tell the joint law of a pair: moments up to the fourth, of z, δ and both."""
    delta = positive - z
    products = [a[:, i] * b[:, j] for a, b in ((z, z), (z, delta), (delta, delta)) for i in range(4) for j in range(4)]
    conditional = (delta.square()[:, :, None] * z.square()[:, None, :]).flatten(1)
    return torch.cat([z, delta, torch.stack(products, 1), conditional], 1)


def worst_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest two-sample z score over the columns."""
    error = (a.var(0) / len(a) + b.var(0) / len(b)).sqrt()
    return float(((a.mean(0) - b.mean(0)) / error.clamp_min(1e-12)).abs().max())


def test_latents_and_pairs_lie_on_the_sphere():
    z, positive = identity_pairs().latent_pairs(1000, torch.Generator().manual_seed(0))
    for x in (z, positive):
        assert x.shape == (1000, 4)
        assert torch.allclose(x.norm(dim=1), torch.ones(1000, dtype=torch.float64), atol=1e-6)
    variation = (positive - z).square().mean(0)
    assert (variation.diff() > 0).all()  # the smaller Λ, the more a latent varies


def test_reflected_pairs_have_the_law_of_fresh_ones():
    # One use of a pair a pool, the reflected one: the second of every two batches.
    rng = torch.Generator().manual_seed(1)
    reflected = list(itertools.islice(identity_pairs().batches(4000, rng, pool=1, reuse=2), 16))[1::2]
    z, positive = (torch.cat(part) for part in zip(*reflected, strict=True))
    fresh = identity_pairs().latent_pairs(30_000, torch.Generator().manual_seed(2))
    assert worst_difference(statistics(z, positive), statistics(*fresh)) < 4.5


def test_that_test_sees_a_reflection_of_one_view_only_and_a_swap_of_latents():
    z, positive = identity_pairs().latent_pairs(10_000, torch.Generator().manual_seed(3))
    fresh = statistics(*identity_pairs().latent_pairs(20_000, torch.Generator().manual_seed(4)))
    signs = 1 - 2 * torch.randint(0, 2, z.shape)
    assert worst_difference(statistics(signs * z, positive), fresh) > 20
    assert worst_difference(statistics(z[:, [1, 0, 2, 3]], positive[:, [1, 0, 2, 3]]), fresh) > 20


def test_reuse_serves_every_pair_that_often_and_in_other_batches():
    z, positive = collect(identity_pairs(), 6, seed=0, pool=2, reuse=3)
    fresh_z, fresh_positive = collect(identity_pairs(), 2, seed=0, pool=2, reuse=1)
    assert torch.equal(z[:2000], fresh_z)
    assert torch.equal(positive[:2000], fresh_positive)
    for use in (1, 2):
        again = z[2000 * use : 2000 * (use + 1)]
        assert not torch.equal(again, fresh_z)
        assert torch.allclose(again.abs().sort(0).values, fresh_z.abs().sort(0).values)
        moved = (again[:1000, None, :].abs() - fresh_z[None, :1000, :].abs()).abs().sum(2).amin(1) > 1e-9
        assert 0.4 < float(moved.double().mean()) < 0.6  # half of the first batch came from the second
    after, _ = collect(identity_pairs(), 8, seed=0, pool=2, reuse=3)
    assert not torch.allclose(after[6000:].abs().sort(0).values, fresh_z.abs().sort(0).values)  # then fresh ones


def test_batches_are_observed_through_the_generator():
    g = InvertibleMLP(4, candidates=100, generator=torch.Generator().manual_seed(0))
    pairs = LatentPairs(torch.tensor(CONCENTRATION), g)
    x, x_positive = next(pairs.batches(50, torch.Generator().manual_seed(5), reuse=2))
    assert not x.requires_grad
    for observed in (x, x_positive):
        assert math.isclose(float(g.inverse(observed).norm(dim=1).mean()), 1.0, abs_tol=1e-4)
    assert not torch.equal(x, x_positive)


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"pool": 0}, {"reuse": 0}])
def test_numbers_out_of_range_are_refused_at_the_call(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        identity_pairs().batches(**{"batch_size": 4, "rng": torch.Generator()} | settings)


@pytest.mark.parametrize("concentration", [[], [1.0], [1.0, 0.0], [1.0, -2.0], [1.0, math.inf], [[1.0, 2.0]]])
def test_a_concentration_that_is_none_is_refused(concentration):
    with pytest.raises(ValueError, match="concentration"):
        LatentPairs(torch.tensor(concentration), torch.nn.Identity())
