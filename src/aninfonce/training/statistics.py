"""Mean and deviation of a training set's pixels, by which its images are normalised."""

from __future__ import annotations

import torch
from torch import Tensor

from aninfonce._typing import Float
from aninfonce.data import Images, read_batches
from aninfonce.training.randomness import spread

__all__ = ["channel_statistics"]

_CHUNK = 10_000  # images at a time as floating-point numbers: 1.1 GB of STL-10's
_DECODED = 1000  # images on demand: decoding all of ImageNet for two numbers a channel would take an epoch


def channel_statistics(
    images: Images, generator: torch.Generator
) -> tuple[Float[Tensor, " channels"], Float[Tensor, " channels"]]:
    """Mean and standard deviation of every channel over the images, scaled to [0, 1].

    Of images in memory all count, whatever their order. Of images that must be decoded first, 1000 do: a random one of
    each of 1000 equal stretches of the set, so that neither an order by class nor one that repeats itself biases them.

    Arguments:
        images: uint8, shape (n, channels, height, width), n at least 1, in memory or stored.
        generator: source of randomness, of which images in memory need nothing.

    Returns:
        (mean, deviation), shape (channels,) each; the deviation is at least 1e-3 (images of one colour).

    Raises:
        ValueError: if too many of the images cannot be read, see `read_batches`.

    References:
        Chan, Golub, LeVeque, "Algorithms for computing the sample variance", The American Statistician 1983 (equation
        2.1: the sums of squares of two parts make that of the whole).
    """
    if not isinstance(images, Tensor):
        places = spread(len(images), _DECODED, generator)
        images = next(read_batches(images, [places], torch.device("cpu")))[1]
    counts, means, squares = [], [], []
    for chunk in torch.split(images, _CHUNK):
        pixels = chunk.float() / 255
        count = pixels.numel() // pixels.shape[1]
        counts.append(count)
        means.append(pixels.mean((0, 2, 3)).double())
        squares.append((count - 1) * pixels.std((0, 2, 3)).double().square())
    each = torch.tensor(counts, dtype=torch.float64, device=images.device)[:, None]
    mean_of = torch.stack(means)
    mean = (each * mean_of).sum(0) / each.sum()
    square = torch.stack(squares).sum(0) + (each * (mean_of - mean).square()).sum(0)
    deviation = (square / (each.sum() - 1)).sqrt()
    return mean.float(), deviation.float().clamp_min(1e-3)
