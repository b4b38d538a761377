"""Images in shards: uncompressed tar files in the WebDataset format, whose images stay there.

A sample is what shares a name up to its first dot: `cat/0001.jpg` and `cat/0001.cls`, the number of its class. A tar
file is read once for where each image begins; after that any image is one read. So an order of images is any order of
places, and follows from (seed, epoch) alone, whoever reads them: WebDataset's and litdata's own loaders have an order
that changes with the number of workers and nodes.
"""

from __future__ import annotations

import functools
import os
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aninfonce._typing import Int
from aninfonce.data.layout import IMAGE_SUFFIXES, train_and_test
from aninfonce.data.reading import UnreadableImageError, retried, system_errno
from aninfonce.data.splits import NO_LABEL, ImageDataset, ImageSplit, split_off_test
from aninfonce.data.stored import StoredImages

__all__ = ["CLASSES", "LABEL_SUFFIX", "WINDOW", "ShardImages", "load_shards"]

LABEL_SUFFIX = ".cls"
CLASSES = "classes.txt"
"""File beside the shards, or their folders, with the name of a class a line; not part of the format."""
WINDOW = 8
"""Shards whose images are shuffled together; so much stays in the system's file cache while it is read."""

_MOST_CLASSES = 1_000_000
_BLOCK = tarfile.BLOCKSIZE


class ShardImages(StoredImages):
    """Images in tar files, which act like a uint8 tensor of shape (n, 3, image_size, image_size).

    Arguments:
        shards: the tar files; they are read through once, for where their images are.
        image_size: side of the images, pixels.
        workers: processes that decode; 0: this one.
        max_corrupt: share of the images that may be unreadable, see `CorruptImages`.
        background: colour that transparent pictures are put on, see `background_colour`.

    Attributes:
        labels: shape (n,), the class of each image, `NO_LABEL` where it has none.

    Raises:
        ValueError: if a file is not an uncompressed tar, is damaged, or has a label that is no number; or a number is
            out of range, see `StoredImages`.
    """

    def __init__(
        self,
        shards: list[Path],
        image_size: int,
        workers: int = 0,
        max_corrupt: float = 1.0,
        background: str = "white",
    ) -> None:
        found = [retried(functools.partial(_index, shard), str(shard)) for shard in shards]
        counts = [len(names) for names, *_ in found]
        super().__init__(sum(counts), image_size, workers, max_corrupt, background)
        self._shards = shards
        # Arrays, not a million objects: worker processes share them as long as nobody counts references.
        self._shard = np.repeat(np.arange(len(shards)), counts)
        self._names = np.array([name for names, *_ in found for name in names], dtype=np.bytes_)
        self._offsets = np.array([offset for _, offsets, *_ in found for offset in offsets], dtype=np.int64)
        self._sizes = np.array([size for _, _, sizes, _ in found for size in sizes], dtype=np.int64)
        self.labels = torch.tensor([label for *_, labels in found for label in labels], dtype=torch.int64)

    def __len__(self) -> int:
        return len(self._shard)

    def path(self, index: int) -> Path:
        """SHARD/NAME of one image."""
        shard = self._shards[int(self._shard[index])]
        return shard / os.fsdecode(bytes(self._names[index]))

    def source(self, index: int) -> BytesIO:
        """The content of one image."""
        size = int(self._sizes[index])
        shard = self._shards[int(self._shard[index])]

        def read() -> bytes:
            with open(shard, "rb") as file:
                file.seek(self._offsets[index])
                return file.read(size)

        content = retried(read, str(shard))
        if len(content) < size:
            raise UnreadableImageError(f"the shard ends {size - len(content)} bytes before the image does")
        return BytesIO(content)

    def _keep(self, rows: npt.NDArray[np.int64]) -> None:
        self._shard, self._names = self._shard[rows], self._names[rows]
        self._offsets, self._sizes = self._offsets[rows], self._sizes[rows]
        self.labels = self.labels[torch.from_numpy(rows)]

    def shuffled(self, generator: torch.Generator) -> Int[Tensor, " n"]:
        """All places, block by block: the shards in a random order, and `WINDOW` of them shuffled together.

        The disk is read shard by shard, nearly; the images of a batch come from `WINDOW` shards at most, or twice as
        many where two windows meet. So shards must hold mixed images: not one class each.
        """
        shard = torch.from_numpy(self._shard)
        by_shard = shard.argsort(stable=True)
        places = torch.split(by_shard, torch.bincount(shard, minlength=len(self._shards)).tolist())
        windows = torch.split(torch.randperm(len(places), generator=generator), WINDOW)
        blocks = [torch.cat([places[i] for i in window.tolist()]) for window in windows]
        return torch.cat([block[torch.randperm(len(block), generator=generator)] for block in blocks])


