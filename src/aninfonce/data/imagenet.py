"""ImageNet in its folders: `train/n01440764/*.JPEG`, `val/n01440764/*.JPEG`."""

from __future__ import annotations

from pathlib import Path

import torch

from aninfonce.data.files import ImageFiles
from aninfonce.data.layout import files_by_class
from aninfonce.data.splits import ImageDataset, ImageSplit

__all__ = ["load_imagenet"]

_LAYOUTS = (".", "imagenet", "ILSVRC/Data/CLS-LOC")  # the last as the challenge's archive on Kaggle unpacks


def load_imagenet(
    root: Path,
    *,
    image_size: int = 224,
    classes: int | None = None,
    decode_workers: int = 0,
    max_corrupt: float = 1.0,
    background: str = "white",
) -> ImageDataset:
    """List the files of ILSVRC 2012; they are decoded when they are asked for.

    Arguments:
        root: folder with `train` and `val`, both with one folder a class; or one with `imagenet` or
            `ILSVRC/Data/CLS-LOC`, which hold them.
        image_size: side to which the images are brought (shorter side resized, cropped around the centre), pixels.
        classes: only the first so many classes, by name, at least 2; None: all.
        decode_workers: processes that decode; 0: the one that trains.
        max_corrupt: share of the images of either part that may be unreadable, see `CorruptImages`.
        background: colour that transparent pictures are put on, see `background_colour`.

    Raises:
        ValueError: if the folders are not there, have no class folders, or fewer classes than asked for; `val` lacks
            classes of `train`; or a number is out of range.
    """
    if classes is not None and classes < 2:
        raise ValueError(f"imagenet:N takes the first N classes, at least 2, got {classes}")
    folders = [root / layout for layout in _LAYOUTS]
    home = next((folder for folder in folders if (folder / "train").is_dir() and (folder / "val").is_dir()), None)
    if home is None:
        looked = ", ".join(str(folder / "{train,val}") for folder in folders)
        raise ValueError(f"imagenet is not in {root}: looked for {looked}, with one folder a class")
    names = sorted(path.name for path in (home / "train").iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < (classes or 2):
        raise ValueError(f"{home / 'train'} has {len(names)} class folders, expected at least {classes or 2}")
    names = names[:classes]
    train, test = (
        _split(home / part, names, image_size, decode_workers, max_corrupt, background) for part in ("train", "val")
    )
    return ImageDataset("imagenet" if classes is None else f"imagenet:{classes}", train, test, tuple(names))


def _split(
    folder: Path, names: list[str], image_size: int, decode_workers: int, max_corrupt: float, background: str
) -> ImageSplit:
    found = [_images_of(folder / name) for name in names]
    if empty := [name for name, paths in zip(names, found, strict=True) if not paths]:
        raise ValueError(
            f"{folder} has no images of {len(empty)} of {len(names)} classes, the first {empty[0]}; "
            "the validation images must be sorted into class folders, as the training images are"
        )
    labels = torch.tensor([label for label, paths in enumerate(found) for _ in paths])
    files = [path for paths in found for path in paths]
    return ImageSplit(ImageFiles(files, image_size, decode_workers, max_corrupt, background), labels)


def _images_of(folder: Path) -> list[Path]:
    return files_by_class(folder).get("", []) if folder.is_dir() else []
