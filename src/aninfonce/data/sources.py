"""Image data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate

from aninfonce._checks import nearest_name
from aninfonce.data.background import background_colour
from aninfonce.data.files import load_files
from aninfonce.data.findings import Findings
from aninfonce.data.folder import load_folder
from aninfonce.data.hugging_face import load_hugging_face
from aninfonce.data.imagenet import load_imagenet
from aninfonce.data.mnist import DIGIT_NAMES, load_fashion_mnist, load_mnist
from aninfonce.data.shards import load_shards
from aninfonce.data.splits import ImageDataset, ImageSplit, split_off_test
from aninfonce.data.torchvision_sets import load_cifar10, load_cifar100, load_stl10

__all__ = ["SOURCES", "load_images"]

_RESIZED_AT_A_TIME = 1000  # as floating-point numbers, STL-10 would take 11 GB
_PATHS = ("folder", "files", "shards", "hf")


def load_images(
    name: str,
    data_root: Path | str | None = None,
    *,
    image_size: int | None = None,
    seed: int = 0,
    download: bool = True,
    decode_workers: int = 0,
    max_corrupt: float = 1.0,
    background: str = "white",
) -> ImageDataset:
    """Load an image data set: into memory, or, where the table says so, as images that are decoded when asked for.

    | name | images | held out |
    |---|---|---|
    | `digits` | 1,797 grey digits, part of scikit-learn; 8×8, enlarged to 16×16 since crops of 8×8 are coarse | 20 % |
    | `mnist` | grey digits, 28×28 | its test set; of `mnist-10k.npz` 20 % |
    | `fashion-mnist` | grey pictures of clothes, 28×28 | its test set |
    | `cifar10`, `cifar100` | colour pictures, 32×32 | its test set |
    | `stl10` | colour pictures, 96×96: 5,000 with a label and 100,000 without (`NO_LABEL`) | its test set |
    | `imagenet`, `imagenet:N` | colour pictures, all or the first N classes, 224×224, on demand | its validation set |
    | `folder:PATH` | see `aninfonce.data.load_folder`; 32×32 | its test folder, or 20 % |
    | `files:PATH` | the same, 224×224, on demand | its test folder, or 20 % |
    | `shards:PATH` | WebDataset's tar files, 224×224, on demand; see `aninfonce.data.load_shards` | as above |
    | `hf:NAME`, `hf:PATH` | of Hugging Face, 224×224, on demand; see `aninfonce.data.load_hugging_face` | as it says |

    Arguments:
        name: one of the above.
        data_root: where to look. For `mnist` and `fashion-mnist` it has the four IDX files, gzipped or not, in itself,
            in its subfolder `mnist` or `fashion-mnist`, or in `MNIST/raw` or `FashionMNIST/raw`; for `mnist`, failing
            these, the file `mnist-10k.npz`; for `cifar10`, `cifar100` and `stl10` the subfolder `cifar-10-batches-py`,
            `cifar-100-python` or `stl10_binary`; for `imagenet` `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG` (see
            `aninfonce.data.imagenet`). None: torchvision downloads to `~/.cache/aninfonce` (`imagenet` has to be
            there). `digits` and what has a PATH do not use it.
        image_size: resize to so many pixels a side; None keeps the size of the table.
        seed: the seed of the held-out split, where the data set has no test set of its own. Classes keep their
            proportions.
        download: whether what is not in its cache yet may be downloaded.
        decode_workers: processes that decode images on demand; 0: the one that asks.
        max_corrupt: share of the images that may be unreadable before the data set is refused, at loading or while
            reading; see `aninfonce.data.corrupt`.
        background: colour that transparent pictures are put on: a name of CSS, #rrggbb, or a grey from 0 to 255.

    Raises:
        ValueError: if the name or the colour is unknown, the files are not where `data_root` says, a file is damaged,
            too many images cannot be read, `image_size` is less than 1, or `max_corrupt` not in [0, 1].
        OSError: if the download fails.
        ImageReadError: if a file cannot be read for a reason that is not its content, tried several times.
        MissingExtraError: if torchvision, Pillow or `datasets` is needed and not installed.

    Example:
        >>> digits = load_images("digits")
        >>> digits.train.images.shape, digits.test.images.shape, digits.train.images.dtype
        (torch.Size([1438, 1, 16, 16]), torch.Size([359, 1, 16, 16]), torch.uint8)
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size must be at least 1 pixel, got {image_size}")
    if not 0 <= max_corrupt <= 1:
        raise ValueError(f"max_corrupt must be a share in [0, 1], got {max_corrupt}")
    background_colour(background)  # a wrong one is an error for data without transparency as well
    limits: dict[str, Any] = {"max_corrupt": max_corrupt, "background": background}
    kind, colon, place = name.partition(":")
    if kind in _PATHS and colon:
        path = Path(place).expanduser()
        if kind == "folder":
            return load_folder(path, image_size=image_size or 32, seed=seed, **limits)
        stored: dict[str, Any] = {"image_size": image_size or 224, "decode_workers": decode_workers}
        if kind == "hf":
            return load_hugging_face(place, seed=seed, download=download, **limits, **stored)
        load = load_files if kind == "files" else load_shards
        return load(path, seed=seed, **limits, **stored)
    root = None if data_root is None else Path(data_root).expanduser()
    if kind == "imagenet":
        return _imagenet(name, root, image_size or 224, decode_workers, max_corrupt, background)
    known = [*SOURCES, "imagenet", "imagenet:N", *(f"{kind}:PATH" for kind in _PATHS)]
    source = SOURCES[nearest_name("data set", name, known)]
    if root is not None and not root.is_dir() and name != "digits":
        raise ValueError(f"the data root {root} is not a folder; omit it to download {name}")
    dataset = source(root, seed, download)
    size = 16 if name == "digits" and image_size is None else image_size
    if size is None or size == dataset.image_size:
        return dataset
    train, test = (_resized(split, size) for split in (dataset.train, dataset.test))
    return replace(dataset, train=train, test=test)


