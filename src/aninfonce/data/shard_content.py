"""What goes into a shard: the images' files as they are, and their labels."""

from __future__ import annotations

import io
import tarfile
from io import BytesIO
from pathlib import Path

from torch import Tensor

from aninfonce._extras import require
from aninfonce.data.decode import reason
from aninfonce.data.findings import Ignored
from aninfonce.data.formats import readable_formats
from aninfonce.data.own_files import is_own, written_whole
from aninfonce.data.reading import UnreadableImageError, read_file
from aninfonce.data.samples import shard_samples
from aninfonce.data.shard_index import ShardEntry, entry_of
from aninfonce.data.splits import NO_LABEL, ImageSplit
from aninfonce.data.stored import StoredImages

__all__ = ["entry_there", "write_shard"]

# What members are called: endings that WebDataset's own decoders know. MPO, of cameras, is JPEG with pictures behind.
_ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "DIB": "bmp", "HEIF": "heic"}


def write_shard(shard: Path, split: ImageSplit, places: Tensor) -> ShardEntry:
    """Write a shard with the images at these places; those that are no images go to `skipped`.

    Raises:
        ValueError: if too many images cannot be read, or there is a link under the shard's name.
        OSError: if an image's file cannot be read, tried several times, or the shard cannot be written.
    """
    with written_whole(shard) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for place in places.tolist():
            found = _image(split, place)
            if found is None:
                continue
            content, ending = found
            _add(tar, f"{place:09d}.{ending}", content)
            if split.labels is not None and (label := int(split.labels[place])) != NO_LABEL:
                _add(tar, f"{place:09d}.cls", str(label).encode())
    return entry_of(shard)


def entry_there(shard: Path, split: ImageSplit, places: Tensor, expected: ShardEntry | None) -> ShardEntry | None:
    """The entry of a shard that a process before wrote; None if it must be written (again).

    Arguments:
        shard: its file, which may not be there.
        split: the split of the images.
        places: those that it must hold, but for those that cannot be read.
        expected: the entry that a complete index has.
    """
    if not is_own(shard):
        return None
    try:
        entry = entry_of(shard)
        samples = shard_samples(shard, Ignored())
    except ValueError:  # damaged: it is written again
        return None
    held = [int(sample.name.partition(".")[0]) for sample in samples]
    there = {*held}
    if held != [place for place in places.tolist() if place in there]:
        return None
    if expected is not None and entry.as_json() != expected.as_json():
        return None
    missing = [place for place in places.tolist() if place not in there]
    return entry if all(_image(split, place) is None for place in missing) else None


def _image(split: ImageSplit, place: int) -> tuple[bytes, str] | None:
    """The content of an image's file, and the ending for its format; None if it is none, which goes to `skipped`."""
    images = split.images
    assert isinstance(images, StoredImages)  # `plan_of` takes no others
    pil = require("PIL.Image", "vision")
    unknown = require("PIL", "vision").UnidentifiedImageError
    try:
        source = images.source(place)
        content = source.getvalue() if isinstance(source, BytesIO) else read_file(source)
        with pil.open(BytesIO(content), formats=readable_formats()) as image:
            kind = image.format
    except (UnreadableImageError, unknown, pil.DecompressionBombError) as error:
        images.corrupt.add([(images.path(place), reason(error))])
        return None
    return content, _ENDINGS.get(kind, kind.lower())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # of no time and no owner: equal images make equal bytes
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
