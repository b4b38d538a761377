"""That all processes of a run have the same settings and data: compared before one waits for another for ever.

Every process reads the data by itself, perhaps from the disk of another machine. With fewer images one takes fewer
steps than the others, which then wait for it; with as many others, a batch is not what the seed says, and nobody sees
it.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from aninfonce.data import ImageDataset, Images, StoredImages, UnreadableImageError
from aninfonce.data.reading import read_file
from aninfonce.training.checksums import checksum
from aninfonce.training.config import TrainConfig
from aninfonce.training.processes import Processes

__all__ = ["agree", "check_dataset", "check_images", "check_settings", "images_digest"]

# Where data and weights lie may differ from machine to machine, and they are compared themselves; the rest changes
# nothing of what is trained.
_OWN = ("data", "data_root", "pretrained", "device", "decode_workers", "loggers", "log_every", "checkpoint_minutes")
_SPOTS = 16  # stored images whose content is compared, too; the names of all are


def check_settings(processes: Processes, config: TrainConfig) -> None:
    """Check that every process has the same settings, and the same pretrained weights.

    Raises:
        ValueError: in every process, if one has others.
    """
    if processes.world == 1:
        return
    found = {name: repr(value) for name, value in asdict(config).items() if name not in _OWN}
    given = config.pretrained is not None and config.pretrained.is_file()
    found["checksum of the pretrained weights"] = checksum(config.pretrained) if given and config.pretrained else "none"
    agree(processes, found)


def check_dataset(processes: Processes, dataset: ImageDataset) -> None:
    """Check that every process has as many images, of the same shape, with the same labels and classes.

    Raises:
        ValueError: in every process, if one has others.
    """
    if processes.world == 1:
        return
    found = {"names of the classes": repr(dataset.class_names)}
    for name, split in (("training", dataset.train), ("test", dataset.test)):
        found[f"number of {name} images"] = str(len(split))
        found[f"shape of the {name} images"] = str(tuple(split.images.shape[1:]))
        found[f"digest of the labels of the {name} images"] = _labels_digest(split.labels)
    agree(processes, found)


def check_images(processes: Processes, images: Images, kind: str = "training") -> None:
    """Check that every process has the same images: the names, and for those in memory the contents.

    Raises:
        ValueError: in every process, if one has others.
    """
    if processes.world == 1:
        return
    agree(
        processes,
        {
            f"number of {kind} images": str(len(images)),
            f"shape of the {kind} images": str(tuple(images.shape[1:])),
            f"digest of the {kind} images": processes.together(lambda: images_digest(images)),
        },
    )


def images_digest(images: Images) -> str:
    """Of images in memory: of their contents. Of stored ones: of their names, and of the contents of 16 of them.

    The names count from where they begin to differ, since data may lie in another place on every machine.
    """
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(images, Tensor):
        for part in torch.split(images, 10_000):
            digest.update(np.ascontiguousarray(part.cpu().numpy()).data)
        return digest.hexdigest()
    names = [os.fspath(images.path(place)) for place in range(len(images))]
    # The folders that the first and the last by the alphabet share, all share.
    common = os.path.commonpath([os.path.dirname(min(names)), os.path.dirname(max(names))]) if names else ""
    for name in names:
        digest.update(os.fsencode(name[len(common) :]) + b"\0")
    for place in (torch.arange(min(_SPOTS, len(names))) * len(names) // min(_SPOTS, max(len(names), 1))).tolist():
        digest.update(_content(images, place))
    return digest.hexdigest()


def _content(images: StoredImages, place: int) -> bytes:
    try:
        source = images.source(place)
        return read_file(source) if isinstance(source, os.PathLike) else source.getvalue()
    except UnreadableImageError as error:
        return type(error).__name__.encode()


def _labels_digest(labels: Tensor | None) -> str:
    if labels is None:
        return "none"
    return hashlib.blake2b(labels.cpu().numpy().astype("<i8").tobytes(), digest_size=16).hexdigest()


def agree(processes: Processes, mine: Mapping[str, str]) -> None:
    """Compare what every process says of itself with what most of them say, or the first where no more do.

    Arguments:
        processes: all of them must ask.
        mine: what is compared -> what this process says of it.

    Raises:
        ValueError: in every process, if one says something else than the others; the message says which, and what.
    """
    everyone = processes.gather(dict(mine))
    differences = []
    for name in mine:
        values = [said[name] for said in everyone]
        usual, _ = Counter(values).most_common(1)[0]  # of several equally common ones the one that comes first
        others = [rank for rank, value in enumerate(values) if value != usual]
        if others:
            rank, first = others[0], values.index(usual)
            more = f" (and {len(others) - 1} more processes)" if len(others) > 1 else ""
            differences.append(f"{name}: rank {rank}{more} has {values[rank]}, rank {first} has {usual}")
    if differences:
        raise ValueError(
            f"the processes of this run differ in their data or settings, which must be the same for all: "
            f"{'; '.join(differences)}"
        )
