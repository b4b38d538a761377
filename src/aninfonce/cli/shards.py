"""`aninfonce shards`."""

from __future__ import annotations

from pathlib import Path

from aninfonce import data as image_data
from aninfonce._progress import Progress
from aninfonce.cli._output import say

__all__ = ["shards"]


def shards(
    data: str,
    out: Path,
    data_root: Path | None = None,
    per_shard: int = 4000,
    max_corrupt: float = 0.01,
    seed: int = 0,
    overwrite: bool = False,
    resume: bool = False,
) -> None:
    """Pack images into shards (tar files), which a disk reads in long stretches.

    Train on them with --data shards:OUT. The index OUT/shards.json says whether they are complete.

    Args:
        data: the images, named as for train: files:PATH, imagenet, imagenet:N, hf:NAME or hf:PATH.
        out: folder for train/*.tar and test/*.tar.
        data_root: folder that holds the data set.
        per_shard: number of images in a shard.
        max_corrupt: share of the images, in [0, 1], that may be unreadable; they are named and omitted.
        seed: seed of the images' order, and of the choice of held-out images where there is no test set.
        overwrite: replace other shards that this command wrote; no other file is removed.
        resume: continue where this command was interrupted.
    """
    dataset = image_data.load_images(data, data_root, seed=seed, max_corrupt=max_corrupt)
    total = sum(-(-len(split) // per_shard) for split in (dataset.train, dataset.test)) if per_shard > 0 else 0
    with Progress(f"shards of {dataset.name}", total=total) as progress:
        for line in image_data.summary_lines(dataset):
            progress.say(line)
        written = image_data.write_shards(
            dataset, out, per_shard=per_shard, seed=seed, resume=resume, overwrite=overwrite
        )
        for done, shard in enumerate(written, start=1):
            progress.step(done, str(shard))
        skipped: dict[Path, str] = {}
        for split in (dataset.train, dataset.test):
            skipped |= split.images.skipped if isinstance(split.images, image_data.StoredImages) else {}
        for path, reason in skipped.items():
            progress.say(f"skipped {path}: {reason}")
    say(f"{len(dataset.train) + len(dataset.test) - len(skipped)} images, {len(skipped)} skipped as unreadable")
    say(out)
