"""Sprites: every factor does what its name and unit say."""

from __future__ import annotations

import colorsys
import math

import pytest
import torch
from sprite_factors import HIGH, LOW, corners, factors, random_factors
from torch import Tensor
from torch.nn import functional as F

from aninfonce.data.generators import (
    FACTOR_RANGES,
    FACTORS,
    SpriteRenderer,
)


def coverage(rows: Tensor, size: int = 64) -> Tensor:
    """Which part of every pixel the sprite covers, shape (n, size, size), from images without colours."""
    # Body and stripe differ in tone, so coverage is read off a change of the background, which only shows outside.
    background = [FACTORS.index("background_lightness")]
    dark, bright = rows.clone(), rows.clone()
    dark[:, background], bright[:, background] = 0.1, 0.3
    renderer = SpriteRenderer(size)
    return 1 - (renderer(bright) - renderer(dark)).mean(1) / 0.2


def centre_of_mass(mass: Tensor) -> Tensor:
    """(x, y) in pixels from the image's centre, shape (n, 2)."""
    place = torch.arange(mass.shape[-1], dtype=mass.dtype) - (mass.shape[-1] - 1) / 2
    return torch.stack([(mass.sum(1) * place).sum(1), (mass.sum(2) * place).sum(1)], 1) / mass.sum((1, 2))[:, None]


