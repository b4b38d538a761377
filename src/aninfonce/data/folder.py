"""Images from a folder, one subfolder a class."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from aninfonce._typing import Int
from aninfonce.data.decode import UnreadableImageError, decode_image
from aninfonce.data.splits import ImageDataset, ImageSplit, held_out_split

__all__ = ["IMAGE_SUFFIXES", "files_by_class", "load_folder"]

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Files with these endings, in small or capital letters, are taken for images; others are ignored."""


def load_folder(path: Path, *, image_size: int = 32, seed: int = 0) -> ImageDataset:
    """Load the images of a folder into memory.

    Layouts: `train/CLASS/…` with `test/CLASS/…` (or `val/CLASS/…`); `CLASS/…`; or just images. Without a test
    folder a fifth of every class is held out.

    Arguments:
        path: the folder.
        image_size: images are resized to so many pixels on the shorter side, and cropped around the centre.
        seed: of the held-out split.

    Returns:
        Grey images if all are grey, otherwise in colour. An image that cannot be read is left out and listed in
        `skipped`.

    Raises:
        ValueError: if the folder is missing or holds no readable image, only one of its train and test folder has class
            folders, or `image_size` is less than 1.
        MissingExtraError: if Pillow is not installed.
    """
    if not path.is_dir():
        raise ValueError(
            f"{path} is not a folder of images: it {'is not a folder' if path.exists() else 'does not exist'}"
        )
    if image_size < 1:
        raise ValueError(f"image_size must be at least 1 pixel, got {image_size}")
    train_folder = path / "train"
    test_folder = next((path / name for name in ("test", "val") if (path / name).is_dir()), None)
    if not train_folder.is_dir():
        roots = [path]
    elif test_folder is None:
        roots = [train_folder]
    else:
        roots = [train_folder, test_folder]

    files = [files_by_class(root) for root in roots]
    names = sorted({name for found in files for name in found})
    if not names:
        raise ValueError(f"{path} holds no image: looked for files ending in {', '.join(IMAGE_SUFFIXES)}")
    if "" in names and len(names) > 1:
        raise ValueError(
            f"{path}: train and test folder must both have class folders, or both none; got {names[1:]} in one"
        )
    skipped: list[tuple[Path, str]] = []
    loaded = [_load(found, names, image_size, skipped) for found in files]
    for root, (images, _, _) in zip(roots, loaded, strict=True):
        if not len(images):
            first = f"; the first of {len(skipped)}: {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
            raise ValueError(f"{root} holds no readable image{first}")
    channels = 1 if all(gray for *_, gray in loaded) else 3
    classes = () if names == [""] else tuple(names)
    splits = [ImageSplit(images[:, :channels].contiguous(), labels) for images, labels, _ in loaded]
    if len(splits) == 1:
        images, labels, _ = loaded[0]
        generator = torch.Generator().manual_seed(seed)
        parts = held_out_split(labels, generator=generator)
        splits = [ImageSplit(images[part, :channels], labels[part]) for part in parts]
    if not classes:
        splits = [ImageSplit(split.images) for split in splits]
    return ImageDataset(f"folder:{path}", splits[0], splits[1], classes, tuple(skipped))


def files_by_class(root: Path) -> dict[str, list[Path]]:
    """Image files below each subfolder, sorted; if there are none, those of the folder itself, under the name ""."""

    def images_of(paths: list[Path]) -> list[Path]:
        return [p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") and p.is_file()]

    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    found = {folder.name: images_of(sorted(folder.rglob("*"))) for folder in folders}
    found = {name: paths for name, paths in found.items() if paths}
    if found:
        return found
    loose = images_of(sorted(root.iterdir()))
    return {"": loose} if loose else {}


def _load(
    files: dict[str, list[Path]], names: list[str], image_size: int, skipped: list[tuple[Path, str]]
) -> tuple[Tensor, Int[Tensor, " n"], bool]:
    """All readable images as colour, their labels, and whether all are grey; appends the others to `skipped`."""
    arrays: list[Tensor] = []
    labels: list[int] = []
    all_gray = True
    for name, paths in files.items():
        for path in paths:
            try:
                image, gray = decode_image(path, image_size)
            except UnreadableImageError as error:
                skipped.append((path, str(error)))
                continue
            arrays.append(image)
            labels.append(names.index(name))
            all_gray = all_gray and gray
    images = torch.stack(arrays) if arrays else torch.empty(0, 3, image_size, image_size, dtype=torch.uint8)
    return images, torch.tensor(labels, dtype=torch.int64), all_gray
