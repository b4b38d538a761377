"""The pixel functions against torchvision's, one image at a time, and at their identity values."""

import pytest
import torch
from sklearn.datasets import load_sample_images
from torchvision.transforms.v2 import functional as tv

from aninfonce.data.pixels import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    blur_matrix,
    crop_matrix,
    resample,
    to_gray,
)


@pytest.fixture(scope="module")
def photographs():
    """Four 64×64 patches of scikit-learn's two photographs, in [0, 1]."""
    pictures = [torch.tensor(picture).permute(2, 0, 1) / 255 for picture in load_sample_images().images]
    return torch.stack([p[:, y : y + 64, x : x + 64] for p in pictures for y, x in ((100, 100), (200, 300))])


@pytest.mark.parametrize(
    ("ours", "theirs", "factors"),
    [
        (adjust_brightness, tv.adjust_brightness, [0.0, 0.6, 1.0, 1.4]),
        (adjust_contrast, tv.adjust_contrast, [0.0, 0.6, 1.0, 1.4]),
        (adjust_saturation, tv.adjust_saturation, [0.0, 0.6, 1.0, 1.4]),
        (adjust_hue, tv.adjust_hue, [-0.5, -0.1, 0.07, 0.3]),
    ],
)
def test_colour_matches_torchvision(photographs, ours, theirs, factors):
    expected = torch.stack([theirs(x, f) for x, f in zip(photographs, factors, strict=True)])
    assert (ours(photographs, torch.tensor(factors)) - expected).abs().max() <= 1e-5


def test_hue_covers_the_whole_circle():
    """Every sector of the colour circle, at its borders too, and colours without a hue."""
    levels = torch.linspace(0, 1, 5)
    colours = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 25, 5)
    for turn in (-0.5, -1 / 3, -0.1, 0.1, 1 / 6, 0.5):
        ours = adjust_hue(colours, torch.tensor([turn]))
        assert (ours - tv.adjust_hue(colours, turn)).abs().max() <= 1e-5


def test_gray_matches_torchvision_and_leaves_the_others(photographs):
    gray = to_gray(photographs, torch.tensor([True, False, True, False]))
    expected = tv.rgb_to_grayscale(photographs, num_output_channels=3)
    assert (gray[::2] - expected[::2]).abs().max() <= 1e-6
    assert torch.equal(gray[1::2], photographs[1::2])


@pytest.mark.parametrize("size", [8, 28, 64])
def test_blur_matches_torchvision(photographs, size):
    images = photographs[..., :size, :size]
    sigmas = torch.tensor([0.2, 0.5, 0.9, 1.5]) * min(1, size / 16)
    matrix = blur_matrix(sigmas, size)
    kernel = 2 * (size - 1) - 1  # as wide as its mirrored padding allows: ours has no end
    expected = torch.stack(
        [tv.gaussian_blur(x, [kernel, kernel], [float(s)] * 2) for x, s in zip(images, sigmas, strict=True)]
    )
    assert (resample(images, matrix, matrix) - expected).abs().max() <= 1e-4


def test_blur_conserves_a_constant_image():
    matrix = blur_matrix(torch.tensor([0.0, 0.01, 0.3, 2.0, 50.0]), 9)
    torch.testing.assert_close(matrix.sum(2), torch.ones(5, 9))
    assert torch.equal(matrix[0], torch.eye(9))


def test_crop_matches_torchvision_resized_crop(photographs):
    """A crop whose borders fall between pixels is what `resized_crop` gives, pixels outside the crop included."""
    # The crop from row 8 and column 16, 32 rows by 40 columns.
    rows = crop_matrix(torch.full((4,), (8 + 16) / 32 - 1), torch.full((4,), 32 / 64), 64)
    columns = crop_matrix(torch.full((4,), (16 + 20) / 32 - 1), torch.full((4,), 40 / 64), 64)
    ours = resample(photographs, rows, columns)
    theirs = tv.resized_crop(photographs, 8, 16, 32, 40, [64, 64], antialias=False)
    inside = (..., slice(2, -2), slice(2, -2))  # torchvision repeats the crop's edge, we look past it
    assert (ours[inside] - theirs[inside]).abs().max() <= 1e-5


def test_crop_of_everything_and_mirror_are_exact():
    lines = torch.rand(3, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    whole, mirror = torch.ones(3), -torch.ones(3)
    same = resample(lines, crop_matrix(0 * whole, whole, 5), crop_matrix(0 * whole, whole, 7))
    flipped = resample(lines, crop_matrix(0 * whole, whole, 5), crop_matrix(0 * whole, mirror, 7))
    assert torch.equal(same, lines)
    assert torch.equal(flipped, lines.flip(3))


def test_resample_is_two_matrix_products_whatever_the_memory_layout():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 5, 7, generator=generator)
    rows, columns = torch.rand(2, 5, 5, generator=generator), torch.rand(2, 7, 7, generator=generator)
    expected = torch.einsum("nij,ncjk,nlk->ncil", rows, images, columns)
    for layout in (images, images.contiguous(memory_format=torch.channels_last), images.mT.contiguous().mT):
        torch.testing.assert_close(resample(layout, rows, columns), expected)


@pytest.mark.parametrize(
    ("function", "identity"),
    [(adjust_brightness, 1.0), (adjust_contrast, 1.0), (adjust_saturation, 1.0), (adjust_hue, 0.0)],
)
def test_colour_identity_is_exact(photographs, function, identity):
    assert torch.equal(function(photographs, torch.full((4,), identity)), photographs)