def _imagenet(
    name: str, root: Path | None, image_size: int, decode_workers: int, max_corrupt: float, background: str
) -> ImageDataset:
    _, colon, classes = name.partition(":")
    if colon and not classes.isdecimal():
        raise ValueError(f"expected imagenet or imagenet:N with a number of classes, got {name!r}")
    if root is None or not root.is_dir():
        raise ValueError(f"imagenet cannot be downloaded: a data root must hold its train and val folders, got {root}")
    return load_imagenet(
        root,
        image_size=image_size,
        classes=int(classes) if colon else None,
        decode_workers=decode_workers,
        max_corrupt=max_corrupt,
        background=background,
    )


def _resized(split: ImageSplit, size: int) -> ImageSplit:
    images = split.in_memory
    resized = torch.empty(*images.shape[:2], size, size, dtype=torch.uint8)
    for some, out in zip(*(torch.split(x, _RESIZED_AT_A_TIME) for x in (images, resized)), strict=True):
        found = interpolate(some.float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        out.copy_(found.round_().clamp_(0, 255))
    return ImageSplit(resized, split.labels)


def _digits(_root: Path | None, seed: int, _download: bool) -> ImageDataset:
    bunch = load_digits()
    images = torch.from_numpy(np.round(bunch.images * (255 / 16)).astype(np.uint8))[:, None]  # its range is 0 to 16
    train, test = split_off_test(ImageSplit(images, torch.from_numpy(bunch.target).long()), seed)
    findings = Findings("a fifth of every class is held out, drawn at random", "the digits")
    return ImageDataset("digits", train, test, DIGIT_NAMES, findings=findings)


SOURCES: dict[str, Callable[[Path | None, int, bool], ImageDataset]] = {
    "digits": _digits,
    "mnist": load_mnist,
    "fashion-mnist": load_fashion_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "stl10": load_stl10,
}
"""Loaders by name: (data root, seed of the split, whether to download) -> data set."""
