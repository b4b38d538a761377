"""The recorded parameters are what the pixels underwent."""

import math

import pytest
import torch
from sklearn.datasets import load_sample_images

from aninfonce.data import (
    PARAMETERS,
    PRESETS,
    Augmentation,
    AugmentationConfig,
    AugmentationParameters,
    augment_images,
)

GEOMETRY_ONLY = PRESETS["crop-flip"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def photographs():
    """64 colour patches of 32×32 pixels, uint8."""
    patches = [
        torch.tensor(picture).permute(2, 0, 1)[:, :416, :608].unfold(1, 32, 32).unfold(2, 32, 32).flatten(1, 2)
        for picture in load_sample_images().images
    ]
    everything = torch.cat(patches, 1).transpose(0, 1)
    return everything[torch.randperm(len(everything), generator=seeded())[:64]].contiguous()


# What the parameters say, seen in the pixels.


def test_crop_and_flip_are_seen_in_a_ramp_of_coordinates():
    """In an image whose pixels are their coordinates, a view's mean is the crop's centre and its slope the extent."""
    size, n = 32, 200
    along = (2 * torch.arange(size) + 1) / size - 1  # -1 to 1, pixel centres
    ramp_x = along.expand(size, size) / 2 + 0.5
    parameters = Augmentation(GEOMETRY_ONLY, channels=1, image_size=size).draw(n, generator=seeded())
    middle = slice(size // 2 - 4, size // 2 + 4)  # away from the image's edge, where the edge pixel is repeated

    def measured(ramp, axis):
        views = 2 * augment_images(ramp.expand(n, 1, size, size), parameters)[:, 0] - 1
        line = views.mean(1 if axis == "x" else 2)[:, middle]
        return line.mean(1), (line[:, -1] - line[:, 0]) / (along[middle][-1] - along[middle][0])

    center_x, slope_x = measured(ramp_x, "x")
    center_y, slope_y = measured(ramp_x.T, "y")
    values = parameters.values
    mirror = 1 - 2 * values["flip"].float()
    torch.testing.assert_close(center_x, mirror * values["crop_x"], atol=1e-5, rtol=0)
    torch.testing.assert_close(center_y, values["crop_y"], atol=1e-5, rtol=0)
    assert torch.equal(slope_x < 0, values["flip"])
    torch.testing.assert_close(slope_x.abs() * slope_y, values["crop_scale"], atol=1e-4, rtol=0)
    torch.testing.assert_close((slope_x.abs() / slope_y).log(), values["crop_aspect"], atol=1e-4, rtol=0)


def test_flip_is_seen_in_the_pixels(photographs):
    config = AugmentationConfig(crop=0.0, jitter=0.0, grayscale=0.0, blur=0.0)
    augment = Augmentation(config, channels=3, image_size=32)
    views, parameters = augment(photographs, generator=seeded())
    flipped = parameters.values["flip"]
    assert 0 < flipped.sum() < len(flipped)
    assert torch.equal(views, torch.where(flipped[:, None, None, None], photographs.flip(3), photographs) / 255)


def test_brightness_is_seen_in_a_constant_image():
    config = AugmentationConfig(contrast=0.0, saturation=0.0, hue=0.0, grayscale=0.0)
    augment = Augmentation(config, channels=3, image_size=16)
    views, parameters = augment(torch.full((100, 3, 16, 16), 0.5), generator=seeded())
    expected = parameters.values["brightness"] * 0.5
    torch.testing.assert_close(views, expected[:, None, None, None].expand_as(views))


def test_contrast_is_seen_in_the_spread(photographs):
    config = AugmentationConfig(crop=0.0, flip=0.0, brightness=0.0, grayscale=0.0, blur=0.0)
    soft = photographs / 255 * 0.2 + 0.4  # so that nothing is clipped
    gray = soft.mean(1, keepdim=True)
    views, parameters = Augmentation(config, channels=1, image_size=32)(gray, generator=seeded())
    spread = views.std((1, 2, 3)) / gray.std((1, 2, 3))
    torch.testing.assert_close(spread, parameters.values["contrast"], atol=1e-4, rtol=0)


def test_grayscale_has_three_equal_channels_where_it_is_recorded(photographs):
    config = AugmentationConfig(crop=0.0, flip=0.0, jitter=0.0, grayscale=0.5, blur=0.0)
    views, parameters = Augmentation(config, channels=3, image_size=32)(photographs, generator=seeded())
    equal = (views - views[:, :1]).abs().amax((1, 2, 3)) == 0
    assert torch.equal(equal, parameters.values["grayscale"])


def test_blur_is_the_width_of_a_blurred_point():
    config = AugmentationConfig(crop=0.0, flip=0.0, jitter=0.0, blur=1.0)
    point = torch.zeros(50, 1, 33, 33)
    point[:, :, 16, 16] = 1
    views, parameters = Augmentation(config, channels=1, image_size=33)(point, generator=seeded())
    variance = (views.sum((1, 2)) * (torch.arange(33) - 16) ** 2).sum(1)
    wide = parameters.values["blur"] > 0.7  # a narrower Gaussian is not resolved by whole pixels
    torch.testing.assert_close(variance[wide].sqrt(), parameters.values["blur"][wide], atol=1e-3, rtol=0)


# Laws of drawing and applying.


@pytest.mark.parametrize("channels", [1, 3])
def test_identity_leaves_images_exactly(photographs, channels):
    images = photographs[:, :channels]
    names = tuple(name for name, parameter in PARAMETERS.items() if channels == 3 or not parameter.color)
    identity = AugmentationParameters.identity(len(images), names)
    assert torch.equal(augment_images(images, identity), images / 255)
    assert torch.equal(augment_images(images / 255, identity), images / 255)
    assert torch.equal(augment_images(images, AugmentationParameters({}, {})), images / 255)


def test_images_are_not_written_to(photographs):
    floats = photographs / 255
    before = floats.clone()
    Augmentation(channels=3, image_size=32)(floats, generator=seeded())
    assert torch.equal(floats, before)


@pytest.mark.parametrize("channels", [1, 3])
def test_views_are_contiguous_floats_in_the_unit_range(photographs, channels):
    views, _ = Augmentation(channels=channels, image_size=32)(photographs[:, :channels], generator=seeded())
    assert views.dtype == torch.float32
    assert views.is_contiguous()
    assert views.shape == (64, channels, 32, 32)
    assert views.min() >= 0
    assert views.max() <= 1


def test_images_need_not_be_square():
    images = torch.rand(5, 3, 20, 30, generator=seeded())
    views, _ = Augmentation(channels=3, image_size=20)(images, generator=seeded())
    assert views.shape == images.shape


def test_same_seed_same_views_and_other_seed_other_views(photographs):
    augment = Augmentation(channels=3, image_size=32)
    first, other, again = (augment(photographs, generator=seeded(seed))[0] for seed in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_batch_equals_its_images_one_by_one(photographs):
    augment = Augmentation(channels=3, image_size=32)
    views, parameters = augment(photographs, generator=seeded())
    alone = [augment.apply(photographs[i : i + 1], parameters[i : i + 1]) for i in range(len(photographs))]
    torch.testing.assert_close(torch.cat(alone), views, atol=1e-6, rtol=0)


def test_chunks_do_not_show(photographs, monkeypatch):
    augment = Augmentation(channels=3, image_size=32)
    views, parameters = augment(photographs, generator=seeded())
    for numbers in (1, 7 * 3 * 32 * 32, 10**9):
        monkeypatch.setattr("aninfonce.data.augmentations._CPU_CHUNK", numbers)
        torch.testing.assert_close(augment.apply(photographs, parameters), views, atol=1e-6, rtol=0)


def test_rolled_parameters_go_to_the_next_image(photographs):
    parameters = Augmentation(channels=3, image_size=32).draw(64, generator=seeded())
    rolled = parameters.roll(1)
    for name in parameters.names:
        assert torch.equal(rolled.values[name][1:], parameters.values[name][:-1])
        assert torch.equal(rolled.applied[name][:1], parameters.applied[name][-1:])
    same_image = photographs[:1].expand(64, -1, -1, -1)
    torch.testing.assert_close(
        augment_images(same_image, rolled), augment_images(same_image, parameters).roll(1, 0), atol=1e-6, rtol=0
    )


# Errors.


@pytest.mark.parametrize(
    "wrong",
    [
        {"flip": 1.5},
        {"crop": -0.1},
        {"brightness": 1.1},
        {"hue": 0.6},
        {"hue": math.nan},
        {"crop_scale": (0.0, 1.0)},
        {"crop_scale": (0.8, 0.2)},
        {"crop_scale": (0.2, 1.1)},
        {"crop_aspect": (1.2, 2.0)},
        {"blur_sigma": (2.0, 0.1)},
        {"blur_sigma": (0.1, math.inf)},
    ],
)
def test_invalid_config_is_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AugmentationConfig(**wrong)


def test_unknown_preset_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'simclr'"):
        Augmentation("simclrr", channels=1, image_size=28)


@pytest.mark.parametrize("wrong", [{"channels": 2, "image_size": 8}, {"channels": 1, "image_size": 0}])
def test_invalid_images_are_named(wrong):
    with pytest.raises(ValueError, match="must be"):
        Augmentation(**wrong)


def test_applying_to_the_wrong_images_fails():
    parameters = Augmentation(channels=3, image_size=8).draw(4, generator=seeded())
    with pytest.raises(ValueError, match="4 images for 3 images"):
        augment_images(torch.rand(3, 3, 8, 8), parameters)
    with pytest.raises(ValueError, match="saturation, hue, grayscale need images with 3 channels"):
        augment_images(torch.rand(4, 1, 8, 8), parameters)
    with pytest.raises(TypeError, match="float64"):
        augment_images(torch.rand(4, 3, 8, 8, dtype=torch.float64), parameters)
    with pytest.raises(ValueError, match=r"in \[0, 1\], got values from"):
        augment_images(255 * torch.rand(4, 3, 8, 8), parameters)
    with pytest.raises(ValueError, match=r"\(4, 2, 8, 8\)"):
        augment_images(torch.rand(4, 2, 8, 8), parameters)
    with pytest.raises(ValueError, match="n must be at least 1"):
        Augmentation(channels=3, image_size=8).draw(0, generator=seeded())


def test_parameters_check_their_names_and_shapes():
    yes = torch.ones(2, dtype=torch.bool)
    with pytest.raises(ValueError, match="did you mean 'crop_x'"):
        AugmentationParameters({"cropx": torch.ones(2)}, {"cropx": yes})
    with pytest.raises(ValueError, match="same names"):
        AugmentationParameters({"hue": torch.ones(2)}, {"blur": yes})
    with pytest.raises(ValueError, match="one shape"):
        AugmentationParameters({"hue": torch.ones(3)}, {"hue": yes})
    with pytest.raises(ValueError, match="unknown augmentation parameter"):
        AugmentationParameters.identity(2, ("twist",))
