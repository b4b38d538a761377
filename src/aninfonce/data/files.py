"""Images in files of their own, which stay there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from aninfonce.data.layout import find_images
from aninfonce.data.splits import ImageDataset, ImageSplit, split_off_test
from aninfonce.data.stored import StoredImages

__all__ = ["ImageFiles", "load_files"]


class ImageFiles(StoredImages):
    """Image files that act like a uint8 tensor of shape (n, 3, image_size, image_size), decoded by `read_batches`.

    Arguments:
        paths: the paths of the files.
        image_size: side of the images, pixels.
        workers: processes that decode; 0: this one.
        max_corrupt: share of the files that may be unreadable, see `CorruptImages`.
        background: colour that transparent pictures are put on, see `background_colour`.

    Raises:
        ValueError: if a number is out of range, see `StoredImages`.

    Example:
        >>> files = ImageFiles([Path("a.jpg"), Path("b.jpg"), Path("c.jpg")], 224)
        >>> files.shape, len(files[torch.tensor([0, 2])])
        (torch.Size([3, 3, 224, 224]), 2)
    """

    def __init__(
        self,
        paths: Sequence[Path],
        image_size: int,
        workers: int = 0,
        max_corrupt: float = 1.0,
        background: str = "white",
    ) -> None:
        super().__init__(len(paths), image_size, workers, max_corrupt, background)
        # One array of bytes, not a million objects: worker processes share it as long as nobody counts references.
        self._names = np.array([os.fsencode(path) for path in paths], dtype=np.bytes_)

    def __len__(self) -> int:
        return len(self._names)

    def path(self, index: int) -> Path:
        """The file of one image."""
        return Path(os.fsdecode(bytes(self._names[index])))

    def source(self, index: int) -> Path:
        """The file of one image."""
        return self.path(index)

    def _keep(self, rows: npt.NDArray[np.int64]) -> None:
        self._names = self._names[rows]


def load_files(
    path: Path,
    *,
    image_size: int = 224,
    seed: int = 0,
    decode_workers: int = 0,
    max_corrupt: float = 1.0,
    background: str = "white",
) -> ImageDataset:
    """List the images of a folder, laid out as for `load_folder`; they are decoded when they are asked for.

    Arguments:
        path: the folder.
        image_size: side to which the images are brought (shorter side resized, cropped around the centre), pixels.
        seed: the seed of the held-out split.
        decode_workers: processes that decode; 0: the one that asks.
        max_corrupt: share of the images that may be unreadable, see `CorruptImages`.

    Returns:
        Images in colour, grey ones too.

    Raises:
        ValueError: if the folder is missing, holds no image, or mixes the layouts; or a number is out of range.
    """
    layout = find_images(path)
    names = layout.names
    splits = []
    for found in layout.parts:
        files = [file for paths in found.values() for file in paths]
        number = {name: label for label, name in enumerate(names)}
        labels = torch.tensor([number[name] for name, paths in found.items() for _ in paths]) if names else None
        splits.append(ImageSplit(ImageFiles(files, image_size, decode_workers, max_corrupt, background), labels))
    train, test = splits if len(splits) == 2 else split_off_test(splits[0], seed)
    return ImageDataset(f"files:{path}", train, test, names, findings=layout.findings)
