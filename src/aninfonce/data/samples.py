"""The samples in a shard, in the WebDataset format: which members are images, and what labels they have.

A sample is what shares a name up to the first dot behind the last slash: `cat/0001.jpg`, `cat/0001.cls`. Names of
images may hold more dots, and none is lost for it: `1.2.3.jpg` is an image whose label is `1.2.3.cls` or `1.cls`. Only
where a sample has a plain image, `0001.jpg`, are others of it (`0001.seg.png`) passed over, unless they have a label of
their own.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aninfonce.data.findings import Ignored
from aninfonce.data.formats import image_endings, unreadable_ending
from aninfonce.data.label_values import LabelValue, known
from aninfonce.data.listing import HIDDEN, is_hidden
from aninfonce.data.reading import system_errno
from aninfonce.data.tar_members import TarMember, tar_members

__all__ = ["LABEL_KINDS", "MOST_CLASSES", "Sample", "shard_samples"]

LABEL_KINDS = ("cls", "json", "txt")
"""Endings of the members that can hold a label: the number of a class; an object with a label; its name."""
MOST_CLASSES = 1_000_000

_JSON_KEYS = ("label", "class", "cls", "class_name", "category", "target")
_LARGEST = 1 << 20  # bytes of a JSON file that is looked into
_LONGEST = 200  # characters of a text that can be a class's name

_Labels = dict[str, dict[tuple[int, str], list[LabelValue]]]  # kind -> (archive, name without ending) -> labels


@dataclass(frozen=True)
class Sample:
    """An image in a shard.

    Attributes:
        name: the name of its member.
        offset: where its bytes begin in the shard.
        size: how many they are.
        labels: kind -> label, of the kinds that there are.
    """

    name: str
    offset: int
    size: int
    labels: dict[str, LabelValue]


def shard_samples(shard: Path, ignored: Ignored) -> list[Sample]:
    """The images in a tar file, in their order; what is passed over goes to `ignored`.

    Raises:
        ValueError: if the file is not an uncompressed tar, is damaged, or has an image that is stored as a sparse file,
            or a `.cls` that is no number.
        OSError: if it cannot be opened.
    """
    images: list[TarMember] = []
    labels: _Labels = {kind: {} for kind in LABEL_KINDS}
    with shard.open("rb") as file:
        try:
            for member in tar_members(file):
                _sort_in(file, member, images, labels, ignored, shard)
            return _grouped(images, labels, ignored, shard)
        except (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError) as error:
            if system_errno(error) is not None:
                raise
            raise ValueError(f"{shard} is not a readable uncompressed tar file: {error}") from error


def _sort_in(
    file: BinaryIO, member: TarMember, images: list[TarMember], labels: _Labels, ignored: Ignored, shard: Path
) -> None:
    stem, ending = _split(member.name)
    kind = ending[1:]
    if any(is_hidden(part) for part in member.name.split("/")):
        ignored.add(HIDDEN, shard / member.name)
    elif ending not in image_endings() and kind not in LABEL_KINDS:
        reason = unreadable_ending(ending) or (f"members ending in {ending}" if ending else "members without an ending")
        ignored.add(reason, shard / member.name)
    elif member.fault == "sparse":
        raise ValueError(f"{member.name} is stored as a sparse file; make the archive without --sparse")
    elif member.fault:
        ignored.add(f"members: {member.fault}", shard / member.name)
    elif ending in image_endings():
        images.append(member)
    elif (label := _READERS[kind](file, member)) is not None:
        labels[kind].setdefault((member.archive, stem), []).append(label)
    else:
        ignored.add(f"members ending in {ending}, without a label", shard / member.name)


def _grouped(images: list[TarMember], labels: _Labels, ignored: Ignored, shard: Path) -> list[Sample]:
    """Every image with its labels."""
    stems = [_split(image.name)[0] for image in images]
    keys = [_key(image.name) for image in images]
    plain = {(image.archive, key) for image, stem, key in zip(images, stems, keys, strict=True) if stem == key}
    times = Counter((image.archive, stem) for image, stem in zip(images, stems, strict=True))
    seen: Counter[tuple[int, str]] = Counter()
    used: set[tuple[int, str]] = set()
    samples = []
    for image, stem, key in zip(images, stems, keys, strict=True):
        own, of_sample = (image.archive, stem), (image.archive, key)
        if stem != key and of_sample in plain and not any(own in found for found in labels.values()):
            ignored.add("other pictures of samples that have a plain one", shard / image.name)
            continue
        values = {}
        for kind, found in labels.items():
            place = own if own in found else of_sample
            if place in found:
                values[kind] = _label_of(found[place], seen[own], times[own], image.name)
                used.add(place)
        seen[own] += 1
        samples.append(Sample(image.name, image.offset, image.size, values))
    for kind, found in labels.items():
        for _, stem in sorted({*found} - used):
            ignored.add("labels of no image", shard / f"{stem}.{kind}")
    return samples


def _label_of(values: list[LabelValue], nth: int, times: int, name: str) -> LabelValue:
    """The label of the nth of several images of one name, which have one label, or one each."""
    if len(set(values)) == 1:
        return values[0]
    if len(values) == times:
        return values[nth]
    raise ValueError(f"{times} images are called {name}, and have {len(values)} different labels")


def _split(name: str) -> tuple[str, str]:
    """The name, and its ending in small letters behind the last dot."""
    folder, slash, base = name.rpartition("/")
    stem, dot, ending = base.rpartition(".")
    return (folder + slash + stem, dot + ending.lower()) if dot else (name, "")


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _content(file: BinaryIO, member: TarMember, most: int) -> bytes:
    file.seek(member.offset)
    return file.read(min(member.size, most))


def _number(file: BinaryIO, member: TarMember) -> LabelValue:
    text = _content(file, member, 20).strip()
    if not text.isdigit() or int(text) >= MOST_CLASSES:
        raise ValueError(f"{member.name} must hold the number of a class, from 0 to {MOST_CLASSES - 1}, got {text!r}")
    return int(text)


def _of_object(file: BinaryIO, member: TarMember) -> LabelValue | None:
    try:
        content = json.loads(_content(file, member, _LARGEST))
    except (ValueError, RecursionError):  # whatever it is for; it is counted as one without a label
        return None
    values = [content[key] for key in _JSON_KEYS if key in content] if isinstance(content, dict) else []
    return known(values[0]) if values else None


def _text(file: BinaryIO, member: TarMember) -> LabelValue | None:
    text = _content(file, member, 4 * _LONGEST).decode("utf-8", "replace")[:_LONGEST].strip()
    return int(text) if text.isdecimal() and len(text) < 10 else known(text)


_READERS: dict[str, Callable[[BinaryIO, TarMember], LabelValue | None]] = {
    "cls": _number,
    "json": _of_object,
    "txt": _text,
}
