"""The encoder of images: what it whitens, what its layers are, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aninfonce.models.image_latent_encoder import ImageLatentEncoder, PatchLinear


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> torch.Tensor:
    """Images of five directions of different variance around a mean, and no others."""
    directions = torch.linalg.qr(torch.randn(3 * 16 * 16, 5, generator=seeded())).Q
    weights = torch.randn(600, 5, generator=seeded(1)) * torch.tensor([9.0, 5.0, 2.0, 1.0, 0.5])
    return (weights @ directions.T + 0.5).view(600, 3, 16, 16)


def encoder_of(images, **settings):
    return ImageLatentEncoder(4, images, channels=3, width=8, generator=seeded(2), **{"components": 5} | settings)


def test_the_components_are_white(images):
    encoder = encoder_of(images)
    white = (images - encoder.mean).flatten(1) @ encoder.projection
    assert torch.allclose(white.mean(0), torch.zeros(5), atol=1e-4)
    assert torch.allclose(white.T @ white / len(white), torch.eye(5), atol=1e-3)


def test_the_first_components_are_those_of_the_largest_variance(images):
    encoder = encoder_of(images, components=2)
    centred = (images - images.mean(0)).flatten(1)
    leading = torch.linalg.svd(centred, full_matrices=False).Vh[:2]
    own = F.normalize(encoder.projection.T, dim=1)
    assert torch.allclose((own @ leading.T).abs(), torch.eye(2), atol=1e-3)


def test_embeddings_lie_on_the_sphere_whatever_the_rotation(images):
    encoder = encoder_of(images)
    before = encoder(images)
    with torch.no_grad():
        encoder.skew.copy_(torch.randn(4, 4, generator=seeded(3)))
    after = encoder(images)
    assert after.shape == (600, 4)
    assert torch.allclose(after.norm(dim=1), torch.ones(600), atol=1e-5)
    assert torch.allclose(before @ before.T, after @ after.T, atol=1e-5), "a rotation keeps all angles"
    assert not torch.allclose(before, after, atol=0.1)


def test_a_patch_layer_is_a_convolution_that_halves_the_image():
    layer = PatchLinear(3, 6)
    with torch.no_grad():  # the first output copies a pixel of the second channel: row 1, column 2 of its patch
        layer.weight.zero_()
        layer.weight[0, 16 + 4 * 1 + 2] = 1.0
        layer.bias.zero_()
    maps = torch.rand(2, 3, 8, 8, generator=seeded())
    out = layer(maps)
    assert out.shape == (2, 6, 4, 4)
    assert torch.equal(out[:, 0], maps[:, 1, 0::2, 1::2])
    assert not out[:, 1:].any()


def test_the_first_layer_sees_white_patches(images):
    encoder = encoder_of(torch.rand(512, 3, 16, 16, generator=seeded()) + torch.linspace(0, 9, 16))
    first = encoder.layers[0]
    with torch.no_grad():
        first.weight.copy_(torch.eye(48)[:3])
        first.bias.zero_()
    inside = first((torch.rand(512, 3, 16, 16, generator=seeded(1)) - 0.5) / encoder.scale)[:, :, 1:-1, 1:-1]
    assert inside.var().item() == pytest.approx(1, abs=0.3), "patches of noise, of which each entry is whitened alone"


def test_every_parameter_learns_and_every_matrix_is_one(images):
    encoder = encoder_of(images)
    target = torch.randn(600, 4, generator=seeded(4))
    (encoder(images) * target).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert all(layer.weight.ndim == 2 for layer in encoder.linear_layers)
    assert len(encoder.linear_layers) == len(encoder.layers)


def test_the_generator_decides_the_weights(images):
    first, again = encoder_of(images), encoder_of(images)
    for one, two in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((300, 3, 16), {}, "images must have shape"),
        ((300, 3, 16, 24), {}, "images must have shape"),
        ((300, 3, 12, 12), {}, "multiple of 8"),
        ((255, 3, 16, 16), {}, "at least 256"),
        ((300, 3, 16, 16), {"components": 151}, "between 1 and 150"),
        ((300, 3, 16, 16), {"components": 0}, "between 1 and 150"),
        ((300, 3, 16, 16), {"channels": 0}, "channels"),
        ((300, 3, 16, 16), {"width": 0}, "width"),
        ((300, 3, 16, 16), {"dim": 1}, "dim >= 2"),
    ],
)
def test_bad_settings_are_refused(shape, settings, message):
    with pytest.raises(ValueError, match=message):
        ImageLatentEncoder(settings.pop("dim", 4), torch.rand(shape), **settings)
