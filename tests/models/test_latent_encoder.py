from __future__ import annotations

import pytest
import torch

from aninfonce.models.latent_encoder import LatentEncoder


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def observations() -> torch.Tensor:
    shear = torch.tensor([[3.0, 1.0, 0.0, 0.0], [0.0, 0.1, 2.0, 0.0], [0.0, 0.0, 1.0, 0.5], [1.0, 0.0, 0.0, 1.0]])
    return torch.randn(2000, 4, generator=seeded()) @ shear + torch.tensor([5.0, -1.0, 0.0, 2.0])


def test_whitening_whitens(observations):
    encoder = LatentEncoder(4, 8, observations, seeded())
    white = (observations - encoder.mean) @ encoder.whitening
    assert torch.allclose(white.mean(0), torch.zeros(4), atol=1e-4)
    assert torch.allclose(torch.cov(white.T), torch.eye(4), atol=1e-3)
    # ZCA: the symmetric root, so that no axis is turned more than it must be.
    assert torch.allclose(encoder.whitening, encoder.whitening.T, atol=1e-6)
    assert (torch.linalg.eigvalsh(encoder.whitening) > 0).all()


def test_embeddings_lie_on_the_sphere(observations):
    encoder = LatentEncoder(4, 8, observations, seeded())
    with torch.no_grad():
        encoder.skew.copy_(torch.randn(4, 4, generator=seeded(1)))
    embedding = encoder(observations)
    assert embedding.shape == (2000, 4)
    assert torch.allclose(embedding.norm(dim=1), torch.ones(2000), atol=1e-5)


def test_the_rotation_is_one(observations):
    encoder = LatentEncoder(4, 8, observations, seeded()).double()
    assert torch.equal(encoder.rotation, torch.eye(4, dtype=torch.float64))
    with torch.no_grad():
        encoder.skew.copy_(3 * torch.randn(4, 4, dtype=torch.float64))
    assert torch.allclose(encoder.rotation @ encoder.rotation.T, torch.eye(4, dtype=torch.float64), atol=1e-12)
    assert float(torch.linalg.det(encoder.rotation).detach()) == pytest.approx(1)


def test_to_first_order_the_rotation_is_the_exponential_map(observations):
    encoder = LatentEncoder(4, 8, observations, seeded()).double()
    with torch.no_grad():
        encoder.skew.copy_(1e-3 * torch.randn(4, 4, dtype=torch.float64))
        exponential = torch.linalg.matrix_exp(encoder.skew - encoder.skew.T)
    assert torch.allclose(encoder.rotation, exponential, atol=1e-7)


def test_every_parameter_gets_a_gradient(observations):
    encoder = LatentEncoder(4, 8, observations, seeded())
    target = torch.randn(2000, 4, generator=seeded(1))
    (encoder(observations) * target).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_it_starts_close_to_the_whitened_input(observations):
    encoder = LatentEncoder(4, 64, observations, seeded())
    white = torch.nn.functional.normalize((observations - encoder.mean) @ encoder.whitening, dim=1)
    assert float((encoder(observations) * white).sum(1).mean().detach()) > 0.8


def test_the_initial_weights_are_a_function_of_the_generator(observations):
    first, again, other = (LatentEncoder(4, 8, observations, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first(observations), again(observations))
    assert not torch.equal(first(observations), other(observations))


def test_bad_arguments_are_refused(observations):
    with pytest.raises(ValueError, match="dim"):
        LatentEncoder(1, 8, observations[:, :1])
    with pytest.raises(ValueError, match="width"):
        LatentEncoder(4, 0, observations)
    with pytest.raises(ValueError, match="columns"):
        LatentEncoder(3, 8, observations)
    with pytest.raises(ValueError, match="at least 5 rows"):
        LatentEncoder(4, 8, observations[:4])


def test_the_leading_components_of_images_are_whitened():
    scales = torch.tensor([9.0, 5.0, 2.0, 1.0, 0.5, 0.1])
    images = (torch.randn(3000, 6, generator=seeded()) * scales).reshape(3000, 1, 2, 3)
    encoder = LatentEncoder(2, 8, images, seeded(), components=3)
    white = (images.flatten(1) - encoder.mean) @ encoder.whitening
    assert torch.allclose(torch.cov(white.T), torch.eye(3), atol=1e-3)
    assert encoder.whitening[3:].abs().max() < 0.01, "the entries that hardly vary are left away"
    assert encoder.whitening.abs().argmax(0).tolist() == [0, 1, 2], "the leading one first"
    assert encoder(images).shape == (3000, 2)


@pytest.mark.parametrize("components", [1, 7])
def test_components_out_of_range_are_refused(components):
    with pytest.raises(ValueError, match="components"):
        LatentEncoder(2, 8, torch.randn(50, 6), components=components)
