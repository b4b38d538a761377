from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from aninfonce.models.latent_encoder import LatentEncoder
from aninfonce.models.projected_encoder import ProjectedEncoder

X = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))


def projected(layers=2, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return ProjectedEncoder(4, 8, X, rng, feature_dim=12, embedding_dim=5, layers=layers)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_features_are_wide_and_the_projection_lies_on_its_sphere(layers):
    encoder = projected(layers)
    assert encoder.features(X).shape == (200, 12)
    u = encoder(X)
    assert u.shape == (200, 5)
    torch.testing.assert_close(u.norm(dim=1), torch.ones(200))
    assert len(encoder.linear_layers) == 4 + layers


def test_a_linear_projector_is_a_linear_map_of_the_features():
    encoder = projected(1)
    (layer,) = encoder.projector
    torch.testing.assert_close(encoder(X), F.normalize(layer(encoder.features(X)), dim=1) @ encoder.rotation)


def test_the_weights_follow_the_generator_and_all_get_gradients():
    encoder = projected()
    torch.testing.assert_close(encoder(X), projected()(X))
    assert not torch.allclose(encoder(X), projected(seed=2)(X))
    (encoder(X) * torch.randn(5)).sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in encoder.parameters())


@pytest.mark.parametrize("embedding_dim", [2, 3, 4, 7])
def test_an_encoder_without_projector_takes_any_embedding_dimension(embedding_dim):
    rng = torch.Generator().manual_seed(0)
    encoder = LatentEncoder(4, 8, X, rng, embedding_dim=embedding_dim)
    u = encoder(X)
    assert u.shape == (200, embedding_dim)
    torch.testing.assert_close(u.norm(dim=1), torch.ones(200))
    torch.testing.assert_close(u, F.normalize(encoder.features(X), dim=1))  # the rotation starts at the identity


@pytest.mark.parametrize(("name", "value"), [("layers", 0), ("embedding_dim", 1), ("feature_dim", 1)])
def test_settings_out_of_range_are_refused(name, value):
    settings = {"feature_dim": 12, "embedding_dim": 5, "layers": 2, name: value}
    with pytest.raises(ValueError, match=name if name != "feature_dim" else "embedding_dim"):
        ProjectedEncoder(4, 8, X, **settings)
