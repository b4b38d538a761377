"""One image file to pixels."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from aninfonce._extras import require
from aninfonce.data.background import WHITE, Colour
from aninfonce.data.formats import readable_formats
from aninfonce.data.reading import UnreadableImageError, read_file, retried, system_errno
from aninfonce.data.remarks import Remark
from aninfonce.data.transparency import composed

__all__ = ["LARGEST", "Decoded", "UnreadableImageError", "decode_image", "reason"]

LARGEST = 90_000_000
"""Pixels of the largest picture that is decoded. It takes up to 8 bytes a pixel; a file made to take the memory says
more (the sides come before the pixels, so that it costs nothing to refuse)."""

_GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_NO_MEMORY = "out of memory error"  # as Pillow's codecs say it, in an OSError without a number


class Decoded(NamedTuple):
    """An image.

    Attributes:
        pixels: uint8 tensor of shape (3, image_size, image_size).
        gray: whether the file holds a grey image (and stays grey on its background).
        remarks: what its owner may not expect.
    """

    pixels: Tensor
    gray: bool
    remarks: Remark


def decode_image(
    source: Path | BytesIO, image_size: int, background: Colour = WHITE, name: str | None = None
) -> Decoded:
    """Decode one image file.

    The picture is turned as its EXIF orientation says. Where it is transparent, the background shows: it is composed
    before it is made smaller, so that no colour from under a transparent pixel reaches the result.

    Arguments:
        source: path of the file, or its content.
        image_size: the image is resized to so many pixels on the shorter side, and cropped around the centre.
        background: what transparent pictures are put on.
        name: the name of the image, for errors; default: the path.

    Returns:
        Pixels, whether they are grey, and remarks. 16 bits a pixel become 8; of several pictures the first counts.

    Raises:
        UnreadableImageError: if the file is damaged, not an image in one of the `readable_formats`, of
            floating-point pixels or of 32-bit numbers whose range is not known, or larger than `LARGEST`.
        ImageReadError: if the file is missing or cannot be read, or the memory is used up, tried several times.
        MissingExtraError: if Pillow is not installed.
    """
    content = source.getvalue() if isinstance(source, BytesIO) else read_file(source)
    called = name or ("an image" if isinstance(source, BytesIO) else str(source))
    return retried(lambda: _decode(content, image_size, background), called)


def _decode(content: bytes, image_size: int, background: Colour) -> Decoded:
    pil = require("PIL.Image", "vision")
    ops = require("PIL.ImageOps", "vision")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damage that Pillow gets round, and of large pictures: see below
            with pil.open(BytesIO(content), formats=readable_formats()) as image:
                if image.width * image.height > LARGEST:
                    raise UnreadableImageError(
                        f"{image.width} × {image.height} pixels, more than the {LARGEST:,} that are decoded"
                    )
                gray = image.mode in _GRAY_MODES
                # JPEG decodes several times faster to 1/2, 1/4 or 1/8 of its size; twice ours leaves the resize its
                # say.
                image.draft(None, (2 * image_size, 2 * image_size))
                stored_as = image.tile[0][3] if image.tile else None  # Pillow forgets it when it decodes
                ops.exif_transpose(image, in_place=True)
                colour, remarks = composed(image, stored_as, background)
                fitted = ops.fit(colour, (image_size, image_size), pil.Resampling.BILINEAR)
                if _has_several(image):  # last, because it moves on in the file
                    remarks |= Remark.SEVERAL
    except UnreadableImageError:
        raise
    except Exception as error:  # Pillow's decoders raise anything on damaged files
        if system_errno(error) is not None:
            raise
        if isinstance(error, OSError) and _NO_MEMORY in str(error):
            raise MemoryError(str(error)) from error
        raise UnreadableImageError(reason(error)) from error
    gray = gray and (len({*background}) == 1 or not remarks & Remark.TRANSPARENT)
    return Decoded(torch.from_numpy(np.array(fitted)).permute(2, 0, 1), gray, remarks)


def reason(error: Exception) -> str:
    """Why Pillow could not read a file; of one that it does not know it names an address in memory."""
    if isinstance(error, require("PIL", "vision").UnidentifiedImageError):
        return f"not an image in one of the formats {', '.join(readable_formats())}"
    return f"{type(error).__name__}: {error}"


def _has_several(image: Any) -> bool:
    """Whether there is a second picture; one that is damaged does not make the first unreadable."""
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception as error:  # anything, as above
        if system_errno(error) is not None:
            raise
        return True
