"""Images in shards: uncompressed tar files in the WebDataset format, whose images stay there.

A sample is what shares a name up to its first dot: `cat/0001.jpg` and `cat/0001.cls`, the number of its class (see
`aninfonce.data.samples`). A tar file is gone through once for where each image begins; after that any image is one
read. So an order of images is any order of places, and follows from (seed, epoch) alone, whoever reads them:
WebDataset's and litdata's own loaders have an order that changes with the number of workers and nodes.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aninfonce._typing import Int
from aninfonce.data.classes import all_classes, renumbered
from aninfonce.data.findings import Findings, Ignored
from aninfonce.data.formats import image_endings
from aninfonce.data.layout import split_folders, split_rule
from aninfonce.data.listing import HIDDEN, is_hidden
from aninfonce.data.reading import ImageReadError, UnreadableImageError, retried
from aninfonce.data.samples import Sample, shard_samples
from aninfonce.data.shard_index import CLASSES, INDEX, ShardEntry, check_shards, members_digest
from aninfonce.data.shard_labels import ShardLabels, names_beside
from aninfonce.data.split_names import SplitNames, check_no_splits_in_names
from aninfonce.data.splits import ImageDataset, ImageSplit, split_off_test
from aninfonce.data.stored import StoredImages

__all__ = ["WINDOW", "AlteredImageError", "ShardImages", "load_shards"]

WINDOW = 8
"""Shards whose images are shuffled together; so much stays in the system's file cache while it is read."""

_COMPRESSED = (
    *(f".tar.{kind}" for kind in ("gz", "bz2", "xz", "zst", "zstd", "lz4", "lzma", "z")),
    *(".tgz", ".tbz", ".tbz2", ".txz", ".tzst"),
)


class AlteredImageError(ImageReadError):
    """An image in a shard of ours whose bytes are not those that were written."""

    def __str__(self) -> str:
        return f"{self.filename} was altered since it was written; aninfonce shards … --resume writes its shard again"


class ShardImages(StoredImages):
    """Images in tar files, which act like a uint8 tensor of shape (n, 3, image_size, image_size).

    Arguments:
        shards: the tar files; they are read through once, for where their images are.
        image_size: side of the images, pixels.
        workers: processes that decode; 0: this one.
        max_corrupt: share of the images that may be unreadable, see `CorruptImages`.
        background: colour that transparent pictures are put on, see `background_colour`.
        entries: what an index says of each shard, see `check_shards`; empty where there is none.
        ignored: where to note the members that are passed over.

    Attributes:
        shards: the tar files.
        labels: shape (n,), the class of each image, `NO_LABEL` where it has none: numbers in `.cls`, or of the distinct
            labels in `.json` or `.txt` in their order.
        found: the labels of each kind, of all images, whatever selection this is.

    Raises:
        ValueError: if a file is not an uncompressed tar, is damaged, is not as its entry says, or has a `.cls` that is
            no number; or a number is out of range, see `StoredImages`.
    """

    def __init__(
        self,
        shards: list[Path],
        image_size: int,
        workers: int = 0,
        max_corrupt: float = 1.0,
        background: str = "white",
        *,
        entries: Mapping[Path, ShardEntry] | None = None,
        ignored: Ignored | None = None,
    ) -> None:
        ignored = Ignored() if ignored is None else ignored
        entries = entries or {}
        self.found = ShardLabels()
        # Arrays, not a million objects: worker processes share them as long as nobody counts references.
        names, places = [np.empty(0, np.bytes_)], [np.empty((0, 2), np.int64)]
        for shard in shards:
            samples = _samples(shard, entries.get(shard), ignored)
            self.found.add(samples)
            names.append(np.array([os.fsencode(sample.name) for sample in samples], dtype=np.bytes_))
            places.append(np.array([(sample.offset, sample.size) for sample in samples], np.int64).reshape(-1, 2))
        super().__init__(self.found.images, image_size, workers, max_corrupt, background)
        self.shards = shards
        self._shard = np.repeat(np.arange(len(shards)), [len(part) for part in places[1:]])
        self._names = np.concatenate(names)
        self._offsets, self._sizes = np.concatenate(places).T
        self._crc32 = np.concatenate([entries[shard].crc32 for shard in shards]) if entries else None
        self.labels = self.found.classes(self.found.choose()[0])[1]

    def __len__(self) -> int:
        return len(self._shard)

    def path(self, index: int) -> Path:
        """SHARD/NAME of one image."""
        shard = self.shards[int(self._shard[index])]
        return shard / os.fsdecode(bytes(self._names[index]))

    def source(self, index: int) -> BytesIO:
        """The content of one image.

        Raises:
            UnreadableImageError: if the shard cannot be read there.
            AlteredImageError: if an index has another checksum of the image.
        """
        size = int(self._sizes[index])
        shard = self.shards[int(self._shard[index])]

        def read() -> bytes:
            with open(shard, "rb") as file:
                file.seek(self._offsets[index])
                return file.read(size)

        content = retried(read, str(shard))
        if len(content) < size:
            raise UnreadableImageError(f"the shard ends {size - len(content)} bytes before the image does")
        if self._crc32 is not None and zlib.crc32(content) != self._crc32[index]:
            raise AlteredImageError(errno.EIO, str(self.path(index)))
        return BytesIO(content)

    def _keep(self, rows: npt.NDArray[np.int64]) -> None:
        self._shard, self._names = self._shard[rows], self._names[rows]
        self._offsets, self._sizes = self._offsets[rows], self._sizes[rows]
        self._crc32 = None if self._crc32 is None else self._crc32[rows]
        self.labels = self.labels[torch.from_numpy(rows)]

    def shuffled(self, generator: torch.Generator) -> Int[Tensor, " n"]:
        """All places, block by block: the shards in a random order, and `WINDOW` of them shuffled together.

        The disk is read shard by shard, nearly; the images of a batch come from `WINDOW` shards at most, or twice as
        many where two windows meet. So shards must hold mixed images: not one class each.
        """
        shard = torch.from_numpy(self._shard)
        by_shard = shard.argsort(stable=True)
        places = torch.split(by_shard, torch.bincount(shard, minlength=len(self.shards)).tolist())
        windows = torch.split(torch.randperm(len(places), generator=generator), WINDOW)
        blocks = [torch.cat([places[i] for i in window.tolist()]) for window in windows]
        return torch.cat([block[torch.randperm(len(block), generator=generator)] for block in blocks])


