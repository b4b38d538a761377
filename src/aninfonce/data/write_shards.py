"""Stored images into shards: tar files in the WebDataset format, in a random order."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import torch

from aninfonce._extras import require
from aninfonce.data.decode import FORMATS, reason
from aninfonce.data.reading import ImageReadError, UnreadableImageError, read_file
from aninfonce.data.shards import CLASSES, LABEL_SUFFIX
from aninfonce.data.splits import NO_LABEL, ImageDataset, ImageSplit
from aninfonce.data.stored import StoredImages

__all__ = ["write_shards"]

_PARTS = ("train", "test")


def write_shards(dataset: ImageDataset, out: Path, *, per_shard: int = 4000, seed: int = 0) -> Iterator[Path]:
    """Write the files of a data set's images, as they are, to `train/*.tar` and `test/*.tar`, as `load_shards` asks.

    The images are mixed, so that a few shards together look like the whole. A shard appears under its name when it is
    whole.

    Arguments:
        dataset: its images are stored, not in memory.
        out: folder for the shards; made if it is not there.
        per_shard: images a shard, at least 1; 4000 photographs take about half a gigabyte.
        seed: of the order.

    Returns:
        Every shard when it is written. Images whose files are no images go to the data set's `skipped`.

    Raises:
        ValueError: if the images are in memory, `per_shard` is less than 1, there are shards in `out` already, the name
            of a class has a line break, or too many images cannot be read (see `CorruptImages`).
        OSError: if a shard cannot be written.
    """
    if per_shard < 1:
        raise ValueError(f"per_shard must be at least 1, got {per_shard}")
    broken = [name for name in dataset.class_names if {"\n", "\r"} & set(name)]
    if broken:
        raise ValueError(f"{CLASSES} has one name a line, but the class {broken[0]!r} has a line break in its name")
    for name, split in zip(_PARTS, (dataset.train, dataset.test), strict=True):
        if not isinstance(split.images, StoredImages):
            raise ValueError(f"{dataset.name} is held in memory, and needs no shards")
        if any((out / name).glob("*.tar")):
            raise ValueError(f"there are shards in {out / name} already")
    for name, split in zip(_PARTS, (dataset.train, dataset.test), strict=True):
        (out / name).mkdir(parents=True, exist_ok=True)
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
        for number, places in enumerate(torch.split(order, per_shard)):
            shard = out / name / f"{number:06d}.tar"
            partial = shard.with_suffix(".partial")
            with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
                for place in places.tolist():
                    _add(tar, split, place)
            partial.replace(shard)
            yield shard
    if dataset.class_names:
        (out / CLASSES).write_text("".join(f"{name}\n" for name in dataset.class_names), encoding="utf-8")


def _add(tar: tarfile.TarFile, split: ImageSplit, place: int) -> None:
    images = split.images
    assert isinstance(images, StoredImages)  # checked above
    try:
        source = images.source(place)
        content = source.getvalue() if isinstance(source, BytesIO) else read_file(source)
        with require("PIL.Image", "vision").open(BytesIO(content), formats=FORMATS) as image:
            ending = image.format.lower().replace("dib", "bmp")
    except ImageReadError:
        raise
    except (UnreadableImageError, OSError) as error:
        images.corrupt.add([(images.path(place), reason(error))])
        return
    _write(tar, f"{place:09d}.{ending}", content)
    if split.labels is not None and (label := int(split.labels[place])) != NO_LABEL:
        _write(tar, f"{place:09d}{LABEL_SUFFIX}", str(label).encode())


def _write(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
