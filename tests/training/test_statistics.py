"""Mean and deviation of the images, and the samples of readouts, in whatever order the images come."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import TINY

from aninfonce.data import ImageFiles
from aninfonce.training import statistics
from aninfonce.training.loop import make_task
from aninfonce.training.randomness import generator_at, spread
from aninfonce.training.readouts import subset
from aninfonce.training.statistics import channel_statistics


def by_class(n: int = 12_000) -> torch.Tensor:
    """Dark images of one class, then bright ones of another: what a folder of two classes looks like."""
    dark = torch.randint(0, 40, (n - n // 4, 3, 4, 4), generator=generator_at(0, "dark", 0))
    bright = torch.randint(200, 256, (n // 4, 3, 4, 4), generator=generator_at(0, "bright", 0))
    return torch.cat([dark, bright]).to(torch.uint8)


def test_all_images_in_memory_count():
    images = by_class()
    mean, deviation = channel_statistics(images, generator_at(0, "", 0))
    whole = images.double() / 255
    torch.testing.assert_close(mean.double(), whole.mean((0, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(deviation.double(), whole.std((0, 2, 3)), rtol=1e-6, atol=0)
    first = (images[:9000].double() / 255).std()
    assert float(first) < 0.3 * float(deviation.min()), "the first images alone would have told another story"


def test_a_run_normalises_by_them():
    images = by_class()
    model = make_task(TINY, images).model
    normalised = (images.float() / 255 - model.mean) / model.std
    assert normalised.mean((0, 2, 3)).abs().max() < 1e-3
    torch.testing.assert_close(normalised.std((0, 2, 3)), torch.ones(3), rtol=1e-3, atol=0)


def test_up_to_a_chunk_the_numbers_are_those_of_torch_bit_for_bit():
    images = by_class(3000)
    mean, deviation = channel_statistics(images, generator_at(0, "", 0))
    pixels = images.float() / 255
    assert torch.equal(mean, pixels.mean((0, 2, 3)))
    assert torch.equal(deviation, pixels.std((0, 2, 3)))


def test_the_chunks_do_not_matter():
    images = by_class(1000)
    expected = channel_statistics(images, generator_at(0, "", 0))
    with mock.patch.object(statistics, "_CHUNK", 7):
        found = channel_statistics(images, generator_at(0, "", 0))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)


def test_images_of_one_colour_have_a_deviation_to_divide_by():
    _, deviation = channel_statistics(torch.full((5, 1, 4, 4), 7, dtype=torch.uint8), generator_at(0, "", 0))
    assert deviation.tolist() == [pytest.approx(1e-3)]


@pytest.mark.parametrize("order", ["by class", "in turn"])
def test_stored_images_count_by_their_share_in_every_order(tmp_path, order):
    """Of 60 images 12 are decoded. In turn: every fifth is bright, which a step of five would see always or never."""
    for i in range(60):
        bright = i >= 48 if order == "by class" else i % 5 == 0
        Image.fromarray(np.full((8, 8, 3), 250 if bright else 5, np.uint8)).save(tmp_path / f"{i:03d}.png")
    images = ImageFiles(sorted(tmp_path.iterdir()), 8)
    means = []
    with mock.patch.object(statistics, "_DECODED", 12):
        for seed in range(40):
            means.append(float(channel_statistics(images, generator_at(seed, "", 0))[0][0]))
    share = (np.array(means) * 255 - 5) / 245
    assert share.mean() == pytest.approx(0.2, abs=0.06)
    if order == "in turn":
        assert share.std() > 0, "not the same phase each time"


def test_one_seed_takes_the_same_stored_images():
    chosen = [spread(10_000, 100, generator_at(seed, "x", 0)) for seed in (0, 0, 1)]
    assert torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], chosen[2])


@pytest.mark.parametrize(("size", "n"), [(1, 1), (7, 7), (7, 100), (10, 3), (100_003, 1000), (5, 1), (0, 3)])
def test_spread_takes_one_of_every_stretch(size, n):
    places = spread(size, n, generator_at(0, "x", size))
    assert len(places) == min(n, size)
    edges = [i * size // max(1, min(n, size)) for i in range(min(n, size) + 1)]
    for place, low, high in zip(places.tolist(), edges[:-1], edges[1:], strict=True):
        assert low <= place < high


def test_spread_reaches_every_place_equally_often():
    counts = sum(spread(20, 5, generator_at(seed, "x", 0)).bincount(minlength=20) for seed in range(2000))
    assert counts.sum() == 10_000
    assert (counts / 500 - 1).abs().max() < 0.25  # standard deviation 19 of 500: five of them


@pytest.mark.parametrize("order", ["by class", "in turn"])
def test_the_images_of_a_readout_have_every_class(order):
    """10,000 of 50,000, whose classes take turns: every fifth place would hold two classes of ten."""
    labels = torch.arange(50_000) % 10 if order == "in turn" else torch.arange(50_000) // 5000
    images = labels[:, None, None, None].to(torch.uint8)
    chosen, known = subset((images, labels), 10_000)
    assert len(chosen) == 10_000
    assert torch.equal(chosen.flatten().long(), known), "images and labels stay together"
    assert known.bincount(minlength=10).float().div(1000).sub(1).abs().max() < 0.15
    again = subset((images, labels), 10_000)[1]
    assert torch.equal(known, again), "every encoder is read out on the same images"
