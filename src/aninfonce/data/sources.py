"""Image data sets by name."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import interpolate

from aninfonce._checks import nearest_name
from aninfonce._extras import require
from aninfonce._typing import Int
from aninfonce.data.folder import load_folder
from aninfonce.data.idx import read_idx
from aninfonce.data.imagenet import load_imagenet
from aninfonce.data.splits import ImageDataset, ImageSplit, held_out_split

__all__ = ["SOURCES", "load_images"]

_DIGIT_NAMES = tuple("0123456789")
_FASHION_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def load_images(
    name: str,
    data_root: Path | str | None = None,
    *,
    image_size: int | None = None,
    seed: int = 0,
    download: bool = True,
    decode_workers: int = 0,
) -> ImageDataset:
    """Load an image data set: into memory, but for ImageNet.

    | name | images | held out |
    |---|---|---|
    | `digits` | 1,797 grey digits, part of scikit-learn; 8×8, enlarged to 16×16 since crops of 8×8 are coarse | 20 % |
    | `mnist` | grey digits, 28×28 | its test set; of `mnist-10k.npz` 20 % |
    | `fashion-mnist` | grey pictures of clothes, 28×28 | its test set |
    | `cifar10` | colour pictures, 32×32 | its test set |
    | `imagenet`, `imagenet:N` | colour pictures of all or the first N classes, 224×224, in files | its validation set |
    | `folder:PATH` | see `aninfonce.data.load_folder`; 32×32 | its test folder, or 20 % |

    Arguments:
        name: one of the above.
        data_root: where to look. For `mnist` and `fashion-mnist` it has the four IDX files, gzipped or not, in itself,
            in its subfolder `mnist` or `fashion-mnist`, or in `MNIST/raw` or `FashionMNIST/raw`; for `mnist`, failing
            these, the file `mnist-10k.npz`; for `cifar10` the subfolder `cifar-10-batches-py`; for `imagenet`
            `train/CLASS/*.JPEG` and `val/CLASS/*.JPEG` (see `aninfonce.data.imagenet`). None: torchvision downloads to
            `~/.cache/aninfonce` (`imagenet` has to be there). `digits` and `folder:` do not use it.
        image_size: resize to so many pixels a side; None keeps the size of the table.
        seed: of the held-out split, where the data set has no test set of its own. Classes keep their proportions.
        download: whether torchvision may download what is not in `~/.cache/aninfonce` yet.
        decode_workers: processes that decode ImageNet's files; 0: the one that trains.

    Raises:
        ValueError: if the name is unknown, the files are not where `data_root` says, a file is damaged, or `image_size`
            is less than 1.
        OSError: if the download fails.
        MissingExtraError: if torchvision is needed and not installed.

    Example:
        >>> digits = load_images("digits")
        >>> digits.train.images.shape, digits.test.images.shape, digits.train.images.dtype
        (torch.Size([1438, 1, 16, 16]), torch.Size([359, 1, 16, 16]), torch.uint8)
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size must be at least 1 pixel, got {image_size}")
    if name.startswith("folder:"):
        path = Path(name.removeprefix("folder:")).expanduser()
        return load_folder(path, image_size=32 if image_size is None else image_size, seed=seed)
    root = None if data_root is None else Path(data_root).expanduser()
    if name.partition(":")[0] == "imagenet":
        return _imagenet(name, root, 224 if image_size is None else image_size, decode_workers)
    source = SOURCES[nearest_name("data set", name, [*SOURCES, "imagenet", "imagenet:N", "folder:PATH"])]
    if root is not None and not root.is_dir() and name != "digits":
        raise ValueError(f"the data root {root} is not a folder; leave it away to download {name}")
    dataset = source(root, seed, download)
    size = 16 if name == "digits" and image_size is None else image_size
    if size is None or size == dataset.image_size:
        return dataset
    train, test = (_resized(split, size) for split in (dataset.train, dataset.test))
    return ImageDataset(name, train, test, dataset.class_names)


def _imagenet(name: str, root: Path | None, image_size: int, decode_workers: int) -> ImageDataset:
    _, colon, classes = name.partition(":")
    if colon and not classes.isdecimal():
        raise ValueError(f"expected imagenet or imagenet:N with a number of classes, got {name!r}")
    if root is None or not root.is_dir():
        raise ValueError(f"imagenet cannot be downloaded: a data root must hold its train and val folders, got {root}")
    return load_imagenet(
        root, image_size=image_size, classes=int(classes) if colon else None, decode_workers=decode_workers
    )


