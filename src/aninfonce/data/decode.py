"""One image file to pixels."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aninfonce._extras import require

__all__ = ["UnreadableImageError", "decode_image"]

_GRAY_MODES = ("1", "L", "LA")


class UnreadableImageError(ValueError):
    """A file that Pillow cannot make an image of."""


def decode_image(path: Path, image_size: int) -> tuple[Tensor, bool]:
    """Decode one image file.

    Arguments:
        path: of the file.
        image_size: the image is resized to so many pixels on the shorter side, and cropped around the centre.

    Returns:
        (uint8 tensor of shape (3, image_size, image_size), whether the file holds a grey image).

    Raises:
        UnreadableImageError: if the file is missing or damaged, or no image.
        MissingExtraError: if Pillow is not installed.
    """
    pil = require("PIL.Image", "vision")
    ops = require("PIL.ImageOps", "vision")
    # What Pillow's decoders raise on damaged files.
    errors = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, pil.DecompressionBombError)
    try:
        with pil.open(path) as image:
            gray = image.mode in _GRAY_MODES
            # JPEG decodes several times faster to 1/2, 1/4 or 1/8 of its size; twice ours leaves the resize its say.
            image.draft(None, (2 * image_size, 2 * image_size))
            upright = ops.exif_transpose(image).convert("RGB")
            fitted = ops.fit(upright, (image_size, image_size), pil.Resampling.BILINEAR)
    except errors as error:
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from error
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1), gray
