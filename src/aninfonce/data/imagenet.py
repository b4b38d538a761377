"""ImageNet in its folders: `train/n01440764/*.JPEG`, `val/n01440764/*.JPEG`."""

from __future__ import annotations

from pathlib import Path

import torch

from aninfonce.data.files import ImageFiles
from aninfonce.data.findings import Findings, Ignored
from aninfonce.data.listing import images_below, is_hidden
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
    ignored, followed = Ignored(), list[Path]()
    present = {part: _class_folders(home / part) for part in ("train", "val")}
    names = present["train"]
    if len(names) < (classes or 2):
        raise ValueError(f"{home / 'train'} has {len(names)} class folders, expected at least {classes or 2}")
    names = names[:classes]
    for extra in sorted({*present["val"]} - {*present["train"]}):
        ignored.add("folders of val that train does not have", home / "val" / extra)
    train, test = (
        _split(home / part, names, ignored, followed, image_size, decode_workers, max_corrupt, background)
        for part in ("train", "val")
    )
    notes = [f"{len(followed)} linked folders are followed, the first {followed[0]}"] if followed else []
    if len(names) < len(present["train"]):
        notes.append(f"the first {len(names)} of {len(present['train'])} classes are used, as asked for")
    findings = Findings("trained on is train, held out is val", "the folders give the classes", ignored, tuple(notes))
    name = "imagenet" if classes is None else f"imagenet:{classes}"
    return ImageDataset(name, train, test, tuple(names), findings=findings)


def _class_folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def _split(
    folder: Path,
    names: list[str],
    ignored: Ignored,
    followed: list[Path],
    image_size: int,
    decode_workers: int,
    max_corrupt: float,
    background: str,
) -> ImageSplit:
    found = [images_below(folder / name, ignored, followed) if (folder / name).is_dir() else [] for name in names]
    if empty := [name for name, paths in zip(names, found, strict=True) if not paths]:
        raise ValueError(
            f"{folder} has no images of {len(empty)} of {len(names)} classes, the first {empty[0]}; "
            "the validation images must be sorted into class folders, as the training images are"
        )
    labels = torch.tensor([label for label, paths in enumerate(found) for _ in paths])
    files = [path for paths in found for path in paths]
    return ImageSplit(ImageFiles(files, image_size, decode_workers, max_corrupt, background), labels)
