"""The index of the shards that were written here: which they are, and that all of them are there and whole.

It is there from before the first shard, as incomplete, and becomes complete after the last: shards of a command that
was killed are never taken for all. Shards that others wrote have none, and need none.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aninfonce.data.findings import Ignored
from aninfonce.data.own_files import is_own, written_whole
from aninfonce.data.samples import Sample, shard_samples

__all__ = [
    "CLASSES",
    "INDEX",
    "PARTS",
    "ShardEntry",
    "ShardIndex",
    "check_shards",
    "class_lines",
    "entry_of",
    "members_digest",
    "read_index",
    "shard_name",
    "write_index",
]

INDEX = "shards.json"
PARTS = ("train", "test")
CLASSES = "classes.txt"
"""File beside the shards, or their folders, with the name of a class a line; not part of the format."""

_FORMAT = "aninfonce shards 1"
_NAME = re.compile(r"aninfonce-(\d{6,})-of-(\d{6,})\.tar")


def shard_name(part: str, number: int, of: int) -> str:
    """`train/aninfonce-000000-of-000004.tar`: no name that others give, and it says how many there must be."""
    return f"{part}/aninfonce-{number:06d}-of-{of:06d}.tar"


@dataclass(frozen=True)
class ShardEntry:
    """What the index says of a shard.

    Attributes:
        images: how many it holds.
        bytes: its size.
        members: digest of the images' names, places and labels.
        crc32: checksum of each image's bytes, shape (images,), uint32.
    """

    images: int
    bytes: int
    members: str
    crc32: npt.NDArray[np.uint32]

    def as_json(self) -> dict[str, Any]:
        """As it stands in the index."""
        packed = base64.b64encode(self.crc32.astype("<u4").tobytes()).decode()
        return {"images": self.images, "bytes": self.bytes, "members": self.members, "crc32": packed}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> ShardEntry:
        """Of what stands in the index."""
        crc32 = np.frombuffer(base64.b64decode(found["crc32"], validate=True), dtype="<u4").astype(np.uint32)
        if len(crc32) != found["images"]:
            raise ValueError(f"{len(crc32)} checksums of {found['images']} images")
        return cls(int(found["images"]), int(found["bytes"]), str(found["members"]), crc32)


@dataclass(frozen=True)
class ShardIndex:
    """The index.

    Attributes:
        source: name of the data set that the images come from.
        settings: what the shards follow from; equal ones make equal shards.
        classes: the classes' names.
        shards: name, as `shard_name` makes it -> its entry; None as long as it may not be written.
        complete: whether all are written.
        skipped: (file, reason) of images that could not be read, and are in no shard.
        remove: names of an older set's files that this set replaces and that may still be there.
    """

    source: str
    settings: Mapping[str, Any]
    classes: tuple[str, ...]
    shards: Mapping[str, ShardEntry | None]
    complete: bool = False
    skipped: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = field(default=())


def write_index(out: Path, index: ShardIndex) -> None:
    """Write the index, whole or not at all."""
    content = {
        "format": _FORMAT,
        "complete": index.complete,
        "source": index.source,
        "settings": dict(index.settings),
        "classes": list(index.classes),
        "shards": {name: None if entry is None else entry.as_json() for name, entry in index.shards.items()},
        "skipped": [{"file": file, "reason": reason} for file, reason in index.skipped],
        "remove": list(index.remove),
    }
    with written_whole(out / INDEX) as file:
        file.write(json.dumps(content, indent=1).encode() + b"\n")


def read_index(folder: Path) -> ShardIndex | None:
    """The index in a folder; None if there is none, or one of somebody else's.

    Raises:
        ValueError: if it is ours and damaged.
    """
    path = folder / INDEX
    if not is_own(path):
        return None
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        return None
    try:
        index = ShardIndex(
            str(content["source"]),
            dict(content["settings"]),
            tuple(map(str, content["classes"])),
            {name: None if entry is None else ShardEntry.from_json(entry) for name, entry in content["shards"].items()},
            content["complete"] is True,
            tuple((str(entry["file"]), str(entry["reason"])) for entry in content["skipped"]),
            tuple(content["remove"]),
        )
        # A name that is not of this form would lead to files which were not written here.
        strange = [name for name in (*index.shards, *index.remove) if not _is_ours(name, index)]
        if strange or (index.complete and None in index.shards.values()):
            raise ValueError(f"strange shards {strange}")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    return index


def _is_ours(name: str, index: ShardIndex) -> bool:
    part, _, file = name.partition("/")
    return (name == CLASSES and name in index.remove) or (part in PARTS and _NAME.fullmatch(file) is not None)


def class_lines(classes: Sequence[str]) -> bytes:
    """The content of `classes.txt`."""
    return "".join(f"{name}\n" for name in classes).encode()


def members_digest(samples: Sequence[Sample]) -> str:
    """Digest of the images' names, places and labels in a shard."""
    rows = [[sample.name, sample.offset, sample.size, sample.labels] for sample in samples]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def entry_of(shard: Path) -> ShardEntry:
    """The entry of a shard that is there, read through.

    Raises:
        ValueError: if it is damaged.
    """
    samples = shard_samples(shard, Ignored())
    crc32 = np.empty(len(samples), np.uint32)
    with shard.open("rb") as file:
        for i, sample in enumerate(samples):
            file.seek(sample.offset)
            crc32[i] = zlib.crc32(file.read(sample.size))
    return ShardEntry(len(samples), shard.stat().st_size, members_digest(samples), crc32)


