"""Stored images into shards: tar files in the WebDataset format, in a random order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from aninfonce.data.own_files import locked, written_whole
from aninfonce.data.shard_content import entry_there, write_shard
from aninfonce.data.shard_index import CLASSES, ShardEntry, class_lines, write_index
from aninfonce.data.shard_plan import plan_of, prepare
from aninfonce.data.splits import ImageDataset
from aninfonce.data.stored import StoredImages

__all__ = ["write_shards"]


def write_shards(
    dataset: ImageDataset,
    out: Path,
    *,
    per_shard: int = 4000,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
) -> Iterator[Path]:
    """Write the files of a data set's images, as they are, to `train/*.tar` and `test/*.tar`, as `load_shards` asks.

    The images are mixed, so that a few shards together look like the whole. Equal arguments make equal bytes. A shard
    appears under its name when it is whole; the index, `shards.json`, says from the beginning which there will be, and
    at the end that they are complete.

    Arguments:
        dataset: its images are stored, not in memory.
        out: folder for the shards; made if it is not there.
        per_shard: images a shard, at least 1; 4000 photographs take about half a gigabyte.
        seed: the seed of the order.
        resume: go on where a killed process broke off, with the same arguments; what is complete stays as it is.
        overwrite: put these shards in the place of others that were written here. No other file is removed.

    Returns:
        Every shard when it is written, or found to be whole. Images whose files are no images go to the data set's
        `skipped`.

    Raises:
        ValueError: if the images are in memory, `per_shard` is less than 1, there are shards in `out` already and
            neither flag is given (or both are), or others with `resume`; `out/train` or `out/test` holds files that
            were not written here, or is a link; another process writes there; the name of a class has a line break, or
            too many images cannot be read (see `CorruptImages`).
        OSError: if an image's file cannot be opened, or a shard cannot be written.
    """
    if resume and overwrite:
        raise ValueError("--overwrite and --resume exclude each other")
    if overwrite and out.is_symlink():
        raise ValueError(f"{out} is a link; name the folder itself to overwrite what is in it")
    plan = plan_of(dataset, out, per_shard, seed)
    out.mkdir(parents=True, exist_ok=True)
    out = Path(os.path.realpath(out))
    with locked(out):
        there = prepare(plan, out, resume=resume, overwrite=overwrite)
        entries: dict[str, ShardEntry] = {}
        for name, (split, places) in plan.shards.items():
            entry = None if there is None else entry_there(out / name, split, places, there.shards.get(name))
            entries[name] = write_shard(out / name, split, places) if entry is None else entry
            yield out / name
        if plan.classes:
            with written_whole(out / CLASSES) as file:
                file.write(class_lines(plan.classes))
        write_index(out, plan.index(entries, _skipped(dataset)))


def _skipped(dataset: ImageDataset) -> dict[Path, str]:
    found: dict[Path, str] = {}
    for split in (dataset.train, dataset.test):
        found |= split.images.skipped if isinstance(split.images, StoredImages) else {}
    return dict(sorted(found.items()))
