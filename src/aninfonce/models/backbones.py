"""Backbones by name: this package's, torchvision's and timm's, without their classifier. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from aninfonce._checks import nearest_name
from aninfonce._extras import require
from aninfonce.models.convnet import SmallConvNet

__all__ = ["Backbone", "check_backbone", "make_backbone"]

# Up to this size, ResNets get the stem of the CIFAR experiments; the ImageNet stem would leave 1/32 of the side.
_SMALL_IMAGE = 64


class Backbone(nn.Module):
    """A network that maps images to features, with the dimension of the features.

    Arguments:
        network: maps images of shape (batch, channels, height, width) to features of shape (batch, feature_dim).
        feature_dim: dimension of the features.
        head: where the classifier stood in the network, that others' weights still have: names of modules.

    Example:
        >>> Backbone(nn.Flatten(), 64)(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 64])
    """

    def __init__(self, network: nn.Module, feature_dim: int, head: Sequence[str] = ()) -> None:
        super().__init__()
        self.network = network
        self.feature_dim = feature_dim
        self.head = tuple(head)

    def forward(self, images: Tensor) -> Tensor:
        """Features of shape (batch, feature_dim)."""
        features: Tensor = self.network(images)
        return features


def make_backbone(name: str = "small", *, channels: int, image_size: int) -> SmallConvNet | Backbone:
    """Build an untrained backbone by name.

    Arguments:
        name: `"small"` (`SmallConvNet`), `"small:WIDTH"`, `"timm:NAME"`, `"torchvision:NAME"`, or a name of
            torchvision's alone, such as `"resnet18"`. Weights are drawn from torch's global generator, as in those
            libraries.
        channels: channels of the images; the first convolution is made for them.
        image_size: side of the images in pixels. Up to 64, torchvision's and timm's ResNets get the stem of the CIFAR
            experiments: a 3×3 convolution with stride 1 and no pooling.

    Returns:
        A module with `.feature_dim`, from images (batch, channels, image_size, image_size) to (batch, feature_dim).

    Raises:
        ValueError: if the name is unknown (the message has the nearest known one), or the network cannot take such
            images.
        MissingExtraError: if torchvision or timm is not installed.

    References:
        He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016 (section 4.2: the CIFAR stem).

    Example:
        >>> backbone = make_backbone("resnet18", channels=1, image_size=28)
        >>> backbone.feature_dim, backbone(torch.rand(2, 1, 28, 28)).shape
        (512, torch.Size([2, 512]))
    """
    if channels < 1 or image_size < 1:
        raise ValueError(f"channels and image_size must be at least 1, got {channels} and {image_size}")
    library, rest = check_backbone(name)
    if library == "small":
        return SmallConvNet(channels, int(rest)) if rest else SmallConvNet(channels)
    network, head = (_timm if library == "timm" else _torchvision)(rest, channels, image_size)
    return Backbone(network, _feature_dim(name, network, channels, image_size), head)


def check_backbone(name: str) -> tuple[str, str]:
    """Check that there is a backbone of this name, without building it.

    Arguments:
        name: as for `make_backbone`.

    Returns:
        The library ("small", "timm" or "torchvision"), and the name in it; of "small" the width, empty for its default.

    Raises:
        ValueError: if the name is unknown (the message has the nearest known one).
        MissingExtraError: if torchvision or timm is not installed.
    """
    library, colon, rest = name.partition(":")
    if name == "small" or (library == "small" and rest.isdecimal() and len(rest) < 10 and int(rest)):
        return library, rest
    if library == "timm" and rest:
        timm = require("timm", "vision")
        if not timm.is_model(rest):
            close = get_close_matches(rest, timm.list_models(), n=1, cutoff=0.4)
            hint = f"; did you mean timm:{close[0]}?" if close else ""
            raise ValueError(f"unknown timm backbone {rest!r}{hint}")
        return library, rest
    if colon and (library != "torchvision" or not rest):
        raise ValueError(f"unknown backbone {name!r}: expected small, small:WIDTH, timm:NAME or torchvision:NAME")
    models = require("torchvision.models", "vision")
    nearest_name("torchvision backbone", rest or name, [*models.list_models(module=models), "small"])
    return "torchvision", rest or name


def _torchvision(name: str, channels: int, image_size: int) -> tuple[nn.Module, list[str]]:
    models = require("torchvision.models", "vision")
    options = {"image_size": image_size} if name.startswith("vit_") else {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    network: nn.Module = models.get_model(name, weights=None, **options)
    if isinstance(network, models.ResNet) and image_size <= _SMALL_IMAGE:
        _set_cifar_stem(network, channels)
    else:
        _set_input_channels(network, channels)
    last = [path for path, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not last:  # SqueezeNet's classifier is a convolution
        raise ValueError(f"torchvision's {name} has no linear classifier to remove; choose another backbone")
    _replace(network, last[-1], nn.Identity())
    return network, [last[-1]]


def _timm(name: str, channels: int, image_size: int) -> tuple[nn.Module, list[str]]:
    timm = require("timm", "vision")
    config = timm.get_pretrained_cfg(name)
    # Only networks with a fixed input size, such as vision transformers, are built for one.
    options = {"img_size": image_size} if config is not None and config.fixed_input_size else {}
    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, in_chans=channels, **options)
    if isinstance(network, require("timm.models.resnet", "vision").ResNet) and image_size <= _SMALL_IMAGE:
        _set_cifar_stem(network, channels)
    head = () if config is None or config.classifier is None else config.classifier
    return network, [head] if isinstance(head, str) else list(head)


def _set_cifar_stem(network: nn.Module, channels: int) -> None:
    """Give a ResNet of torchvision or timm one 3×3 convolution with stride 1, without pooling, as its stem."""
    stem = [module for module in network.get_submodule("conv1").modules() if isinstance(module, nn.Conv2d)]
    replacement = nn.Conv2d(channels, stem[-1].out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(replacement.weight, mode="fan_out", nonlinearity="relu")  # as both libraries do
    _replace(network, "conv1", replacement)
    _replace(network, "maxpool", nn.Identity())


def _replace(network: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, attribute = path.rpartition(".")
    setattr(network.get_submodule(parent), attribute, module)


def _set_input_channels(network: nn.Module, channels: int) -> None:
    """Replace the first convolution by one for so many channels, if it is for another number."""
    path, first = next((path, module) for path, module in network.named_modules() if isinstance(module, nn.Conv2d))
    if first.in_channels == channels:
        return
    replacement = nn.Conv2d(
        channels,
        first.out_channels,
        (first.kernel_size[0], first.kernel_size[1]),
        (first.stride[0], first.stride[1]),
        first.padding if isinstance(first.padding, str) else (first.padding[0], first.padding[1]),
        bias=first.bias is not None,
    )
    _replace(network, path, replacement)


@torch.no_grad()
def _feature_dim(name: str, network: nn.Module, channels: int, image_size: int) -> int:
    """The dimension of the features, by a trial on one empty image, which also shows whether the image is too small."""
    training = network.training
    network.eval()  # one image has no batch statistics, and must not enter the running ones
    try:
        features = network(torch.zeros(1, channels, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ValueError(f"{name} cannot take images of {channels}×{image_size}×{image_size}: {error}") from error
    finally:
        network.train(training)
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ValueError(f"{name} does not return features of shape (batch, dim); choose another backbone")
    return features.shape[1]