def _index(shard: Path) -> tuple[list[bytes], list[int], list[int], list[int]]:
    """Of every image in a tar file: its name, where its bytes begin, how many they are, and its label."""
    keys: list[str] = []
    names: list[bytes] = []
    offsets: list[int] = []
    sizes: list[int] = []
    labels: dict[str, int] = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                folder, _, file = member.name.rpartition("/")
                stem, dot, ending = file.partition(".")
                suffix, key = (dot + ending).lower(), f"{folder}/{stem}"
                if not member.isreg() or not stem or suffix not in (*IMAGE_SUFFIXES, LABEL_SUFFIX):
                    continue
                if member.sparse is not None:
                    raise ValueError(f"{member.name} is stored as a sparse file; make the archive without --sparse")
                if suffix == LABEL_SUFFIX:
                    labels[key] = _label(tar, member)
                    continue
                keys.append(key)
                names.append(os.fsencode(member.name))
                offsets.append(member.offset_data)
                sizes.append(member.size)
            _check_end(tar)
    except (tarfile.TarError, OSError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        if isinstance(error, OSError) and system_errno(error) is not None:
            raise
        raise ValueError(f"{shard} is no readable uncompressed tar file: {error}") from error
    return names, offsets, sizes, [labels.get(key, NO_LABEL) for key in keys]


def _label(tar: tarfile.TarFile, member: tarfile.TarInfo) -> int:
    file = tar.extractfile(member)
    text = b"" if file is None else file.read(20).strip()
    if not text.isdigit() or int(text) >= _MOST_CLASSES:
        raise ValueError(f"{member.name} must hold the number of a class, from 0 to {_MOST_CLASSES - 1}, got {text!r}")
    return int(text)


def _check_end(tar: tarfile.TarFile) -> None:
    """`tarfile` takes a damaged header for the archive's end; there must be none, or nothing but zeros."""
    file = tar.fileobj
    assert file is not None  # as long as the archive is open
    file.seek(tar.offset)
    rest = file.read(_BLOCK)
    if rest.strip(b"\0"):
        raise ValueError(f"damaged at byte {tar.offset}, which is neither a file's header nor the end")


def load_shards(
    path: Path,
    *,
    image_size: int = 224,
    seed: int = 0,
    decode_workers: int = 0,
    max_corrupt: float = 1.0,
    background: str = "white",
) -> ImageDataset:
    """List the images in a folder's shards; they are decoded when they are asked for.

    Layouts: `train/*.tar` with `test/*.tar` (or `val/*.tar`); or `*.tar`, of which a fifth of every class is held out.

    Arguments:
        path: the folder.
        image_size: side to which the images are brought (shorter side resized, cropped around the centre), pixels.
        seed: of the held-out split.
        decode_workers: processes that decode; 0: the one that asks.
        max_corrupt: share of the images that may be unreadable, see `CorruptImages`.
        background: colour that transparent pictures are put on, see `background_colour`.

    Returns:
        Images in colour, grey ones too; their classes are called as the lines of `classes.txt` in the folder say, or
        else by their numbers.

    Raises:
        ValueError: if the folder is missing or holds no shard or no image, a shard is damaged, `classes.txt` has too
            few lines, or a number is out of range.
    """
    parts: list[ShardImages] = []
    for root in train_and_test(path):
        shards = sorted(p for p in root.iterdir() if p.suffix == ".tar" and not p.name.startswith("."))
        if not shards:
            raise ValueError(f"{root} holds no shard: looked for *.tar")
        parts.append(ShardImages(shards, image_size, decode_workers, max_corrupt, background))
        if not len(parts[-1]):
            endings = ", ".join(IMAGE_SUFFIXES)
            raise ValueError(f"the {len(shards)} shards in {root} hold no image: looked for NAME{{{endings}}}")
    names = _class_names(path, classes=max(int(images.labels.max()) for images in parts) + 1)
    splits = [ImageSplit(images, images.labels if names else None) for images in parts]
    train, test = splits if len(splits) == 2 else split_off_test(splits[0], seed)
    return ImageDataset(f"shards:{path}", train, test, names)


def _class_names(path: Path, classes: int) -> tuple[str, ...]:
    """Names of so many classes at least."""
    if not classes or not (path / CLASSES).is_file():
        return tuple(str(label) for label in range(classes))
    text = (path / CLASSES).read_text(encoding="utf-8", errors="replace")
    names = tuple(text.removesuffix("\n").split("\n")) if text else ()
    if len(names) < classes:
        raise ValueError(f"{path / CLASSES} names {len(names)} classes, the shards have at least {classes}")
    return names