def directly(rows: Tensor, size: int, softness: float) -> Tensor:
    """The formula of the module, one image, one pixel and one edge at a time."""
    images = torch.empty(len(rows), 3, size, size, dtype=torch.float64)
    for image, row in zip(images, rows.tolist(), strict=True):
        x, y, radius, degrees, hue, lightness, background_hue, background_lightness, elongation, stripe = row
        width = math.sqrt(math.pi * radius**2 / 0.775 / elongation) * size / 2
        length = elongation * width
        corners = [(0, 0.5), (0.55, 0.5), (1, 0), (0.55, -0.5), (0, -0.5)]
        centroid = (0.55 * 0.275 + 0.225 * 0.7) / 0.775
        turn = complex(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
        middle = complex(x, y) * size / 2

        def distance(pixel, start, end):
            tangent = (end - start) / abs(end - start)
            return -((pixel - start) * tangent.conjugate()).imag  # positive on the outer side

        def place(u, v, middle=middle, turn=turn, length=length, width=width, centroid=centroid):
            return middle + turn * complex((u - centroid) * length, v * width)

        house = [place(*corner) for corner in corners[::-1]]
        edges = list(zip(house, house[1:] + house[:1], strict=True))
        band = [(place(stripe + 0.12, 0), place(stripe + 0.12, 1)), (place(stripe - 0.12, 0), place(stripe - 0.12, -1))]

        def colour(mean, turns, chroma):
            return [mean + chroma * math.cos(2 * math.pi * (turns - k / 3)) for k in range(3)]

        body, background = colour(lightness, hue, 0.35), colour(background_lightness, background_hue, 0.1)
        for i in range(size):
            for j in range(size):
                pixel = complex(j, i) - complex(1, 1) * (size - 1) / 2
                outside = sum(math.exp(min(700, distance(pixel, *edge) / softness)) for edge in edges)
                off = sum(math.exp(min(700, distance(pixel, *edge) / softness)) for edge in band)
                inside, striped = 1 / (1 + outside), 1 / (1 + outside + off)
                for k in range(3):
                    image[k, i, j] = background[k] * (1 - inside) + body[k] * (inside - striped) + 0.97 * striped
    return images


def test_images_have_the_shape_and_range_that_are_promised():
    rows = torch.cat([random_factors(300), corners(300)]).float()
    images = SpriteRenderer()(rows)
    assert images.shape == (600, 3, 32, 32)
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.amax((1, 2, 3)).min() > 0.75  # the stripe shows in every one
    assert SpriteRenderer(size=8)(rows[:0]).shape == (0, 3, 8, 8)
    assert SpriteRenderer(size=8)(rows[:2].double()).dtype == torch.float64


@pytest.mark.parametrize(("size", "softness"), [(16, 0.4), (11, 1.5), (24, 0.2)])
def test_images_follow_the_formula(size, softness):
    rows = torch.cat([random_factors(2), corners(1)])
    expected = directly(rows, size, softness)
    assert torch.allclose(SpriteRenderer(size, softness)(rows), expected, atol=1e-12)
    assert torch.allclose(SpriteRenderer(size, softness)(rows.float()), expected.float(), atol=1e-4)


def test_large_images_are_rendered_in_double_precision_inside():
    # Size 96 is 240 softnesses: exponents of single precision would overflow.
    rows = torch.cat([random_factors(4), corners(8)])
    assert torch.allclose(SpriteRenderer(96)(rows.float()).double(), SpriteRenderer(96)(rows), atol=1e-4)


def test_translation_moves_the_centre_of_mass_by_that_many_pixels():
    rows = factors(5, x=torch.tensor([0, 0.1, -0.34, 0.34, 0.2]), y=torch.tensor([0, -0.2, 0.34, 0.05, -0.34]))
    assert torch.allclose(centre_of_mass(coverage(rows, 64)), 32 * rows[:, :2], atol=0.1)


def test_the_whole_sprite_lies_in_the_image_with_its_centroid_where_it_should_be():
    rows = torch.cat([random_factors(200), corners(200)])
    mass = coverage(rows, 64)
    assert (centre_of_mass(mass) - 32 * rows[:, :2]).abs().max() < 0.25
    border = torch.cat([mass[:, 0], mass[:, -1], mass[:, :, 0], mass[:, :, -1]], 1)
    assert border.max() < 0.2
    assert mass.amax((1, 2)).min() > 0.999


def test_size_is_the_radius_of_the_disc_of_that_area_whatever_the_elongation():
    radius, elongation = torch.cartesian_prod(torch.tensor([0.25, 0.3, 0.38]), torch.tensor([1.0, 1.4, 2.0])).T
    area = coverage(factors(9, size=radius, elongation=elongation), 128).sum((1, 2))
    assert torch.allclose(area / (math.pi * (64 * radius.double()) ** 2), torch.ones(9, dtype=torch.float64), atol=0.01)


def test_elongation_is_length_by_width():
    values = torch.tensor([1.0, 1.5, 2.0])
    inside = coverage(factors(3, elongation=values, rotation=0.0, size=0.38), 256) > 0.5
    length, width = inside.any(1).sum(1), inside.any(2).sum(1)
    assert torch.allclose(length / width, values, rtol=0.05)


@pytest.mark.parametrize("degrees", [-90.0, -35.0, 20.0, 90.0, 115.0])
def test_rotation_turns_the_image_clockwise(degrees):
    upright, turned = SpriteRenderer(96)(factors(2, rotation=torch.tensor([0.0, degrees])))
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    backwards = torch.tensor([[[cos, sin, 0], [-sin, cos, 0]]], dtype=torch.float64)
    grid = F.affine_grid(backwards, [1, 3, 96, 96], align_corners=False)
    expected = F.grid_sample(upright[None], grid, padding_mode="border", align_corners=False)[0]
    # Interpolation blurs the edges a little; a sprite turned by 5 degrees more is much farther away.
    error = (turned - expected).square().mean().sqrt()
    farther = SpriteRenderer(96)(factors(rotation=degrees + 5))[0]
    assert error < 0.006
    assert (farther - expected).square().mean().sqrt() > 4 * error


@pytest.mark.parametrize("degrees", [0.0, 90.0, -90.0, 120.0])
def test_the_tip_points_right_at_zero_and_down_at_ninety_degrees(degrees):
    mass = coverage(factors(rotation=degrees, elongation=2.0), 64)[0]
    y, x = torch.meshgrid(*[torch.arange(64, dtype=torch.float64) - 31.5] * 2, indexing="ij")
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    along, across = ((mass * part**3).sum() / mass.sum() for part in (cos * x + sin * y, cos * y - sin * x))
    assert along > 20  # the longer tail of the sprite is its tip
    assert abs(across) < 1


def hue_difference(a: float, b: float) -> float:
    return abs((a - b + 0.5) % 1 - 0.5)


@pytest.mark.parametrize("hue", [0.0, 0.1, 1 / 6, 0.3, 1 / 3, 0.5, 0.6, 2 / 3, 0.75])
@pytest.mark.parametrize("lightness", [0.45, 0.55, 0.65])
def test_colours_of_sprite_and_background_are_those_asked_for(hue, lightness):
    # At the stripe's highest place the base shows the body's own colour.
    image = SpriteRenderer(64)(factors(hue=hue, lightness=lightness, background_hue=0.75 - hue, stripe=0.7, size=0.38))
    inside, outside = image[0, :, 32, 27].tolist(), image[0, :, 2, 2].tolist()
    assert sum(inside) / 3 == pytest.approx(lightness, abs=2e-3)
    assert hue_difference(colorsys.rgb_to_hls(*inside)[0], hue) < 0.006
    assert max(inside) - min(inside) > 0.5
    assert sum(outside) / 3 == pytest.approx(0.2, abs=1e-9)
    assert hue_difference(colorsys.rgb_to_hls(*outside)[0], 0.75 - hue) < 0.004


@pytest.mark.parametrize("lightness", [0.1, 0.17, 0.3])
def test_the_background_has_the_lightness_asked_for(lightness):
    image = SpriteRenderer()(factors(background_lightness=lightness))
    assert image[0, :, 0, 0].mean().item() == pytest.approx(lightness, abs=1e-9)


def test_the_stripe_is_where_it_should_be():
    values = torch.linspace(0.2, 0.7, 6, dtype=torch.float64)
    images = SpriteRenderer(128)(factors(6, stripe=values, rotation=0.0, elongation=2.0, size=0.38))
    line = images[:, :, 64].amin(1)  # only the stripe has no dark channel
    place = torch.arange(128, dtype=torch.float64) - 63.5
    bright = (line > 0.7) * line
    middle = (bright * place).sum(1) / bright.sum(1)
    length = 64 * 0.38 * math.sqrt(2 * math.pi / 0.775)
    assert torch.allclose(middle / length, values - (0.55 * 0.275 + 0.225 * 0.7) / 0.775, atol=0.01)


def test_gradients_are_those_of_finite_differences():
    renderer = SpriteRenderer(size=12, softness=0.8)
    rows = random_factors(3).requires_grad_()
    assert torch.autograd.gradcheck(renderer, (rows,))
    assert torch.autograd.gradgradcheck(renderer, (rows,), fast_mode=True)


def test_images_are_smooth_across_the_ranges():
    # A kink in a factor would be a jump of the slope; halving the step halves the largest change of a smooth slope.
    renderer = SpriteRenderer()
    inner = slice(1, -1)
    for i in range(10):
        changes = []
        for steps in (401, 801):
            rows = factors(steps)
            rows[:, i] = torch.linspace(0, 1, steps, dtype=torch.float64) * (HIGH - LOW)[i] + LOW[i]
            slope = renderer(rows).flatten(1).diff(dim=0) * (steps - 1)
            changes.append(slope.diff(dim=0)[inner].abs().max())
        assert changes[1] < 0.55 * changes[0] + 1e-9, FACTORS[i]


def test_gradients_are_finite_in_single_precision_at_the_ends_of_all_ranges():
    for size in (8, 32, 33, 64):
        rows = corners(64).float().requires_grad_()
        SpriteRenderer(size)(rows).square().sum().backward()
        assert rows.grad.isfinite().all()


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_images_depend_neither_on_chunks_nor_on_the_others_in_the_batch(chunk):
    rows = random_factors(150).float()
    images = SpriteRenderer()(rows)
    assert torch.equal(images, SpriteRenderer()(rows))
    assert torch.allclose(SpriteRenderer(chunk=chunk)(rows), images, atol=1e-6)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(SpriteRenderer(chunk=chunk)(rows[order]), images[order], atol=1e-6)


@pytest.mark.parametrize("name", FACTORS)
def test_factors_out_of_range_are_refused_by_name(name):
    allowed = FACTOR_RANGES[name]
    margin = 0.1 * (allowed.high - allowed.low)
    for value in (allowed.low - margin, allowed.high + margin, math.nan):
        with pytest.raises(ValueError, match=f"{name} must be between {allowed.low:g} and {allowed.high:g} .* row 1"):
            SpriteRenderer()(factors(3, **{name: torch.tensor([allowed.low, value, allowed.high])}))


def test_factors_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"shape \(n, 10\), the columns x, y, size, .* got \(4, 9\)"):
        SpriteRenderer()(torch.zeros(4, 9))
    with pytest.raises(ValueError, match=r"got \(10,\)"):
        SpriteRenderer()(factors()[0])
    with pytest.raises(TypeError, match=r"float32 or float64.* got torch.int64"):
        SpriteRenderer()(torch.zeros(4, 10, dtype=torch.long))


@pytest.mark.parametrize("settings", [{"size": 4}, {"chunk": 0}, {"softness": 0.0}, {"softness": 0.01}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        SpriteRenderer(**settings)
