"""Images that stay in their files: decoded when a batch asks for them, for data sets that do not fit into memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from aninfonce._typing import Int
from aninfonce.data.decode import UnreadableImageError, decode_image

__all__ = ["ImageFiles", "Images", "read_batches"]

# A process decodes so many images at a time: pieces of a batch, so that all of them work on the same batch.
_PIECE = 32
_Piece = tuple[Tensor, Tensor, list[tuple[Path, str]]]  # places of the readable images, the images, the other files


class ImageFiles:
    """Image files that act like a uint8 tensor of shape (n, 3, image_size, image_size), decoded by `read_batches`.

    Every image is brought to `image_size` on its shorter side and cropped around the centre, as by `load_folder`.

    Arguments:
        paths: of the files.
        image_size: side of the images, pixels.
        workers: processes that decode; 0: this one.

    Attributes:
        skipped: file -> reason, of the files that turned out to be unreadable so far; selections share it.

    Raises:
        ValueError: if `image_size` is less than 1 or `workers` is negative.

    Example:
        >>> files = ImageFiles([Path("a.jpg"), Path("b.jpg"), Path("c.jpg")], 224)
        >>> files.shape, len(files[torch.tensor([0, 2])])
        (torch.Size([3, 3, 224, 224]), 2)
    """

    def __init__(self, paths: Sequence[Path], image_size: int, workers: int = 0) -> None:
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1 pixel, got {image_size}")
        if workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}")
        # One array of bytes, not a million objects: worker processes share it as long as nobody counts references.
        self._names = np.array([os.fsencode(path) for path in paths], dtype=np.bytes_)
        self.image_size = image_size
        self.workers = workers
        self.skipped: dict[Path, str] = {}

    def __len__(self) -> int:
        return len(self._names)

    @property
    def shape(self) -> torch.Size:
        """That of the tensor which the images would be."""
        return torch.Size((len(self), 3, self.image_size, self.image_size))

    def path(self, index: int) -> Path:
        """The file of one image."""
        return Path(os.fsdecode(bytes(self._names[index])))

    def __getitem__(self, index: Int[Tensor, " m"]) -> ImageFiles:
        """Some of the files, in the order of the index."""
        chosen = ImageFiles((), self.image_size, self.workers)
        chosen._names = self._names[index.cpu().numpy()]
        chosen.skipped = self.skipped
        return chosen

    def batches(self, batches: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """(places, images) of every batch of places, but for those that cannot be read: they go to `skipped`."""
        cut = [torch.split(batch, _PIECE) for batch in batches]
        pieces = [piece for batch in cut for piece in batch]
        # The loader wants a seed for its workers, which draw nothing: not from the global generator.
        loader: DataLoader[_Piece] = DataLoader(
            _Decoder(self), sampler=pieces, batch_size=None, num_workers=self.workers, generator=torch.Generator()
        )
        stream = iter(loader)
        for batch in cut:
            found = [next(stream) for _ in batch]
            self.skipped.update(entry for *_, failed in found for entry in failed)
            yield torch.cat([places for places, *_ in found]), torch.cat([images for _, images, _ in found])


class _Decoder(Dataset[_Piece]):
    """What the worker processes do: a piece of a batch, decoded."""

    def __init__(self, files: ImageFiles) -> None:
        self.files = files

    def __getitem__(self, places: Tensor) -> _Piece:
        size = self.files.image_size
        images = torch.empty(len(places), 3, size, size, dtype=torch.uint8)
        readable: list[int] = []
        failed: list[tuple[Path, str]] = []
        for place in places.tolist():
            path = self.files.path(place)
            try:
                images[len(readable)], _ = decode_image(path, size)
            except UnreadableImageError as error:
                failed.append((path, str(error)))
            else:
                readable.append(place)
        return torch.tensor(readable, dtype=torch.int64), images[: len(readable)], failed


Images = Tensor | ImageFiles
"""Images of shape (n, channels, height, width), uint8: in memory, or in files."""


def read_batches(images: Images, batches: Sequence[Tensor], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """The images of every batch, on a device.

    Arguments:
        images: in memory (on any device) or in files.
        batches: the places of each batch's images, int64 tensors of shape (m,), m as it comes.
        device: where to put them.

    Returns:
        (places, images) of every batch; files that cannot be read are left out of both.

    Raises:
        ValueError: if no image of a batch can be read.
    """
    if isinstance(images, Tensor):
        for places in batches:
            yield places, images[places.to(images.device)].to(device)
        return
    for asked, (places, batch) in zip(batches, images.batches(batches), strict=True):
        if not len(places):
            first = images.path(int(asked[0]))
            raise ValueError(f"not one image of a batch can be read; the first: {first}: {images.skipped[first]}")
        yield places, batch.to(device, non_blocking=True)