def _resized(split: ImageSplit, size: int) -> ImageSplit:
    resized = interpolate(
        split.in_memory.float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return ImageSplit(resized.round_().clamp_(0, 255).to(torch.uint8), split.labels)


def _hold_out(
    name: str, images: Tensor, labels: Int[Tensor, " n"], class_names: tuple[str, ...], seed: int
) -> ImageDataset:
    train, test = held_out_split(labels, generator=torch.Generator().manual_seed(seed))
    return ImageDataset(
        name, ImageSplit(images[train], labels[train]), ImageSplit(images[test], labels[test]), class_names
    )


def _digits(_root: Path | None, seed: int, _download: bool) -> ImageDataset:
    bunch = load_digits()
    images = torch.from_numpy(np.round(bunch.images * (255 / 16)).astype(np.uint8))[:, None]  # its range is 0 to 16
    return _hold_out("digits", images, torch.from_numpy(bunch.target).long(), _DIGIT_NAMES, seed)


def _mnist(root: Path | None, seed: int, download: bool) -> ImageDataset:
    if root is not None and (archive := root / "mnist-10k.npz").is_file() and _find_idx(root, "mnist", "MNIST") is None:
        images, labels = _read_npz(archive)
        return _hold_out("mnist", images, labels, _DIGIT_NAMES, seed)
    return _mnist_like("mnist", "MNIST", _DIGIT_NAMES, root, download, also="mnist-10k.npz")


def _fashion_mnist(root: Path | None, _seed: int, download: bool) -> ImageDataset:
    return _mnist_like("fashion-mnist", "FashionMNIST", _FASHION_NAMES, root, download)


def _mnist_like(
    name: str, class_: str, class_names: tuple[str, ...], root: Path | None, download: bool, also: str = ""
) -> ImageDataset:
    """MNIST or Fashion-MNIST: from the IDX files below `root`, or by torchvision's class called `class_`."""
    if root is None:
        train, test = (
            ImageSplit(data.data[:, None], torch.as_tensor(data.targets)) for data in _torchvision(class_, download)
        )
        return ImageDataset(name, train, test, class_names)
    paths = _find_idx(root, name, class_)
    if paths is None:
        looked = [str(folder / "*-ubyte[.gz]") for folder in _idx_folders(root, name, class_)]
        looked += [str(root / also)] if also else []
        raise ValueError(
            f"{name} is not in {root}: looked for {', '.join(looked)}; leave the data root away to download"
        )
    train, test = (_read_pair(images, labels) for images, labels in (paths[:2], paths[2:]))
    return ImageDataset(name, train, test, class_names)


def _idx_folders(root: Path, name: str, class_: str) -> list[Path]:
    return [root / class_ / "raw", root / name, root]


def _find_idx(root: Path, name: str, class_: str) -> list[Path] | None:
    """Images and labels of the training set, then of the test set; None unless one folder has all four."""
    for folder in _idx_folders(root, name, class_):
        stems = (f"{split}-{what}-ubyte" for split in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))
        found = [next((p for p in (folder / stem, folder / f"{stem}.gz") if p.is_file()), None) for stem in stems]
        paths = [path for path in found if path is not None]
        if len(paths) == len(found):
            return paths
    return None


def _read_pair(image_path: Path, label_path: Path) -> ImageSplit:
    images, labels = read_idx(image_path), read_idx(label_path)
    _check_pair(images, labels, f"{image_path} and {label_path}")
    return ImageSplit(images[:, None], labels.long())


def _check_pair(images: Tensor, labels: Tensor, where: str) -> None:
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or int(labels.max()) > 9:
        raise ValueError(
            f"expected images of shape (n, height, width) and n labels from 0 to 9 in {where}, "
            f"got shapes {tuple(images.shape)} and {tuple(labels.shape)}"
        )


def _read_npz(path: Path) -> tuple[Tensor, Tensor]:
    try:
        with path.open("rb") as file, np.load(file) as archive:
            images = torch.from_numpy(archive["images"].astype(np.uint8, casting="safe"))
            labels = torch.from_numpy(archive["labels"].astype(np.uint8, casting="safe"))
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not an npz file with unsigned bytes called images and labels: {error}") from error
    _check_pair(images, labels, str(path))
    return images[:, None], labels.long()


def _cifar10(root: Path | None, _seed: int, download: bool) -> ImageDataset:
    if root is not None and root.name == "cifar-10-batches-py":
        root = root.parent
    if root is not None and not (folder := root / "cifar-10-batches-py").is_dir():
        raise ValueError(f"cifar10 is not in {root}: looked for {folder}; leave the data root away to download")
    parts = _torchvision("CIFAR10", download, root)
    train, test = (
        ImageSplit(torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.as_tensor(data.targets))
        for data in parts
    )
    return ImageDataset("cifar10", train, test, tuple(parts[0].classes))


def _torchvision(class_: str, download: bool, root: Path | None = None) -> list[Any]:
    """torchvision's training and test set: from `root`, or downloaded to the cache if that is None."""
    datasets = require("torchvision.datasets", "vision")
    folder = Path.home() / ".cache" / "aninfonce" if root is None else root
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints the mirrors it tries
            return [
                getattr(datasets, class_)(folder, train=train, download=download and root is None)
                for train in (True, False)
            ]
    except (OSError, RuntimeError) as error:
        if root is not None:
            raise ValueError(f"{class_} in {root} is incomplete or damaged: {error}") from error
        tried = "download" if download else "find"
        raise OSError(
            f"could not {tried} {class_} in {folder}: {error}; a data root says where its files are"
        ) from error


SOURCES: dict[str, Callable[[Path | None, int, bool], ImageDataset]] = {
    "digits": _digits,
    "mnist": _mnist,
    "fashion-mnist": _fashion_mnist,
    "cifar10": _cifar10,
}
"""Loaders by name: (data root, seed of the split, whether to download) -> data set."""
