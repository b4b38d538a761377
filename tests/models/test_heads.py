import pytest
import torch
from torch import nn

from aninfonce.models import ContrastiveModel, Projector, SmallConvNet


def images(n=8):
    return torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def small_model(**options):
    backbone = SmallConvNet(1, width=4)
    options = {"mean": [0.3], "std": [0.5]} | options
    return ContrastiveModel(backbone, Projector(64, 32, 10), **options)


@pytest.mark.parametrize(("layers", "linear"), [(1, [(6, 3)]), (2, [(6, 5), (5, 3)]), (3, [(6, 5), (5, 5), (5, 3)])])
def test_projector_layers(layers, linear):
    projector = Projector(6, 5, 3, layers)
    assert [(m.in_features, m.out_features) for m in projector if isinstance(m, nn.Linear)] == linear
    assert sum(isinstance(m, nn.BatchNorm1d) for m in projector) == layers - 1
    assert projector(torch.rand(4, 6)).shape == (4, 3)


@pytest.mark.parametrize("wrong", [(0, 1, 1, 1), (1, 0, 1, 2), (1, 1, 0, 2), (1, 1, 1, 0)])
def test_projector_sizes(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        Projector(*wrong)


def test_model_normalises_its_input():
    model = small_model().eval()
    features, embedding = model(images())
    assert torch.equal(features, model.backbone((images() - 0.3) / 0.5))
    assert torch.equal(features, model.features(images()))
    assert torch.equal(embedding, model.projector(features))
    assert embedding.shape == (8, 10)


def test_normalisation_is_saved_with_the_weights():
    saved = small_model(mean=torch.tensor([0.1]), std=torch.tensor([0.2])).state_dict()
    model = small_model()
    model.load_state_dict(saved)
    assert model.mean.flatten().tolist() == pytest.approx([0.1])
    assert model.std.flatten().tolist() == pytest.approx([0.2])


def test_gradient_reaches_every_parameter():
    model = small_model()
    _, embedding = model(images())
    # Without the square, batch normalisation would make the sum independent of what comes before it.
    embedding.pow(2).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_no_projector():
    model = ContrastiveModel(SmallConvNet(1, width=4), nn.Identity(), [0.0], [1.0])
    features, embedding = model(images())
    assert torch.equal(features, embedding)


@pytest.mark.parametrize("wrong", [{"mean": [0.1, 0.2]}, {"std": [0.0]}, {"std": [float("nan")]}])
def test_invalid_normalisation(wrong):
    with pytest.raises(ValueError, match="std must"):
        small_model(**wrong)
