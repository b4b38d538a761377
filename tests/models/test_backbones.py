"""Backbones by name. Only small networks are built, to keep the tests quick."""

import sys

import pytest
import torch
from torch import nn

from aninfonce._extras import MissingExtraError
from aninfonce.models import SmallConvNet, make_backbone


def images(channels, size, n=2):
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "size", "dim"),
    [
        ("small", 8, 384),
        ("small", 28, 384),
        ("small:8", 32, 128),
        ("resnet18", 8, 512),
        ("torchvision:resnet18", 32, 512),
        ("torchvision:mobilenet_v3_small", 32, 1024),
        ("timm:resnet10t", 32, 512),
        ("timm:test_vit", 32, 64),
    ],
)
def test_shapes(name, channels, size, dim):
    backbone = make_backbone(name, channels=channels, image_size=size)
    assert backbone.feature_dim == dim
    assert backbone.training
    assert backbone(images(channels, size)).shape == (2, dim)


def test_cifar_stem_for_small_images_only():
    small = make_backbone("resnet18", channels=3, image_size=32).network
    assert small.conv1.kernel_size == (3, 3)
    assert small.conv1.stride == (1, 1)
    assert isinstance(small.maxpool, nn.Identity)
    large = make_backbone("resnet18", channels=1, image_size=224).network
    assert large.conv1.kernel_size == (7, 7)
    assert large.conv1.stride == (2, 2)
    assert large.conv1.in_channels == 1
    assert isinstance(large.maxpool, nn.MaxPool2d)


@pytest.mark.parametrize("name", ["resnet18", "timm:resnet18", "timm:resnet10t", "timm:test_resnet"])
def test_the_cifar_stem_keeps_every_pixel(name):
    """A 3×3 convolution with stride 1, no pooling: the first stage sees the whole map, the last one an eighth of it."""
    backbone = make_backbone(name, channels=3, image_size=32)
    network = backbone.network
    assert isinstance(network.conv1, nn.Conv2d)
    assert (network.conv1.kernel_size, network.conv1.stride) == ((3, 3), (1, 1))
    sides = {}
    for layer in ("layer1", "layer4"):
        network.get_submodule(layer).register_forward_hook(
            lambda module, args, out, layer=layer: sides.update({layer: (args[0].shape[2:], out.shape[2:])})
        )
    backbone(images(3, 32))
    assert sides["layer1"][0] == (32, 32)
    assert sides["layer4"][1] == (4, 4)
    assert not isinstance(make_backbone(name, channels=3, image_size=96).network.maxpool, nn.Identity)


FAMILIES = (
    *("torchvision:resnet18", "torchvision:mobilenet_v3_small", "torchvision:shufflenet_v2_x0_5"),
    *("torchvision:efficientnet_b0", "torchvision:regnet_y_400mf", "torchvision:mnasnet0_5"),
    *("timm:resnet10t", "timm:test_vit", "timm:vit_tiny_patch16_224", "timm:test_convnext", "timm:convnext_atto"),
    *("timm:mobilenetv3_small_050", "timm:efficientnet_lite0", "timm:test_efficientnet", "timm:test_byobnet"),
    *("timm:regnetx_002", "timm:ghostnet_050", "timm:test_mambaout"),
)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_both_libraries_learn_from_small_images(name):
    """Forward and backward at 32 pixels: every parameter has a finite gradient, and it reaches the first filters."""
    torch.manual_seed(0)
    backbone = make_backbone(name, channels=3, image_size=32)
    features = backbone(images(3, 32, n=4))
    assert features.shape == (4, backbone.feature_dim)
    (features * torch.randn(features.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    for path, parameter in backbone.named_parameters():
        assert parameter.grad is not None, path
        assert bool(torch.isfinite(parameter.grad).all()), path
    # Not in all of them: many a residual branch starts at zero.
    first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    assert first.weight.grad.abs().max() > 0


def test_vision_transformer_is_built_for_the_image_size():
    backbone = make_backbone("torchvision:vit_b_32", channels=1, image_size=32)
    assert backbone(images(1, 32)).shape == (2, backbone.feature_dim) == (2, 768)


def test_building_leaves_the_running_statistics_alone():
    backbone = make_backbone("resnet18", channels=3, image_size=32)
    for name, buffer in backbone.named_buffers():
        if name.endswith("num_batches_tracked"):
            assert buffer == 0


def test_gradient_reaches_every_parameter():
    backbone = make_backbone("resnet18", channels=1, image_size=16)
    backbone(images(1, 16, n=4)).square().sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_small_is_the_default():
    backbone = make_backbone(channels=1, image_size=28)
    assert isinstance(backbone, SmallConvNet)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "did you mean 'resnet1"),
        ("smal", "did you mean 'small'"),
        ("torchvision:resnet180", "did you mean 'resnet18'"),
        ("timm:resnet10tt", "did you mean timm:resnet10t"),
        ("keras:resnet", "expected small, small:WIDTH, timm:NAME or torchvision:NAME"),
        ("small:wide", "expected small, small:WIDTH, timm:NAME or torchvision:NAME"),
        ("timm:", "expected small, small:WIDTH, timm:NAME or torchvision:NAME"),
        ("torchvision:squeezenet1_1", "no linear classifier"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ValueError, match=message):
        make_backbone(name, channels=1, image_size=28)


def test_images_too_small_for_the_network():
    with pytest.raises(ValueError, match="alexnet cannot take images of 1×28×28"):
        make_backbone("alexnet", channels=1, image_size=28)
    with pytest.raises(ValueError, match="at least 1"):
        make_backbone("small", channels=0, image_size=28)


@pytest.mark.parametrize(("package", "name"), [("torchvision", "resnet18"), ("timm", "timm:resnet10t")])
def test_missing_extra_is_named(monkeypatch, package, name):
    for module in [m for m in sys.modules if m.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr("sys.meta_path", [Blocker(package), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=r"aninfonce\[vision\]"):
        make_backbone(name, channels=1, image_size=28)


class Blocker:
    """An import hook for which one package is not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
