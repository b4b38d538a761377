"""Images that stay where they are stored: decoded when a batch asks for them, for sets that do not fit into memory."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from aninfonce._parent import end_with_parent
from aninfonce._typing import Int
from aninfonce.data.corrupt import CorruptImages
from aninfonce.data.decode import UnreadableImageError, decode_image

__all__ = ["Images", "StoredImages", "read_batches", "shuffled_order"]

# A process decodes so many images at a time: pieces of a batch, so that all of them work on the same batch.
_PIECE = 32
_Piece = tuple[Tensor, Tensor, list[tuple[Path, str]]]  # places of the readable images, the images, the other files


class StoredImages(ABC):
    """Images that act like a uint8 tensor of shape (n, 3, image_size, image_size), decoded by `read_batches`.

    Every image is brought to `image_size` on its shorter side and cropped around the centre, as by `load_folder`.
    A kind of storage says how many images it has, and of each what it is called and what `decode_image` takes.

    Arguments:
        total: images of the whole set.
        image_size: side of the images, pixels.
        workers: processes that decode; 0: this one.
        max_corrupt: share of the images that may be unreadable, see `CorruptImages`.

    Raises:
        ValueError: if `image_size` is less than 1, `workers` is negative, or `max_corrupt` is not in [0, 1].
    """

    def __init__(self, total: int, image_size: int, workers: int = 0, max_corrupt: float = 1.0) -> None:
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1 pixel, got {image_size}")
        if workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}")
        self.image_size = image_size
        self.workers = workers
        self.corrupt = CorruptImages(total, max_corrupt)  # selections share it

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def path(self, index: int) -> Path:
        """What one image is called: its file, or a file and the name in it."""

    @abstractmethod
    def source(self, index: int) -> Path | BytesIO:
        """One image as `decode_image` takes it.

        Raises:
            UnreadableImageError: if it cannot be had.
        """

    @abstractmethod
    def _keep(self, rows: npt.NDArray[np.int64]) -> None:
        """Become the selection of these, in their order."""

    def __getitem__(self, index: Int[Tensor, " m"]) -> StoredImages:
        """Some of the images, in the order of the index."""
        chosen = copy.copy(self)
        chosen._keep(index.cpu().numpy())
        return chosen

    @property
    def shape(self) -> torch.Size:
        """That of the tensor which the images would be."""
        return torch.Size((len(self), 3, self.image_size, self.image_size))

    @property
    def skipped(self) -> dict[Path, str]:
        """What turned out to be unreadable so far, also by way of other selections: name -> reason."""
        return self.corrupt.skipped

    def shuffled(self, generator: torch.Generator) -> Int[Tensor, " n"]:
        """All places in a random order."""
        return torch.randperm(len(self), generator=generator)

    def batches(self, batches: Sequence[Tensor], *, pin: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """(places, images) of every batch of places, but for those that cannot be read: they go to `skipped`.

        Arguments:
            batches: places, shape (m,) each.
            pin: whether to put the images into pinned memory, from which they go to a GPU while it computes.

        Raises:
            ValueError: if too many images cannot be read, see `CorruptImages`.
        """
        cut = [torch.split(batch, _PIECE) for batch in batches]
        pieces = [piece for batch in cut for piece in batch]
        # The loader wants a seed for its workers, which draw nothing: not from the global generator.
        loader: DataLoader[_Piece] = DataLoader(
            _Decoder(self),
            sampler=pieces,
            batch_size=None,
            num_workers=self.workers,
            generator=torch.Generator(),
            worker_init_fn=_start_worker,
        )
        stream = iter(loader)
        asked = sum(len(batch) for batch in batches)
        failed = 0
        for i, batch in enumerate(cut):
            found = [next(stream) for _ in batch]
            bad = [(path, reason) for *_, entries in found for path, reason in entries]
            failed += len(bad)
            self.corrupt.add(bad)
            if i == len(cut) - 1:  # before the last batch is given away: nobody has to ask for one more
                self.corrupt.end_pass(asked, failed)
            places = torch.cat([places for places, *_ in found])
            images = torch.empty(len(places), *self.shape[1:], dtype=torch.uint8, pin_memory=pin)
            yield places, torch.cat([images for _, images, _ in found], out=images)


def _start_worker(number: int) -> None:
    """In a process that decodes: it ends with the one that trains, also if that is killed."""
    end_with_parent()


class _Decoder(Dataset[_Piece]):
    """What the worker processes do: a piece of a batch, decoded."""

    def __init__(self, images: StoredImages) -> None:
        self.images = images

    def __getitem__(self, places: Tensor) -> _Piece:
        size = self.images.image_size
        images = torch.empty(len(places), 3, size, size, dtype=torch.uint8)
        readable: list[int] = []
        failed: list[tuple[Path, str]] = []
        for place in places.tolist():
            try:
                images[len(readable)], _ = decode_image(self.images.source(place), size)
            except UnreadableImageError as error:
                failed.append((self.images.path(place), str(error)))
            else:
                readable.append(place)
        return torch.tensor(readable, dtype=torch.int64), images[: len(readable)], failed


Images = Tensor | StoredImages
"""Images of shape (n, channels, height, width), uint8: in memory, or where they are stored."""


def read_batches(images: Images, batches: Sequence[Tensor], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """The images of every batch, on a device.

    Arguments:
        images: in memory (on any device) or stored.
        batches: the places of each batch's images, int64 tensors of shape (m,), m as it comes.
        device: where to put them.

    Returns:
        (places, images) of every batch; images that cannot be read are left out of both.

    Raises:
        ValueError: if no image of a batch can be read, or too many cannot (see `CorruptImages`).
    """
    if isinstance(images, Tensor):
        for places in batches:
            yield places, images[places.to(images.device)].to(device)
        return
    for asked, (places, batch) in zip(batches, images.batches(batches, pin=device.type == "cuda"), strict=True):
        if not len(places):
            first = images.path(int(asked[0]))
            raise ValueError(f"not one image of a batch can be read; the first: {first}: {images.skipped[first]}")
        yield places, batch.to(device, non_blocking=True)


def shuffled_order(images: Images, generator: torch.Generator) -> Int[Tensor, " n"]:
    """All places of the images in a random order that suits where they are.

    Images in memory and in files of their own: `torch.randperm`. Shards: see `ShardImages.shuffled`.

    Arguments:
        images: n images.
        generator: source of randomness; the order follows from its state and the images' number and shards alone.
    """
    return (
        torch.randperm(len(images), generator=generator) if isinstance(images, Tensor) else images.shuffled(generator)
    )
