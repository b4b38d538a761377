"""Images that stay where they are stored: decoded when a batch asks for them, for sets that do not fit into memory."""

from __future__ import annotations

import copy
import errno
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from aninfonce._parent import end_with_parent
from aninfonce._typing import Int
from aninfonce.data.background import background_colour
from aninfonce.data.corrupt import CorruptImages
from aninfonce.data.decode import decode_image
from aninfonce.data.reading import ImageReadError, UnreadableImageError, system_errno
from aninfonce.data.remarks import Remark, Remarks

__all__ = ["Images", "StoredImages", "read_batches", "shuffled_order"]

# A process decodes so many images at a time: pieces of a batch, so that all of them work on the same batch.
_PIECE = 32


class _Piece(NamedTuple):
    """What a process has made of a piece of a batch; but for the images nothing that takes an open file on its way."""

    places: list[int]  # of the readable images
    images: Tensor
    remarks: list[Remark]
    unreadable: list[tuple[Path, str]]
    failure: ImageReadError | None  # of the machine and not of an image: it ends the run


class StoredImages(ABC):
    """Images that act like a uint8 tensor of shape (n, 3, image_size, image_size), decoded by `read_batches`.

    Every image is brought to `image_size` on its shorter side and cropped around the centre, as by `load_folder`.
    A kind of storage says how many images it has, and of each what it is called and what `decode_image` takes.

    Arguments:
        total: images of the whole set.
        image_size: side of the images, pixels.
        workers: processes that decode; 0: this one.
        max_corrupt: share of the images that may be unreadable, see `CorruptImages`.
        background: colour that transparent pictures are put on, see `background_colour`.

    Raises:
        ValueError: if `image_size` is less than 1, `workers` is negative, `max_corrupt` is not in [0, 1], or there is
            no such colour.
    """

    def __init__(
        self, total: int, image_size: int, workers: int = 0, max_corrupt: float = 1.0, background: str = "white"
    ) -> None:
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1 pixel, got {image_size}")
        if workers < 0:
            raise ValueError(f"workers must be at least 0, got {workers}")
        self.image_size = image_size
        self.workers = workers
        self.background = background_colour(background)
        # Selections share what is known of the whole set, and know which of its images are theirs.
        self.corrupt = CorruptImages(total, max_corrupt)
        self.remarks = Remarks(total)
        self._origin = np.arange(total)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def path(self, index: int) -> Path:
        """What one image is called: its file, or a file and the name in it."""

    @abstractmethod
    def source(self, index: int) -> Path | BytesIO:
        """One image as `decode_image` takes it.

        Raises:
            UnreadableImageError: if there is none.
            ImageReadError: if it cannot be read.
        """

    @abstractmethod
    def _keep(self, rows: npt.NDArray[np.int64]) -> None:
        """Become the selection of these, in their order."""

    def __getitem__(self, index: Int[Tensor, " m"]) -> StoredImages:
        """Some of the images, in the order of the index."""
        rows = index.cpu().numpy()
        chosen = copy.copy(self)
        chosen._keep(rows)
        chosen._origin = self._origin[rows]
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
            ImageReadError: if one cannot be read for a reason that is not its content.
            ChildProcessError: if a process that decodes has ended.
        """
        cut = [torch.split(batch, _PIECE) for batch in batches]
        stream = self._decoded([piece for batch in cut for piece in batch])
        asked = sum(len(batch) for batch in batches)
        failed = 0
        for i, batch in enumerate(cut):
            images = torch.empty(sum(map(len, batch)), *self.shape[1:], dtype=torch.uint8, pin_memory=pin)
            places: list[int] = []
            bad: list[tuple[Path, str]] = []
            for _ in batch:
                # Copied at once: each piece of a process holds an open file, and a large batch has many pieces.
                piece = next(stream)
                images[len(places) : len(places) + len(piece.places)] = piece.images
                self.remarks.note(self._origin[piece.places], piece.remarks)
                places += piece.places
                bad += piece.unreadable
                del piece
            failed += len(bad)
            self.corrupt.add(bad)
            if i == len(cut) - 1:  # before the last batch is given away: nobody has to ask for one more
                self.corrupt.end_pass(asked, failed)
            yield torch.tensor(places, dtype=torch.int64), images[: len(places)]

    def _decoded(self, pieces: Sequence[Tensor]) -> Iterator[_Piece]:
        """The pieces, in their order, of `workers` processes or of this one."""
        # The loader wants a seed for its workers, which draw nothing: not from the global generator.
        loader: DataLoader[_Piece] = DataLoader(
            _Decoder(self),
            sampler=pieces,
            batch_size=None,
            num_workers=self.workers,
            collate_fn=_as_it_is,
            generator=torch.Generator(),
            worker_init_fn=_start_worker,
        )
        try:
            for piece in loader:
                if piece.failure is not None:
                    raise piece.failure
                yield piece
        except ImageReadError:
            raise
        except (RuntimeError, OSError) as error:  # torch's words for a process that is gone, and for no more open files
            if not self.workers:
                raise
            first = str(error).strip().partition("\n")[0]
            raise ChildProcessError(
                f"the processes that decode images cannot go on: {first}. Too little memory, shared "
                "memory (/dev/shm) or too few open files (ulimit -n) are the usual reasons: see to these or use fewer "
                "--decode-workers; a training then continues from its last checkpoint with --resume"
            ) from error


def _as_it_is(piece: Any) -> Any:
    return piece


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
        found = _Piece([], images, [], [], None)
        for place in places.tolist():
            path = self.images.path(place)
            try:
                source = self.images.source(place)
                decoded = decode_image(source, size, self.images.background, str(path))
            except UnreadableImageError as error:
                found.unreadable.append((path, str(error)))
            except (OSError, MemoryError) as error:  # said by the process that asked: a worker's errors lose their type
                number = system_errno(error) or errno.EIO
                failure = error if isinstance(error, ImageReadError) else ImageReadError(number, str(path))
                return _Piece([], torch.empty(0, dtype=torch.uint8), [], [], failure)
            else:
                images[len(found.places)] = decoded.pixels
                found.places.append(place)
                found.remarks.append(decoded.remarks)
        return found._replace(images=images[: len(found.places)])


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
        ImageReadError: if an image cannot be read for a reason that is not its content, such as a disk that fails.
        ChildProcessError: if a process that decodes has ended.
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
