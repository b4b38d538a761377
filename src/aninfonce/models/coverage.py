"""Whether a network sees the whole picture, and at which sizes it does.

A network that cuts a picture into patches drops what is left over at the right and the lower edge: of 28×28 pixels a
vision transformer with patches of 16 sees the first 16×16. A convolution whose stride does not divide the size drops a
row. Neither says so. So a new network is tried on pictures with one pixel that is NaN: whatever it is multiplied by,
the features are NaN if and only if they are computed from that pixel, also where weights or gates start at zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

__all__ = ["check_coverage", "nearest_sizes", "trial_features", "unseen_pixels"]

_FARTHEST = 64  # pixels to the sizes that an error proposes


@torch.no_grad()
def trial_features(network: nn.Module, channels: int, height: int, width: int) -> Tensor:
    """Features of six pictures, in evaluation mode: an empty one, then one for each of `_probes` with NaN there."""
    pixels = _probes(height, width)
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    images = torch.zeros(1 + len(pixels), channels, height, width, device=device)
    for image, (row, column) in zip(images[1:], pixels, strict=True):
        image[:, row, column] = torch.nan
    training = network.training
    network.eval()  # statistics of the batch would mix the pictures, and must not enter the running ones
    try:
        features: Tensor = network(images)
    finally:
        network.train(training)
    return features


def unseen_pixels(features: Tensor, height: int, width: int) -> list[tuple[int, int]]:
    """(row, column) of the tried pixels that no entry of the features depends on.

    Arguments:
        features: what `trial_features` returned.
        height: the height of the pictures.
        width: width of the images, pixels.
    """
    seen = features[1:].isnan().flatten(1).any(1).tolist()
    return [pixel for pixel, found in zip(_probes(height, width), seen, strict=True) if not found]


def check_coverage(network: nn.Module, name: str, channels: int, height: int, width: int) -> None:
    """Check that a network sees the whole of pictures of another shape than it was built for.

    Raises:
        ValueError: if it cannot take them, or does not see all of them.
    """
    shape = f"{channels}×{height}×{width}"
    try:
        unseen = unseen_pixels(trial_features(network, channels, height, width), height, width)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ValueError(f"{name} cannot take images of {shape}: {error}") from error
    if unseen:
        raise ValueError(f"{name} would not see all of images of {shape}: the pixel {unseen[0]} (row, column) is lost")


def nearest_sizes(works: Callable[[int], bool], size: int) -> tuple[int | None, int | None]:
    """The nearest smaller and larger size that works, of those that patches and strides divide; None: none is near."""

    def first(sizes: Iterable[int]) -> int | None:
        return next((other for other in sizes if (other % 4 == 0 or other % 7 == 0) and works(other)), None)

    return (
        first(range(size - 1, max(0, size - _FARTHEST - 1), -1)),
        first(range(size + 1, size + _FARTHEST + 1)),
    )


def _probes(height: int, width: int) -> list[tuple[int, int]]:
    """The corners, where pixels are lost, and one inside."""
    inside = (math.ceil(height / 2) - 1, math.ceil(width / 2) - 1)
    return [(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1), inside]
