"""Pictures of every mode in 8 bits of red, green and blue, their transparent parts on a background."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from aninfonce._extras import require
from aninfonce.data.background import Colour
from aninfonce.data.reading import UnreadableImageError
from aninfonce.data.remarks import Remark

__all__ = ["composed"]

# In PNG files the transparent colour is a number of as many bits as the file has a sample, Pillow's pixels have 8.
_SCALES = {"L;2": 85, "L;4": 17}


def composed(image: Any, stored_as: Any, background: Colour) -> tuple[Any, Remark]:
    """A Pillow image in mode RGB, transparent parts shown on the background.

    An alpha channel a, of the picture (LA, RGBA, PA, premultiplied too), of its palette, or made of the one colour that
    a PNG file names as transparent, gives a · colour + (1 - a) · background. A picture without transparent parts is
    converted as Pillow does.

    Arguments:
        image: an image of any mode, decoded or not.
        stored_as: Pillow's name of the layout of the file's samples, if it has one.
        background: red, green and blue.

    Returns:
        The picture, and which of TRANSPARENT, INVISIBLE and DEEP are so.

    Raises:
        UnreadableImageError: if the picture has floating-point pixels or 32-bit numbers of a range that is not known.
    """
    pil = require("PIL.Image", "vision")
    if image.mode == "F":
        raise UnreadableImageError("floating-point pixels, whose range is not known")
    remarks = Remark(0)
    mask = None
    if image.mode.startswith("I"):
        values = np.asarray(image)
        mask = _mask(values, image.info.get("transparency"))
        image, remarks = pil.fromarray(_eight_bits(values, image.format)), Remark.DEEP
    elif image.has_transparency_data:
        image = _with_alpha(image, stored_as)
        mask = image.getchannel("A")
    if mask is None or mask.getextrema()[0] == 255:
        return image if image.mode == "RGB" else image.convert("RGB"), remarks
    canvas = pil.new("RGB", image.size, background)
    canvas.paste(image.convert("RGB"), mask=mask)
    remarks |= Remark.TRANSPARENT
    return canvas, remarks | (Remark.INVISIBLE if mask.getextrema()[1] == 0 else Remark(0))


def _with_alpha(image: Any, stored_as: Any) -> Any:
    """The picture in mode RGBA."""
    key = image.info.get("transparency")
    if isinstance(stored_as, str) and image.mode in ("L", "RGB"):
        if stored_as in _SCALES:
            image.info["transparency"] = key * _SCALES[stored_as]
        elif stored_as == "RGB;16B":
            image.info["transparency"] = tuple(value >> 8 for value in key)
    if image.mode == "La":
        image = image.convert("LA")
    return image.convert("RGBA")


def _mask(values: npt.NDArray[Any], key: int | None) -> Any:
    """Opaque but where a picture of 16 bits has the one value that is transparent."""
    if key is None:
        return None
    return require("PIL.Image", "vision").fromarray(np.where(values == key, 0, 255).astype(np.uint8))


def _eight_bits(values: npt.NDArray[Any], format: str | None) -> npt.NDArray[np.uint8]:
    """0 to 65,535 as 0 to 255: Pillow's own conversion of 16 bits cuts off everything above 255."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65_535:
        raise UnreadableImageError(f"pixels from {low} to {high}, expected 8 or 16 bits")
    if values.dtype.itemsize == 4 and format == "TIFF" and 0 < high <= 255:
        raise UnreadableImageError(f"32-bit pixels from {low} to {high}: whether they mean 8 or 16 bits is not known")
    return np.round(values / 257).astype(np.uint8)