def check_shards(folder: Path, shards: Sequence[Path]) -> dict[Path, ShardEntry]:
    """Check that the shards in a folder are all that were written there, where they are ours.

    Arguments:
        folder: that of the data set, or that of one of its splits.
        shards: those that were found in it.

    Returns:
        Shard -> its entry; empty for shards of others.

    Raises:
        ValueError: if the index is incomplete or damaged, or shards are missing, have another size, or are not in it.
    """
    home, index = folder, read_index(folder)
    if index is None and folder.name in PARTS:
        home, index = folder.parent, read_index(folder.parent)
    if index is None:
        _check_numbers(shards)
        return {}
    if not index.complete:
        raise ValueError(
            f"the shards in {home} are incomplete: aninfonce shards was interrupted; continue with "
            f"{_command(index, home)} --resume"
        )
    entries = {home / name: entry for name, entry in index.shards.items() if entry is not None}
    if home != folder:
        entries = {shard: entry for shard, entry in entries.items() if shard.parent == folder}
    remedy = f"{_command(index, home)} --resume writes again what is damaged or lost"
    if missing := sorted({*entries} - {*shards}):
        raise ValueError(f"{len(missing)} of the {len(entries)} shards in {home} are missing, {missing[0]}; {remedy}")
    if strange := sorted({*shards} - {*entries}):
        raise ValueError(f"{strange[0]} is not among the shards that {home / INDEX} lists; move it elsewhere")
    for shard, entry in entries.items():
        if (size := shard.stat().st_size) != entry.bytes:
            raise ValueError(f"{shard} was altered: it has {size} bytes, and had {entry.bytes}; {remedy}")
    classes = home / CLASSES
    if index.classes and (not classes.is_file() or classes.read_bytes() != class_lines(index.classes)):
        raise ValueError(f"{classes} is missing or was altered; {remedy}")
    return entries


def _command(index: ShardIndex, home: Path) -> str:
    """The command that wrote the shards."""
    flags = [
        f"--{key.replace('_', '-')} {index.settings[key]}" for key in ("per_shard", "seed") if key in index.settings
    ]
    return " ".join(["aninfonce shards", shlex.quote(index.source), shlex.quote(str(home)), *flags])


def _check_numbers(shards: Sequence[Path]) -> None:
    """Shards of ours that were copied without their index: their names say how many there must be."""
    found: dict[tuple[Path, int], set[int]] = {}
    for shard in shards:
        if (match := _NAME.fullmatch(shard.name)) is not None:
            found.setdefault((shard.parent, int(match[2])), set()).add(int(match[1]))
    for (folder, of), numbers in found.items():
        if missing := {*range(of)} - numbers:
            raise ValueError(
                f"{folder} has {len(numbers)} of {of} shards, number {min(missing)} is missing; "
                "copy all of them, or give the files other names to use a part"
            )
