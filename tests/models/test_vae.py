from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from aninfonce.data.generators import ImageDecoder
from aninfonce.models import VAE
from aninfonce.models.vae import active_units


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def vae() -> VAE:
    return VAE(ImageDecoder(3, (1, 4, 4), (6, 12), generator=seeded()), 16, 8, generator=seeded())


def test_both_parts_of_the_bound_are_those_of_torch(vae):
    images, noise = torch.rand(5, 1, 4, 4, generator=seeded(1)).round(), torch.randn(5, 3, generator=seeded(2))
    error, divergence = vae(images, noise)
    mean, log_variance = vae.posterior(images)
    deviation = (log_variance / 2).exp()
    pixels = Bernoulli(vae.decoder(mean + deviation * noise))
    assert torch.allclose(error, -pixels.log_prob(images).sum((1, 2, 3)), rtol=1e-4)
    expected = kl_divergence(Normal(mean, deviation), Normal(torch.zeros(3), torch.ones(3)))
    assert torch.allclose(divergence, expected, atol=1e-5)


def test_active_units_are_those_whose_mean_moves(vae):
    images = torch.rand(200, 1, 4, 4, generator=seeded(1))
    last = vae.encoder[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.weight[1] = 10.0
    assert active_units(vae, images).tolist() == [False, True, False]


def test_every_parameter_gets_a_gradient(vae):
    error, divergence = vae(torch.rand(5, 1, 4, 4), torch.randn(5, 3))
    (error.mean() + divergence.sum(1).mean()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in vae.parameters())


@pytest.mark.parametrize(("pixels", "width", "named"), [(0, 8, "pixels"), (16, 0, "width")])
def test_sizes_out_of_range_are_refused(pixels, width, named):
    with pytest.raises(ValueError, match=named):
        VAE(ImageDecoder(3, (1, 4, 4), (6, 12)), pixels, width)
