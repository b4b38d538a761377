"""The MNIST family: from IDX files, from one npz file, or by torchvision."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aninfonce.data.findings import Findings
from aninfonce.data.idx import LARGEST, read_idx
from aninfonce.data.reading import retried, system_errno
from aninfonce.data.splits import ImageDataset, ImageSplit, split_off_test
from aninfonce.data.torchvision_sets import PUBLISHED, torchvision_parts

__all__ = ["DIGIT_NAMES", "load_fashion_mnist", "load_mnist"]

DIGIT_NAMES = tuple("0123456789")
_FASHION_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def load_mnist(root: Path | None, seed: int, download: bool) -> ImageDataset:
    """MNIST."""
    if root is not None and (archive := root / "mnist-10k.npz").is_file() and _find_idx(root, "mnist", "MNIST") is None:
        train, test = split_off_test(retried(lambda: _read_npz(archive), str(archive)), seed)
        findings = Findings("a fifth of every class of mnist-10k.npz is held out, drawn at random", PUBLISHED.labels)
        return ImageDataset("mnist", train, test, DIGIT_NAMES, findings=findings)
    return _mnist_like("mnist", "MNIST", DIGIT_NAMES, root, download, also="mnist-10k.npz")


def load_fashion_mnist(root: Path | None, _seed: int, download: bool) -> ImageDataset:
    """Fashion-MNIST."""
    return _mnist_like("fashion-mnist", "FashionMNIST", _FASHION_NAMES, root, download)


def _mnist_like(
    name: str, class_: str, class_names: tuple[str, ...], root: Path | None, download: bool, also: str = ""
) -> ImageDataset:
    """MNIST or Fashion-MNIST: from the IDX files below `root`, or by torchvision's class called `class_`."""
    if root is None:
        train, test = (
            ImageSplit(data.data[:, None], torch.as_tensor(data.targets))
            for data in torchvision_parts(class_, download)
        )
        return ImageDataset(name, train, test, class_names, findings=PUBLISHED)
    paths = _find_idx(root, name, class_)
    if paths is None:
        looked = [str(folder / "*-ubyte[.gz]") for folder in _idx_folders(root, name, class_)]
        looked += [str(root / also)] if also else []
        raise ValueError(f"{name} is not in {root}: looked for {', '.join(looked)}; omit the data root to download")
    train, test = (_read_pair(images, labels) for images, labels in (paths[:2], paths[2:]))
    return ImageDataset(name, train, test, class_names, findings=PUBLISHED)


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
    fits = images.ndim == 3 and labels.ndim == 1 and len(images) == len(labels) > 0 and images.numel() > 0
    if not fits or int(labels.max()) > 9:
        raise ValueError(
            f"expected images of shape (n, height, width) and n labels from 0 to 9 in {where}, "
            f"got shapes {tuple(images.shape)} and {tuple(labels.shape)}"
        )


def _read_npz(path: Path) -> ImageSplit:
    try:
        with zipfile.ZipFile(path) as members:
            if (size := sum(member.file_size for member in members.infolist())) > LARGEST:
                raise ValueError(f"it unpacks to {size} bytes, more than the {LARGEST} that are read")
        with path.open("rb") as file, np.load(file) as archive:
            images = torch.from_numpy(archive["images"].astype(np.uint8, casting="safe"))
            labels = torch.from_numpy(archive["labels"].astype(np.uint8, casting="safe"))
    except Exception as error:  # numpy and zipfile raise anything on damaged archives, a TokenError too
        if isinstance(error, OSError) and system_errno(error) is not None:
            raise
        raise ValueError(f"{path} is not an npz file with unsigned bytes called images and labels: {error}") from error
    _check_pair(images, labels, str(path))
    return ImageSplit(images[:, None], labels.long())
