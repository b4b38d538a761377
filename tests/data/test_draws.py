"""The parameters have the stated distributions, names and kinds."""

import math

import pytest
import torch
from scipy.stats import binomtest, kstest

from aninfonce.data import (
    NUMBER_PARAMETERS,
    PARAMETERS,
    PRESETS,
    YES_NO_PARAMETERS,
    Augmentation,
    AugmentationConfig,
)

GEOMETRY_ONLY = PRESETS["crop-flip"]
GEOMETRY_ONLY_NAMES = ("flip", "crop_x", "crop_y", "crop_scale", "crop_aspect")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def draws():
    """Many draws of the default augmentations for colour images of 32 pixels."""
    return Augmentation(channels=3, image_size=32).draw(20_000, generator=seeded())


def test_skipped_reads_as_identity_and_is_not_applied():
    config = AugmentationConfig(crop=0.5)
    parameters = Augmentation(config, channels=3, image_size=32).draw(1000, generator=seeded())
    for name in parameters.names:
        value, applied = parameters.values[name], parameters.applied[name]
        assert value.dtype == (torch.bool if name in YES_NO_PARAMETERS else torch.float32)
        assert applied.dtype == torch.bool
        assert 0 < applied.sum() < 1000
        assert (value[~applied] == PARAMETERS[name].identity).all()
        assert (value[applied] != PARAMETERS[name].identity).all()
    for group in (("crop_x", "crop_y", "crop_scale", "crop_aspect"), ("brightness", "contrast", "saturation", "hue")):
        assert all(torch.equal(parameters.applied[name], parameters.applied[group[0]]) for name in group)


@pytest.mark.parametrize(
    ("name", "probability"),
    [("crop_scale", 1.0), ("flip", 0.5), ("brightness", 0.8), ("grayscale", 0.2), ("blur", 0.5)],
)
def test_probabilities(draws, name, probability):
    applied = draws.applied[name]
    assert binomtest(int(applied.sum()), len(applied), probability).pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("crop_scale", 0.2, 1.0),
        ("brightness", 0.6, 1.4),
        ("contrast", 0.6, 1.4),
        ("saturation", 0.6, 1.4),
        ("hue", -0.1, 0.1),
        ("blur", 0.1, 2.0),
    ],
)
def test_numbers_are_uniform(draws, name, low, high):
    drawn = draws.values[name][draws.applied[name]].numpy()
    assert kstest(drawn, "uniform", args=(low, high - low)).pvalue > 1e-3


def test_crops_lie_inside_the_image_and_are_uniform_there(draws):
    values = draws.values
    for axis, sign in (("crop_x", 1), ("crop_y", -1)):
        extent = (values["crop_scale"] * (sign * values["crop_aspect"]).exp()).sqrt()
        assert (values[axis].abs() + extent).max() <= 1 + 1e-5
        room = 1 - extent
        place = (values[axis] / room)[room > 1e-3].numpy()
        assert kstest(place, "uniform", args=(-1, 2)).pvalue > 1e-3


def test_aspects_are_log_uniform_among_those_that_fit(draws):
    values = draws.values
    limit = (-values["crop_scale"].log()).clamp(max=math.log(4 / 3))
    place = (values["crop_aspect"] / limit).numpy()
    assert kstest(place, "uniform", args=(-1, 2)).pvalue > 1e-3


def test_parameters_are_independent_of_each_other(draws):
    names = ("flip", "crop_x", "crop_y", "crop_scale", "crop_aspect", "brightness", "blur", "grayscale")
    correlation = torch.corrcoef(torch.stack([draws.values[name].float() for name in names]))
    assert (correlation - torch.eye(len(names))).abs().max() < 4 / 20_000**0.5


def test_blur_shrinks_with_images_below_32_pixels():
    assert Augmentation(channels=1, image_size=224).blur_sigma == (0.1, 2.0)
    assert Augmentation(channels=1, image_size=16).blur_sigma == (0.05, 1.0)
    blur = Augmentation(channels=1, image_size=16).draw(1000, generator=seeded()).values["blur"]
    assert 0.95 < blur.max() <= 1


def test_one_seed_gives_the_same_crops_in_every_setting():
    colour = Augmentation(channels=3, image_size=32).draw(10, generator=seeded()).values
    gray = Augmentation(GEOMETRY_ONLY, channels=1, image_size=8).draw(10, generator=seeded()).values
    for name in GEOMETRY_ONLY_NAMES:
        assert torch.equal(colour[name], gray[name])


def test_what_cannot_vary_is_absent():
    assert Augmentation(GEOMETRY_ONLY, channels=3, image_size=32).names == GEOMETRY_ONLY_NAMES
    gray = Augmentation(channels=1, image_size=28)
    assert gray.names == (*GEOMETRY_ONLY_NAMES, "brightness", "contrast", "blur")
    assert gray.draw(3, generator=seeded()).names == gray.names
    assert Augmentation(channels=3, image_size=32).names == tuple(PARAMETERS)
    assert {*NUMBER_PARAMETERS, *YES_NO_PARAMETERS} == {*PARAMETERS}
