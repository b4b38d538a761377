"""Latents behind sprites: the map to factors, exact pairs, and that nothing about a latent is lost."""

from __future__ import annotations

import math

import pytest
import torch
from sprite_factors import HIGH, LOW, corners, random_factors
from torch import Tensor

from aninfonce.data.box_pairs import BoxPairs
from aninfonce.data.generators import (
    FACTORS,
    InvertibleMLP,
    LatentsToFactors,
    SpriteGenerator,
    SpriteRenderer,
    smallest_singular_value,
)
from aninfonce.data.latent_pairs import LatentPairs
from aninfonce.distributions import HypersphericalUniform


def sphere(n: int, dim: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return HypersphericalUniform(dim, dtype=torch.float64).sample((n,), generator=generator)


@pytest.mark.parametrize(
    ("mapping", "bound"),
    [(LatentsToFactors(), 0.4), (LatentsToFactors.first(10, curve="even"), 0.02), (LatentsToFactors.first(3), 0.8)],
)
def test_no_direction_is_lost_on_the_sphere(mapping, bound):
    values = smallest_singular_value(SpriteGenerator(mapping), sphere(200, mapping.dim))
    assert values.shape == (200,)
    assert values.min() > bound


def test_no_direction_is_lost_in_the_box_and_at_its_corners():
    mapping = LatentsToFactors()
    z = torch.cat([mapping.inverse(random_factors(200)), mapping.inverse(corners(200))])
    assert smallest_singular_value(SpriteGenerator(mapping), z).min() > 0.4
    # The least moves of single factors: how far a step through the whole range goes.
    images = SpriteRenderer()(torch.cat([LOW + torch.eye(10) * (HIGH - LOW), LOW[None]]))
    assert (images[:10] - images[10]).flatten(1).norm(dim=1).min() > 0.8


def test_different_latents_have_different_images():
    z = 2 * torch.rand(1000, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1
    # Random pairs differ in everything; these differ in one latent only, by a random amount.
    other = z.clone()
    one = torch.arange(1000) % 10
    other[torch.arange(1000), one] = z.roll(1, 0)[torch.arange(1000), one]
    g = SpriteGenerator()
    x, y = g(z).flatten(1), g(other).flatten(1)
    moved = (z - other).norm(dim=1)
    assert ((x - y).norm(dim=1) / moved).min() > 0.3
    far = torch.cdist(x, x) / torch.cdist(z, z).fill_diagonal_(1)
    assert far.fill_diagonal_(9).min() > 0.3


def test_the_smallest_singular_value_is_that_of_a_matrix_and_sees_a_lost_latent():
    g = InvertibleMLP(4, depth=1, candidates=50, generator=torch.Generator().manual_seed(0)).double()
    values = smallest_singular_value(g, sphere(5, 4))
    assert torch.allclose(values, torch.linalg.svdvals(g.weights[0])[-1].expand(5), atol=1e-10)
    assert smallest_singular_value(lambda z: z[:, :1].sin() + z[:, 1:], sphere(5, 2)).max() < 1e-7


@pytest.mark.parametrize("curve", ["linear", "even"])
@pytest.mark.parametrize("dim", [2, 6, 10])
def test_latents_come_back_from_factors(dim, curve):
    mapping = LatentsToFactors.first(dim, curve=curve)
    z = sphere(200, dim)
    assert mapping.dim == dim
    assert torch.allclose(mapping.inverse(mapping(z)), z, atol=1e-9)
    rows = mapping(z.float())
    assert rows.dtype == torch.float32
    assert (rows[:, dim:] == ((LOW + HIGH) / 2)[dim:].float()).all()


def test_latents_drive_the_named_factors_in_their_order_and_others_stay_fixed():
    mapping = LatentsToFactors(("hue", "x"), low=0.0, high=2.0, fixed={"rotation": -90.0})
    rows = mapping(torch.tensor([[0.0, 2.0], [2.0, 0.5]]))
    assert torch.allclose(rows[:, FACTORS.index("hue")], torch.tensor([0.0, 0.75]))
    assert torch.allclose(rows[:, FACTORS.index("x")], torch.tensor([0.34, -0.17]))
    assert (rows[:, FACTORS.index("rotation")] == -90).all()
    assert (rows[:, FACTORS.index("size")] == 0.315).all()


def test_the_even_curve_spreads_the_factors_and_the_linear_one_does_not():
    spread = {c: LatentsToFactors.first(10, curve=c)(sphere(4000, 10)).std(0) for c in ("linear", "even")}
    width = HIGH - LOW
    assert torch.allclose(spread["linear"] / width, torch.tensor(0.5 / math.sqrt(10)).double(), rtol=0.06)
    assert torch.allclose(spread["even"] / width, torch.tensor(1 / math.sqrt(12)).double(), rtol=0.06)


def test_exact_pairs_on_the_sphere_are_observed_as_sprites():
    g = SpriteGenerator(LatentsToFactors.first(4), SpriteRenderer(size=16))
    pairs = LatentPairs(torch.tensor([12.5, 12.5, 2.5, 2.5]), g)
    x, positive = next(pairs.batches(40, torch.Generator().manual_seed(0), pool=1, reuse=2))
    z, z_positive = pairs.latent_pairs(40, torch.Generator().manual_seed(0))
    assert torch.allclose(x, g(z), atol=1e-6)
    assert torch.allclose(positive, g(z_positive), atol=1e-6)


def test_exact_pairs_in_the_box_are_observed_as_sprites_and_have_their_law():
    g = SpriteGenerator(LatentsToFactors.first(3), SpriteRenderer(size=16))
    pairs = BoxPairs(torch.tensor([50.0, 8.0, 2.0]), g)
    x, _ = next(pairs.batches(40, torch.Generator().manual_seed(0), pool=1))
    assert x.shape == (40, 3, 16, 16)
    z, positive = pairs.latent_pairs(40_000, torch.Generator().manual_seed(0))
    assert z.dtype == positive.dtype == torch.float32
    assert (z.abs() <= 1).all()
    assert (positive.abs() <= 1).all()
    assert torch.allclose(z.var(0), torch.full((3,), 1 / 3), rtol=0.03)
    # Far from the walls the conditional is the free Gaussian, of variance 1 / (2 λ); 0.6 is 3 deviations for λ = 50 …
    middle = z[:, 0].abs() < 0.4
    assert (positive - z)[middle, 0].var().item() == pytest.approx(0.01, rel=0.05)
    # … and near them it is cut off, which pulls positives inwards.
    assert (positive - z)[z[:, 2] > 0.9, 2].mean() < -0.3
    with pytest.raises(ValueError, match="exponent"):
        BoxPairs(torch.ones(2), g, exponent=0.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ("x", "colour")}, "unknown factor 'colour'"),
        ({"names": ()}, "at least one factor"),
        ({"names": ("x", "x")}, "none of them twice"),
        ({"names": ("x",), "fixed": {"x": 0.0}}, "both for x"),
        ({"names": ("x",), "fixed": {"hue": 0.9}}, "hue must be between 0 and 0.75"),
        ({"low": 1.0, "high": 0.0}, "low must be less than high"),
        ({"low": 0.0, "curve": "even"}, "for the sphere"),
    ],
)
def test_mappings_that_are_none_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LatentsToFactors(**settings)


@pytest.mark.parametrize("dim", [0, 11])
def test_more_latents_than_factors_are_refused(dim):
    with pytest.raises(ValueError, match=f"between 1 and the number of factors, 10, got {dim}"):
        LatentsToFactors.first(dim)


def test_latents_that_do_not_fit_are_refused():
    mapping = LatentsToFactors.first(3)
    with pytest.raises(ValueError, match=r"\(n, 3\), one column for each of x, y, size; got \(2, 4\)"):
        mapping(torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"between -1 and 1, got values from 0 to 1\.5"):
        mapping(torch.tensor([[0.0, 1.5, 0.0]]))
    with pytest.raises(ValueError, match="finite"):
        mapping(torch.tensor([[0.0, math.nan, 0.0]]))
    with pytest.raises(TypeError, match="floating-point"):
        mapping(torch.zeros(2, 3, dtype=torch.long))
