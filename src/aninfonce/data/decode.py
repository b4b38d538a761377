"""One image file to pixels."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aninfonce._extras import require
from aninfonce.data.formats import readable_formats

__all__ = ["LARGEST", "UnreadableImageError", "decode_image", "reason"]

LARGEST = 90_000_000
"""Pixels of the largest picture that is decoded. It takes up to 8 bytes a pixel; a file made to take the memory says
more (the sides come before the pixels, so that it costs nothing to refuse)."""

_GRAY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N")


class UnreadableImageError(ValueError):
    """A file that Pillow cannot make an image of."""


def decode_image(source: Path | BytesIO, image_size: int) -> tuple[Tensor, bool]:
    """Decode one image file.

    Arguments:
        source: path of the file, or its content.
        image_size: the image is resized to so many pixels on the shorter side, and cropped around the centre.

    Returns:
        (uint8 tensor of shape (3, image_size, image_size), whether the file holds a grey image). 16 bits a pixel become
        8; transparency is dropped; of several pictures the first counts.

    Raises:
        UnreadableImageError: if the file is missing or damaged, not an image in one of the formats that are read
            (see `aninfonce.data.formats`), of floating-point
            pixels, or larger than `LARGEST`.
        MissingExtraError: if Pillow is not installed.
    """
    pil = require("PIL.Image", "vision")
    ops = require("PIL.ImageOps", "vision")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage that Pillow gets round, and of large pictures: see below
            with pil.open(source, formats=readable_formats()) as image:
                gray = image.mode in _GRAY_MODES
                if image.width * image.height > LARGEST:
                    raise UnreadableImageError(
                        f"{image.width} × {image.height} pixels, more than the {LARGEST:,} that are decoded"
                    )
                # JPEG decodes several times faster to 1/2, 1/4 or 1/8 of its size; twice ours leaves the resize its
                # say.
                image.draft(None, (2 * image_size, 2 * image_size))
                ops.exif_transpose(image, in_place=True)
                shallow = _eight_bits(image)
                colour = shallow if shallow.mode == "RGB" else shallow.convert("RGB")
                fitted = ops.fit(colour, (image_size, image_size), pil.Resampling.BILINEAR)
    except UnreadableImageError:
        raise
    except Exception as error:  # Pillow's decoders raise anything on damaged files
        raise UnreadableImageError(reason(error)) from error
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1), gray


def reason(error: Exception) -> str:
    """Why Pillow could not read a file; of one that it does not know it names an address in memory."""
    if isinstance(error, require("PIL", "vision").UnidentifiedImageError):
        return f"not an image in one of the formats {', '.join(readable_formats())}"
    return f"{type(error).__name__}: {error}"


def _eight_bits(image: Any) -> Any:
    """The picture with 8 bits a channel: Pillow's own conversion of 16 bits cuts off everything above 255."""
    if image.mode == "F":
        raise UnreadableImageError("floating-point pixels, whose range is not known")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65_535:
        raise UnreadableImageError(f"pixels from {values.min()} to {values.max()}, expected 8 or 16 bits")
    return require("PIL.Image", "vision").fromarray(np.round(values / 257).astype(np.uint8))
