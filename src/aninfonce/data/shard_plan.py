"""Which shards a data set becomes, and what may already lie where they are to be written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aninfonce.data.own_files import is_own, remove, remove_partial
from aninfonce.data.shard_index import (
    CLASSES,
    INDEX,
    PARTS,
    ShardEntry,
    ShardIndex,
    class_lines,
    read_index,
    shard_name,
    write_index,
)
from aninfonce.data.splits import ImageDataset, ImageSplit
from aninfonce.data.stored import StoredImages

__all__ = ["ShardPlan", "plan_of", "prepare"]


@dataclass(frozen=True, eq=False)
class ShardPlan:
    """The shards of a data set.

    Attributes:
        source: the data set's name.
        settings: what the shards follow from.
        classes: the classes' names.
        shards: name -> the split and the places in it of the images, in their order.
    """

    source: str
    settings: Mapping[str, Any]
    classes: tuple[str, ...]
    shards: Mapping[str, tuple[ImageSplit, Tensor]]

    def index(
        self,
        entries: Mapping[str, ShardEntry] | None = None,
        skipped: Mapping[Path, str] | None = None,
        remove: tuple[str, ...] = (),
    ) -> ShardIndex:
        """The index: complete if there are entries."""
        shards = dict.fromkeys(self.shards) if entries is None else dict(entries)
        files = tuple((os.fsencode(path).decode("utf-8", "replace"), why) for path, why in (skipped or {}).items())
        return ShardIndex(self.source, self.settings, self.classes, shards, entries is not None, files, remove)


def plan_of(dataset: ImageDataset, out: Path, per_shard: int, seed: int) -> ShardPlan:
    """The plan for a data set.

    Raises:
        ValueError: if the images are in memory or lie where the shards are to be, `per_shard` is less than 1, or the
            name of a class has a line break.
    """
    if per_shard < 1:
        raise ValueError(f"per_shard must be at least 1, got {per_shard}")
    broken = [name for name in dataset.class_names if {"\n", "\r"} & set(name)]
    if broken:
        raise ValueError(f"{CLASSES} has one name a line, but the class {broken[0]!r} has a line break in its name")
    where = dataset.name.partition(":")[2].partition("#")[0]
    source, target = Path(os.path.realpath(Path(where).expanduser())), Path(os.path.realpath(out))
    if where and (source == target or any(source.is_relative_to(target / part) for part in PARTS)):
        raise ValueError(f"{out} holds the images of {dataset.name} themselves; choose another folder for the shards")
    digest = hashlib.sha256()
    shards: dict[str, tuple[ImageSplit, Tensor]] = {}
    for part, split in zip(PARTS, (dataset.train, dataset.test), strict=True):
        if not isinstance(split.images, StoredImages):
            raise ValueError(f"{dataset.name} is held in memory, and needs no shards")
        labels = [0] * len(split) if split.labels is None else split.labels.tolist()
        for i, label in enumerate(labels):
            digest.update(os.fsencode(split.images.path(i)) + f"\0{label}\0".encode())
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
        pieces = torch.split(order, per_shard)
        shards |= {shard_name(part, i, len(pieces)): (split, places) for i, places in enumerate(pieces)}
    settings = {
        "per_shard": per_shard,
        "seed": seed,
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "images": digest.hexdigest(),
    }
    return ShardPlan(dataset.name, settings, dataset.class_names, shards)


def prepare(plan: ShardPlan, out: Path, *, resume: bool, overwrite: bool) -> ShardIndex | None:
    """Make a folder ready for the shards: the incomplete index stands in it, and nothing of older shards.

    Returns:
        The index that was there, of a plan that is resumed.

    Raises:
        ValueError: if it holds shards and neither flag is given, or they are not those of the plan; or it holds what
            was not written here where the shards are to be. Nothing is changed then.
    """
    there = read_index(out)
    for part in PARTS:
        if os.path.lexists(out / part) and ((out / part).is_symlink() or not (out / part).is_dir()):
            raise ValueError(f"{out / part} is a link, or no folder; shards are not written there")
    if there is None:
        _check_free(plan, out)
    elif resume:
        _check_same(plan, there, out)
    elif not overwrite:
        state = "" if there.complete else "--resume, since they are not complete, or "
        raise ValueError(f"there are shards in {out} already; pass {state}--overwrite")
    owned = () if there is None else (there.remove if resume else _owned(there, out))
    for name in (INDEX, CLASSES, *plan.shards, *owned):
        remove_partial(out / name)
    if there is None or owned or not resume:
        write_index(out, plan.index(remove=owned))
    for name in owned:
        remove(out / name)
    if owned:
        write_index(out, plan.index())
    for part in PARTS:
        (out / part).mkdir(exist_ok=True)
    return there if resume else None


def _check_free(plan: ShardPlan, out: Path) -> None:
    """Nothing of somebody else's lies where the shards, their index and the classes' names are to be."""
    for name in (INDEX, *([CLASSES] if plan.classes else [])):
        if os.path.lexists(out / name):
            raise ValueError(f"{out / name} was not written here; choose another folder for the shards")
    for part in PARTS:
        found = sorted(path.name for path in (out / part).iterdir()) if (out / part).is_dir() else []
        if found:
            kind = "there are shards" if any(name.endswith(".tar") for name in found) else f"there is {found[0]}"
            raise ValueError(f"{kind} in {out / part} already, not written here; choose another folder for the shards")


def _check_same(plan: ShardPlan, there: ShardIndex, out: Path) -> None:
    """What is resumed has the same source, images and settings, and nobody has put other things in its place."""
    ours = {"source": plan.source, "classes": plan.classes, **plan.settings}
    theirs = {"source": there.source, "classes": there.classes, **there.settings}
    for key in ours:
        if ours[key] != theirs.get(key):
            raise ValueError(
                f"cannot resume the shards in {out}: they were begun with {key} {theirs.get(key)!r}, now "
                f"{ours[key]!r}; --overwrite begins anew"
            )
    for name in (*plan.shards, CLASSES):
        if os.path.lexists(out / name) and not is_own(out / name):
            raise ValueError(f"{out / name} is a link, or no file: it was not written here; move it elsewhere")
    classes = out / CLASSES
    if CLASSES not in there.remove and is_own(classes) and classes.read_bytes() != class_lines(plan.classes):
        raise ValueError(f"{classes} was changed since it was written; move it elsewhere")


def _owned(there: ShardIndex, out: Path) -> tuple[str, ...]:
    """The files that an older set has, as its index says; each is a plain file.

    Raises:
        ValueError: if one is something else now, or the names of the classes were changed.
    """
    names = [name for name in dict.fromkeys((*there.shards, *there.remove)) if os.path.lexists(out / name)]
    classes = out / CLASSES
    if there.classes and is_own(classes) and CLASSES not in names:
        if classes.read_bytes() != class_lines(there.classes):
            raise ValueError(f"{classes} was changed since it was written, and is not removed; move it elsewhere")
        names.append(CLASSES)
    for name in names:
        entry = there.shards.get(name)
        if not is_own(out / name) or (entry is not None and (out / name).stat().st_size != entry.bytes):
            raise ValueError(
                f"{out / name} is not the file that was written here, and is not removed; move it elsewhere"
            )
    return tuple(names)
