import pytest
import torch

from aninfonce.models import SmallConvNet


@pytest.mark.parametrize("size", [8, 16, 28, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(size, channels):
    backbone = SmallConvNet(channels, width=4)
    images = torch.rand(3, channels, size, size, generator=torch.Generator().manual_seed(0))
    assert backbone(images).shape == (3, backbone.feature_dim) == (3, 64)
    assert tuple(stage.shape[1] for stage in backbone.stages(images)) == backbone.stage_dims == (8, 16, 32, 64)


def test_last_stage_is_the_feature():
    backbone = SmallConvNet(1, width=4).eval()
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(backbone.stages(images)[-1], backbone(images))


def test_gradient_reaches_every_parameter():
    backbone = SmallConvNet(1, width=4)
    backbone(torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_weights_are_contiguous_as_safetensors_needs_them():
    backbone = SmallConvNet(3, width=4)
    optimizer = torch.optim.AdamW(backbone.parameters())
    backbone(torch.rand(4, 3, 16, 16)).sum().backward()
    optimizer.step()
    assert all(tensor.is_contiguous() for tensor in backbone.state_dict().values())


@pytest.mark.parametrize(("channels", "width"), [(0, 8), (1, 0)])
def test_invalid_sizes(channels, width):
    with pytest.raises(ValueError, match="at least 1"):
        SmallConvNet(channels, width)
