"""Densities, moments, entropies and gradients of every law against numerical integration, sampling and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from examples import EXAMPLES, Example, seeded
from interval_laws import gauss_legendre
from scipy import stats
from spherical_laws import circle_grid, sphere_grid
from torch import Tensor

from aninfonce.distributions import (
    AnisotropicSpherical,
    ContentStyleConditional,
    GeneralizedNormal,
    HypersphericalUniform,
    UniformBox,
    VonMisesFisher,
)

F64 = torch.float64
DENSITIES = {name: example for name, example in EXAMPLES.items() if example.density}
MOMENTS = {name: example for name, example in EXAMPLES.items() if not name.startswith("Approximate")}


def grid(law: torch.distributions.Distribution) -> tuple[Tensor, Tensor]:
    """Points of the support's space, one set for the whole batch, and their weights; split at the kinks."""
    if law.support is HypersphericalUniform.support:
        if law.event_shape[0] == 3:
            return sphere_grid(200, 400)
        points, step = circle_grid(400)
        return points, torch.full((400,), step, dtype=F64)
    axes = []
    for k in range(law.event_shape[0]):
        bounds = [law.low[..., k], law.high[..., k]] if hasattr(law, "low") else [torch.tensor([-14.0, 14.0])]
        kinks = [law.loc[..., k]] if hasattr(law, "loc") else []
        edges = sorted({float(x) for bound in (*bounds, *kinks) for x in bound.flatten()})
        axes.append([torch.from_numpy(v) for v in gauss_legendre(edges, nodes=90)])
    (x, wx), (y, wy) = axes
    points = torch.stack(torch.meshgrid(x, y, indexing="ij"), -1).reshape(-1, 2)
    return points, (wx[:, None] * wy).reshape(-1)


def integrated(law: torch.distributions.Distribution) -> dict[str, Tensor]:
    points, weight = grid(law)
    log_density = law.log_prob(points.reshape(-1, *[1] * len(law.batch_shape), law.event_shape[0]))
    mass = weight.reshape(-1, *[1] * len(law.batch_shape)) * log_density.exp()
    points = points.reshape(-1, *[1] * len(law.batch_shape), law.event_shape[0])
    mean = (mass[..., None] * points).sum(0)
    return {
        "one": mass.sum(0),
        "mean": mean,
        "variance": (mass[..., None] * points**2).sum(0) - mean**2,
        "entropy": -(mass * log_density.clamp_min(-1e3)).sum(0),
    }


INTEGRABLE = {name: example for name, example in DENSITIES.items() if not name.startswith("ContentStyle")}


@pytest.mark.parametrize("example", INTEGRABLE.values(), ids=INTEGRABLE.keys())
def test_the_density_integrates_to_one_and_to_the_moments(example: Example):
    law = example.make(F64)
    found = integrated(law)
    torch.testing.assert_close(found["one"], torch.ones(law.batch_shape, dtype=F64), rtol=0, atol=1e-7)
    torch.testing.assert_close(found["mean"], law.mean, rtol=0, atol=1e-7)
    torch.testing.assert_close(found["variance"], law.variance, rtol=0, atol=1e-6)
    torch.testing.assert_close(found["entropy"], law.entropy(), rtol=0, atol=1e-6)
    torch.testing.assert_close(law.stddev, law.variance.sqrt())


def check_against_sampling(example: Example, n: int) -> None:
    law = example.make(F64)
    samples = law.sample((n,), generator=seeded(5))
    spread = samples.std(0)
    assert bool(((samples.mean(0) - law.mean).abs() <= 5 * spread / math.sqrt(n) + 1e-12).all())
    squares = (samples - law.mean) ** 2
    assert bool(((squares.mean(0) - law.variance).abs() <= 5 * squares.std(0) / math.sqrt(n) + 1e-12).all())
    if example.density:
        surprise = -law.log_prob(samples)
        assert bool(((surprise.mean(0) - law.entropy()).abs() <= 5 * surprise.std(0) / math.sqrt(n) + 1e-12).all())


