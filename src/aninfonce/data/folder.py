"""Images of a folder, in memory."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from aninfonce._typing import Int
from aninfonce.data.background import Colour, background_colour
from aninfonce.data.corrupt import CorruptImages
from aninfonce.data.decode import decode_image
from aninfonce.data.layout import find_images
from aninfonce.data.reading import UnreadableImageError
from aninfonce.data.remarks import Remarks
from aninfonce.data.splits import ImageDataset, ImageSplit, split_off_test

__all__ = ["load_folder"]


def load_folder(
    path: Path, *, image_size: int = 32, seed: int = 0, max_corrupt: float = 1.0, background: str = "white"
) -> ImageDataset:
    """Load the images of a folder into memory.

    Layouts: `train/CLASS/…` with `test/CLASS/…` (or `val/CLASS/…`, or another name of a split, see
    `aninfonce.data.split_names`); `CLASS/…`; or just images. Without a test folder a fifth of every class is held out.

    Arguments:
        path: the folder.
        image_size: images are resized to so many pixels on the shorter side, and cropped around the centre.
        seed: the seed of the held-out split.
        max_corrupt: share of the images that may be unreadable, see `CorruptImages`.
        background: colour that transparent pictures are put on, see `background_colour`.

    Returns:
        Grey images if all are grey, otherwise in colour. An image that cannot be read is left out and listed in
        `skipped`.

    Raises:
        ValueError: if the folder is missing, holds no readable image, or mixes the layouts; too many images cannot be
            read; or a number is out of range.
        MissingExtraError: if Pillow is not installed.
    """
    if image_size < 1:
        raise ValueError(f"image_size must be at least 1 pixel, got {image_size}")
    layout = find_images(path)
    names, parts = layout.names, layout.parts
    corrupt = CorruptImages(sum(len(paths) for found in parts for paths in found.values()), max_corrupt)
    colour, remarks = background_colour(background), Remarks(corrupt.total)
    loaded = [_load(found, names, image_size, corrupt, colour, remarks) for found in parts]
    for found, (images, _, _) in zip(parts, loaded, strict=True):
        if not len(images):
            first = next(paths[0] for paths in found.values())
            count = sum(len(paths) for paths in found.values())
            raise ValueError(f"{path} holds no readable image; the first of {count}: {first}: {corrupt.skipped[first]}")
    channels = 1 if all(gray for *_, gray in loaded) else 3
    splits = [ImageSplit(images[:, :channels].contiguous(), labels if names else None) for images, labels, _ in loaded]
    train, test = splits if len(splits) == 2 else split_off_test(splits[0], seed)
    skipped = tuple(corrupt.skipped.items())
    return ImageDataset(f"folder:{path}", train, test, names, skipped, remarks.counts(), layout.findings)


def _load(
    files: dict[str, list[Path]],
    names: tuple[str, ...],
    image_size: int,
    corrupt: CorruptImages,
    background: Colour,
    remarks: Remarks,
) -> tuple[Tensor, Int[Tensor, " n"], bool]:
    """All readable images as colour, their labels, and whether all are grey.

    The others go to `corrupt`, and what there is to say of the readable ones to `remarks`.
    """
    arrays: list[Tensor] = []
    labels: list[int] = []
    all_gray = True
    number = {name: label for label, name in enumerate(names)}
    for name, paths in files.items():
        for path in paths:
            try:
                image, gray, flags = decode_image(path, image_size, background)
            except UnreadableImageError as error:
                corrupt.add([(path, str(error))])
                continue
            remarks.add(flags)
            arrays.append(image)
            labels.append(number[name] if names else 0)
            all_gray = all_gray and gray
    images = torch.stack(arrays) if arrays else torch.empty(0, 3, image_size, image_size, dtype=torch.uint8)
    return images, torch.tensor(labels, dtype=torch.int64), all_gray
