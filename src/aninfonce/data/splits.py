"""Image data sets, and a held-out split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from aninfonce._typing import Int
from aninfonce.data.findings import Findings
from aninfonce.data.stored import Images

__all__ = ["NO_LABEL", "ImageDataset", "ImageSplit", "held_out_split", "split_off_test"]

NO_LABEL = -1
"""Label of an image without one, in a data set where others have one: trained on, left out by readouts of classes."""


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """Some images.

    Attributes:
        images: uint8 tensor of shape (n, channels, height, width), or `StoredImages` that are decoded on demand.
        labels: int64 tensor of shape (n,), an index into the data set's `class_names`, or `NO_LABEL`; None where there
            are no classes.
    """

    images: Images
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def in_memory(self) -> Tensor:
        """The images as a tensor.

        Raises:
            TypeError: if they are decoded on demand.
        """
        if not isinstance(self.images, Tensor):
            raise TypeError("these images stay where they are stored; expected a data set that is held in memory")
        return self.images


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images to train on and images held out.

    Attributes:
        name: the name it was asked for by.
        train: the images to train on.
        test: the images held out.
        class_names: one name a class; empty where there are no classes.
        skipped: (path, reason) of every image that could not be read.
        remarks: of images that were decoded at loading, flag -> how many have it, see `aninfonce.data.remarks`.
        findings: how the data set was read, and what was passed over.
    """

    name: str
    train: ImageSplit
    test: ImageSplit
    class_names: tuple[str, ...] = ()
    skipped: tuple[tuple[Path, str], ...] = field(default=())
    remarks: Mapping[str, int] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)

    @property
    def channels(self) -> int:
        """Channels of the images: 1 (grey) or 3 (red, green, blue)."""
        return self.train.images.shape[1]

    @property
    def image_size(self) -> int:
        """The shorter side of the images in pixels."""
        return min(self.train.images.shape[2:])


def held_out_split(
    labels: Int[Tensor, " n"], fraction: float = 0.2, *, generator: torch.Generator
) -> tuple[Int[Tensor, " train"], Int[Tensor, " test"]]:
    """Split indices at random into training and test, with every class in the same proportions as far as that goes.

    Arguments:
        labels: class of each image, shape (n,), n at least 2; all 0 where there are no classes. `NO_LABEL` counts as a
            class.
        fraction: fraction of the images held out, in (0, 1); at least one image and not all of them.
        generator: source of randomness.

    Returns:
        (training indices, test indices), each sorted.

    Raises:
        ValueError: if there are fewer than 2 images, or `fraction` is not in (0, 1).

    Example:
        >>> labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
        >>> train, test = held_out_split(labels, 0.25, generator=torch.Generator().manual_seed(0))
        >>> labels[train].tolist(), labels[test].tolist()
        ([0, 0, 0, 1, 1, 1], [0, 1])
    """
    n = len(labels)
    if n < 2:
        raise ValueError(f"holding out test images needs at least 2 images, got {n}")
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be in (0, 1), got {fraction}")
    shuffled = torch.randperm(n, generator=generator)
    labels = labels - labels.min()  # bincount takes no negative ones
    counts = labels.bincount()
    # Give each image its place within its class, 0 to 1, in shuffled order; the first places are held out.
    by_class = labels[shuffled].argsort(stable=True)
    class_start = counts.cumsum(0) - counts
    of_class = labels[shuffled][by_class]
    place = torch.empty(n)
    place[by_class] = (torch.arange(n) - class_start[of_class] + 0.5) / counts[of_class]
    held_out = min(n - 1, max(1, round(fraction * n)))
    order = shuffled[place.argsort(stable=True)]  # small classes tie; the shuffled order breaks the ties
    return order[held_out:].sort().values, order[:held_out].sort().values


def split_off_test(split: ImageSplit, seed: int) -> tuple[ImageSplit, ImageSplit]:
    """A fifth of every class held out: (training images, test images).

    Raises:
        ValueError: if there are fewer than 2 images.
    """
    labels = torch.zeros(len(split), dtype=torch.int64) if split.labels is None else split.labels
    parts = held_out_split(labels, generator=torch.Generator().manual_seed(seed))
    train, test = (
        ImageSplit(split.images[part], None if split.labels is None else split.labels[part]) for part in parts
    )
    return train, test
