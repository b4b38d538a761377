"""Data sets that torchvision downloads, checks and reads: CIFAR-10, CIFAR-100, STL-10, and the MNIST family."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aninfonce._extras import require
from aninfonce.data.findings import Findings
from aninfonce.data.reading import ImageReadError, retried
from aninfonce.data.splits import NO_LABEL, ImageDataset, ImageSplit

__all__ = ["PUBLISHED", "load_cifar10", "load_cifar100", "load_stl10", "torchvision_parts"]

PUBLISHED = Findings("the training and test images as they are published", "the classes as they are published")
"""How these data sets are read."""

_HALVES: tuple[dict[str, Any], ...] = ({"train": True}, {"train": False})


def load_cifar10(root: Path | None, _seed: int, download: bool) -> ImageDataset:
    """CIFAR-10."""
    return _cifar("cifar10", "CIFAR10", "cifar-10-batches-py", root, download)


def load_cifar100(root: Path | None, _seed: int, download: bool) -> ImageDataset:
    """CIFAR-100 with its 100 fine classes."""
    return _cifar("cifar100", "CIFAR100", "cifar-100-python", root, download)


def _cifar(name: str, class_: str, subfolder: str, root: Path | None, download: bool) -> ImageDataset:
    parts = torchvision_parts(class_, download, _holding(subfolder, name, root))
    train, test = (
        ImageSplit(torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.as_tensor(data.targets))
        for data in parts
    )
    return ImageDataset(name, train, test, tuple(parts[0].classes), findings=PUBLISHED)


def load_stl10(root: Path | None, _seed: int, download: bool) -> ImageDataset:
    """STL-10: its labelled training images, then the unlabelled ones with `NO_LABEL`; held out: its test images."""
    splits: tuple[dict[str, Any], ...] = tuple({"split": name} for name in ("train", "unlabeled", "test"))
    labelled, unlabelled, test = torchvision_parts("STL10", download, _holding("stl10_binary", "stl10", root), splits)
    names = tuple(getattr(labelled, "classes", ()))
    for part in (labelled, test):
        if len(part.data) != len(part.labels) or int(part.labels.max(initial=0)) >= len(names):
            raise ValueError(
                f"STL10 is damaged: {len(part.data)} images, {len(part.labels)} labels up to "
                f"{int(part.labels.max(initial=0))}, and {len(names)} class names in class_names.txt"
            )
    # torchvision's own "train+unlabeled" holds the images (2.9 GB) three times on the way.
    images = np.empty((len(labelled.data) + len(unlabelled.data), *labelled.data.shape[1:]), np.uint8)
    np.concatenate([labelled.data, unlabelled.data], out=images)
    labels = torch.full((len(images),), NO_LABEL, dtype=torch.int64)
    labels[: len(labelled.labels)] = torch.from_numpy(labelled.labels)
    train = ImageSplit(torch.from_numpy(images), labels)
    held_out = ImageSplit(torch.from_numpy(np.ascontiguousarray(test.data)), torch.from_numpy(test.labels).long())
    return ImageDataset("stl10", train, held_out, names, findings=PUBLISHED)


def _holding(subfolder: str, name: str, root: Path | None) -> Path | None:
    """The folder that holds the subfolder; None stays None: download."""
    if root is not None and root.name == subfolder:
        root = root.parent
    if root is not None and not (root / subfolder).is_dir():
        raise ValueError(f"{name} is not in {root}: looked for {root / subfolder}; omit the data root to download")
    return root


def torchvision_parts(
    class_: str, download: bool, root: Path | None = None, parts: tuple[dict[str, Any], ...] = _HALVES
) -> list[Any]:
    """torchvision's data set, part by part: from `root`, or downloaded to the cache if that is None.

    Arguments:
        class_: its name in `torchvision.datasets`.
        download: whether it may be downloaded.
        root: folder that holds it.
        parts: what names a part to the class; usually the training and the test set.

    Raises:
        ValueError: if what is in `root` is incomplete or damaged.
        ImageReadError: if it cannot be read for another reason, tried several times.
        OSError: if it cannot be downloaded, or is not in the cache.
        MissingExtraError: if torchvision is not installed.
    """
    datasets = require("torchvision.datasets", "vision")
    folder = Path.home() / ".cache" / "aninfonce" if root is None else root

    def read() -> list[Any]:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints the mirrors it tries
            return [getattr(datasets, class_)(folder, download=download and root is None, **part) for part in parts]

    try:
        return read() if root is None else retried(read, f"{class_} in {folder}")
    except ImageReadError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        raise ValueError(f"{class_} in {root} is incomplete or damaged: {error.__cause__}") from error
    except (OSError, RuntimeError, ValueError) as error:
        if root is not None:
            raise ValueError(f"{class_} in {root} is incomplete or damaged: {error}") from error
        tried = "download" if download else "find"
        raise OSError(
            f"could not {tried} {class_} in {folder}: {error}; a data root says where its files are"
        ) from error