def _samples(shard: Path, entry: ShardEntry | None, ignored: Ignored) -> list[Sample]:
    def read() -> tuple[list[Sample], Ignored]:
        passed_over = Ignored()
        return shard_samples(shard, passed_over), passed_over

    samples, passed_over = retried(read, str(shard))
    ignored.update(passed_over)
    if entry is not None and members_digest(samples) != entry.members:
        raise ValueError(f"{shard} was altered since it was written: it holds other images or labels")
    return samples


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

    Layouts: `train/*.tar` with `test/*.tar` (or `val/*.tar`, or another name of a split, see
    `aninfonce.data.split_names`); or `*.tar`, of which a fifth of every class is held out.

    Arguments:
        path: the folder.
        image_size: side to which the images are brought (shorter side resized, cropped around the centre), pixels.
        seed: the seed of the held-out split.
        decode_workers: processes that decode; 0: the one that asks.
        max_corrupt: share of the images that may be unreadable, see `CorruptImages`.
        background: colour that transparent pictures are put on, see `background_colour`.

    Returns:
        Images in colour, grey ones too. Their classes are those of `.cls`, else of `.json`, else of `.txt` (see
        `ShardLabels.choose`); numbers are called as the lines of `classes.txt` in the split's folder or else in the
        set's say, or else by themselves. Splits' classes are matched by name.

    Raises:
        ValueError: if the folder is missing or holds no shard or no image; a shard is damaged, compressed, or, where
            there is an index, missing or altered; `classes.txt` has too few lines; or a number is out of range.
    """
    ignored = Ignored()
    roots, chosen = split_folders(path, lambda folder: bool(_shards_in(folder, Ignored())))
    shards = [_shards_in(root, ignored) for root in roots]
    entries = check_shards(path, [shard for found in shards for shard in found])
    for root, found in zip(roots, shards, strict=True):
        if not found:
            raise ValueError(f"{root} holds no shard: looked for *.tar")
        check_no_splits_in_names([shard.stem for shard in found], str(root))
    _note_unused(path, roots, chosen, ignored)
    parts = [
        ShardImages(found, image_size, decode_workers, max_corrupt, background, entries=entries, ignored=ignored)
        for found in shards
    ]
    for root, images in zip(roots, parts, strict=True):
        if not len(images):
            endings = ", ".join(image_endings())
            raise ValueError(f"the {len(images.shards)} shards in {root} hold no image: looked for NAME{{{endings}}}")
    kind, rule = parts[0].found.choose()
    named = [_classes(images, kind, path, root) for root, images in zip(roots, parts, strict=True)]
    classes = all_classes([names for names, _ in named], str(path))
    splits = [
        ImageSplit(images, renumbered(labels, names, classes) if classes else None)
        for images, (names, labels) in zip(parts, named, strict=True)
    ]
    train, test = splits if len(splits) == 2 else split_off_test(splits[0], seed)
    return ImageDataset(f"shards:{path}", train, test, classes, findings=Findings(split_rule(chosen), rule, ignored))


def _shards_in(folder: Path, ignored: Ignored) -> list[Path]:
    """The shards right in a folder, sorted; what else lies there goes to `ignored`.

    Raises:
        ValueError: if there are compressed ones.
    """
    found = []
    for path in sorted(folder.iterdir()):
        name = path.name.casefold()
        if is_hidden(path.name):
            ignored.add(HIDDEN, path)
        elif name.endswith(_COMPRESSED):
            raise ValueError(f"{path} is a compressed shard; unpack it, since images are read by their places")
        elif name.endswith(".tar") and not path.is_dir():
            found.append(path)
        elif path.is_dir():
            ignored.add("folders beside shards", path)
        elif path.name not in (CLASSES, INDEX):
            ignored.add("files that are no shards", path)
    return found


def _note_unused(path: Path, roots: list[Path], chosen: SplitNames, ignored: Ignored) -> None:
    if roots == [path]:
        return
    for name in chosen.unused:
        for shard in _shards_in(path / name, Ignored()):
            ignored.add(f"shards in {name}, which is not one of the splits used", shard)
    for file in sorted(path.iterdir()):
        if not file.is_dir() and not is_hidden(file.name) and file.name not in (CLASSES, INDEX):
            ignored.add("files beside the folders of the splits", file)


def _classes(images: ShardImages, kind: str, path: Path, root: Path) -> tuple[tuple[str, ...], Tensor]:
    """The classes that a split's labels have, and its labels."""
    file, names = names_beside(path, root)
    try:
        return images.found.classes(kind, names)
    except ValueError as error:
        raise ValueError(f"{file} {error}") from error
