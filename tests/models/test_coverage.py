"""No backbone loses a part of the picture: by the gradient with respect to the input, at odd sizes, too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import aninfonce
from aninfonce.models import check_coverage, make_backbone
from aninfonce.models.coverage import trial_features, unseen_pixels
from aninfonce.training import TrainConfig, train
from aninfonce.training.loop import make_task


def lost(network, size):
    """Pixels that no feature's gradient reaches, as a mask; gates that start at zero are opened first."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 10)
    images = torch.rand(2, 3, size, size, generator=generator).requires_grad_()
    features = network.eval()(images)
    weights = torch.randn(features.shape, generator=generator)
    (gradient,) = torch.autograd.grad((features * weights).sum(), images)
    return (gradient == 0).all(0).all(0)


NETWORKS = (
    *("small", "resnet18", "torchvision:mobilenet_v3_small", "torchvision:efficientnet_b0", "torchvision:vit_b_32"),
    *("timm:resnet18", "timm:regnetx_002", "timm:vit_tiny_patch16_224", "timm:deit_tiny_patch16_224"),
    *("timm:swin_tiny_patch4_window7_224", "timm:convnext_atto", "timm:mixer_s32_224", "timm:pit_ti_224"),
    *("timm:xcit_nano_12_p16_224", "timm:test_vit", "timm:test_mambaout", "timm:maxvit_rmlp_pico_rw_256"),
)
QUICK = ("small", "resnet18", "timm:vit_tiny_patch16_224", "timm:convnext_atto", "timm:resnet18", "timm:test_vit")


@pytest.mark.parametrize("size", [28, 45])
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_a_backbone_sees_every_part_or_is_refused_with_sizes_at_which_it_does(name, size):
    torch.manual_seed(0)
    refusal = ""
    try:
        networks = {size: make_backbone(name, channels=3, image_size=size)}
    except ValueError as error:
        refusal = str(error)
    if refusal:
        assert f"3×{size}×{size}" in refusal
        sizes = refusal.rpartition("the nearest --image-size that it takes whole: ")[2].split(" or ")
        assert 1 <= len(sizes) <= 2
        networks = {int(other): make_backbone(name, channels=3, image_size=int(other)) for other in sizes}
        assert size not in networks
    for side, network in networks.items():
        mask = lost(network, side)
        assert not mask.all(0).any(), "a column is lost"
        assert not mask.all(1).any(), "a row is lost"
        regions = nn.functional.avg_pool2d(mask[None].float(), 2, ceil_mode=True)
        assert regions.max() < 1, "a region of 2×2 pixels is lost"


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("timm:vit_tiny_patch16_224", 28, r"would not see all of images of 3×28×28.*takes whole: 16 or 32"),
        ("timm:vit_tiny_patch16_224", 225, r"takes whole: 224 or 240"),
        ("timm:convnext_atto", 33, r"would not see all of .*row 0 and column 32.*takes whole: 32 or 36"),
        ("timm:convnext_atto", 28, r"cannot take images of 3×28×28: .*takes whole: 32"),
        ("torchvision:vit_b_32", 28, r"cannot be built for images of 3×28×28: .*takes whole: 32"),
    ],
)
def test_the_nearest_sizes_are_named(name, size, message):
    with pytest.raises(ValueError, match=message):
        make_backbone(name, channels=3, image_size=size)


def test_the_trial_finds_the_lost_pixels_and_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 4, stride=4), nn.ReLU(), nn.Flatten())
    nn.init.zeros_(network[1].weight)  # as a gate that starts at zero: what it is multiplied by still counts
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.random.get_rng_state()
    assert unseen_pixels(trial_features(network, 1, 8, 8), 8, 8) == []
    assert unseen_pixels(trial_features(network, 1, 8, 9), 8, 9) == [(0, 8), (7, 8)]
    assert unseen_pixels(trial_features(network, 1, 11, 8), 11, 8) == [(10, 0), (10, 7)]
    assert network.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    with pytest.raises(ValueError, match=r"the net would not see all of images of 1×8×9: the pixel \(0, 8\)"):
        check_coverage(network, "the net", 1, 8, 9)


def test_images_of_another_size_or_shape_are_checked_too(tmp_path):
    config = TrainConfig(
        backbone="timm:test_convnext",
        image_size=32,
        epochs=1,
        limit=64,
        batch_size=32,
        projector_dim=8,
        projector_hidden=16,
        device="cpu",
    )
    train(config, tmp_path)
    encoder = aninfonce.load(tmp_path)
    assert len(encoder(torch.rand(2, 1, 32, 64))) == 2
    with pytest.raises(ValueError, match=r"test_convnext would not see all of images of 1×33×33"):
        encoder(torch.rand(2, 1, 33, 33))
    wide = torch.randint(0, 256, (64, 1, 32, 37), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    with pytest.raises(ValueError, match=r"test_convnext would not see all of images of 1×32×37"):
        make_task(config, wide)