@pytest.mark.parametrize("example", MOMENTS.values(), ids=MOMENTS.keys())
def test_moments_and_entropy_are_those_of_samples(example):
    check_against_sampling(example, 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("example", MOMENTS.values(), ids=MOMENTS.keys())
def test_moments_and_entropy_are_those_of_many_samples(example):
    check_against_sampling(example, 2_000_000)


REPARAMETRISED = {name: e for name, e in EXAMPLES.items() if name.startswith(("UniformBox", "GeneralizedNormal"))}


def check_gradients(example: Example, n: int) -> None:
    """The pathwise gradient of E[u + u²] by every parameter is that of mean + variance + mean²."""
    law = example.make(F64)
    leaves = [getattr(law, name).clone().requires_grad_() for name in law._batched]
    for name, leaf in zip(law._batched, leaves, strict=True):
        setattr(law, name, leaf)
    samples = law.rsample((n,), generator=seeded(3))
    exact = torch.autograd.grad((law.mean + law.variance + law.mean**2).sum(), leaves)
    several = [torch.autograd.grad((x + x**2).mean(0).sum(), leaves, retain_graph=True) for x in samples.chunk(20)]
    for found, expected in zip(zip(*several, strict=True), exact, strict=True):
        parts = torch.stack(found)
        assert bool(((parts.mean(0) - expected).abs() <= 5 * parts.std(0) / math.sqrt(20) + 1e-12).all())


@pytest.mark.parametrize("example", REPARAMETRISED.values(), ids=REPARAMETRISED.keys())
def test_gradients_of_samples_are_those_of_the_moments(example):
    check_gradients(example, 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("example", REPARAMETRISED.values(), ids=REPARAMETRISED.keys())
def test_gradients_of_many_samples_are_those_of_the_moments(example):
    check_gradients(example, 2_000_000)


@pytest.mark.parametrize("dim", [2, 3, 7, 50])
@pytest.mark.parametrize("kappa", [0.01, 1.0, 30.0, 1e4])
def test_von_mises_fisher_against_scipy(dim, kappa):
    z = torch.nn.functional.normalize(torch.randn(dim, generator=seeded(), dtype=F64), dim=0)
    theirs, ours = stats.vonmises_fisher(z.numpy(), kappa), VonMisesFisher(z, kappa)
    u = ours.sample((20,), generator=seeded())
    np.testing.assert_allclose(ours.log_prob(u).numpy(), theirs.logpdf(u.numpy()), rtol=1e-9, atol=1e-8)
    assert float(ours.entropy()) == pytest.approx(float(theirs.entropy()), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("exponent", [0.7, 1.0, 2.0, 5.0])
def test_generalized_normal_against_scipy(exponent):
    theirs = stats.gennorm(exponent, loc=0.5, scale=2.0 ** (-1 / exponent))
    ours = GeneralizedNormal(torch.tensor([0.5], dtype=F64), 2.0, exponent)
    u = ours.sample((20,), generator=seeded())
    np.testing.assert_allclose(ours.log_prob(u).numpy(), theirs.logpdf(u.numpy())[:, 0], rtol=1e-10)
    assert float(ours.variance) == pytest.approx(theirs.var())
    assert float(ours.entropy()) == pytest.approx(float(theirs.entropy()))


@pytest.mark.parametrize("kappa", [0.0, 1e-9, 1e-3, 1.0, 1e3, 1e6, 1e9, 1e13])
def test_the_variances_of_a_von_mises_fisher_law_add_up(kappa):
    """|u| = 1, so that all variances and the squared mean sum to one; across z it is A/κ, by the exact A in d = 3."""
    z = torch.tensor([0.0, 0.6, 0.8], dtype=F64)
    law = VonMisesFisher(z, kappa)
    assert float(law.variance.sum() + law.mean.square().sum()) == pytest.approx(1, abs=1e-12)
    length = 1 / math.tanh(kappa) - 1 / kappa if kappa > 1e-2 else kappa / 3 - kappa**3 / 45
    assert float(law.variance[0]) == pytest.approx(length / kappa if kappa else 1 / 3, rel=1e-7)
    assert bool((law.variance >= 0).all())


def test_the_mode_of_a_signed_law_where_it_is_not_the_location():
    z = torch.tensor([0.6, 0.0, 0.8], dtype=F64)
    found = AnisotropicSpherical(z, torch.tensor([-3.0, 1.0, 4.0], dtype=F64), signed=True)
    points, _ = sphere_grid(600, 1200)
    best = points[found.log_prob(points).argmax()]
    torch.testing.assert_close(found.mode, best, rtol=0, atol=0.01)
    assert float((found.mode - z).norm()) > 0.1
    hard = AnisotropicSpherical(z, torch.tensor([1.0, -30.0, 4.0], dtype=F64), signed=True)
    assert float(hard.log_prob(hard.mode)) >= float(hard.log_prob(points).max()) - 1e-9
    assert float(hard.mode[1].abs()) > 0.5
    mirrored = hard.mode * torch.tensor([1.0, -1.0, 1.0], dtype=F64)
    torch.testing.assert_close(hard.log_prob(mirrored), hard.log_prob(hard.mode))


def test_moments_of_a_style_that_stays_at_times():
    z = torch.tensor([0.5, -2.0], dtype=F64)
    style = UniformBox(torch.zeros(1, dtype=F64), 1.0)
    law = ContentStyleConditional(z, [1], style, 0.25)
    assert law.mean.tolist() == [0.5, 0.75 * -2.0 + 0.25 * 0.5]
    second = 0.75 * 4.0 + 0.25 / 3
    assert law.variance.tolist() == pytest.approx([0.0, second - law.mean[1].item() ** 2])
