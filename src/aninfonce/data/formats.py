"""Which image formats are read, and how their files are recognised: by ending, or by their first bytes."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from aninfonce._extras import require

__all__ = ["has_ending", "image_endings", "looks_like_image", "readable_formats", "unreadable_ending"]

# Pillow's names of the formats that are read where it can. It knows others, some of which start programs (EPS:
# Ghostscript). Its reader of JPEG also reads MPO, the format of cameras that store several pictures in a file.
_ENDINGS = {
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heics", ".heif", ".heifs", ".hif"),
}
_REMEDIES = {"AVIF": "Pillow 11.3 or later reads it", "HEIF": "the package pillow-heif reads it"}


@cache
def readable_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read: AVIF and HEIF only where it can.

    Raises:
        MissingExtraError: if Pillow is not installed.
    """
    pil = require("PIL.Image", "vision")
    pil.init()  # without it not all of the formats are known
    if find_spec("pillow_heif") is not None:
        require("pillow_heif", "vision").register_heif_opener()
    avif = "avif" in require("PIL.features", "vision").get_supported()
    return tuple(name for name in _ENDINGS if name in pil.OPEN and (avif or name != "AVIF"))


@cache
def image_endings() -> tuple[str, ...]:
    """Endings, in small letters, of the files that are taken for images."""
    return tuple(ending for name in readable_formats() for ending in _ENDINGS[name])


def unreadable_ending(ending: str) -> str | None:
    """Why images with this ending are not read here; None if it is not that of an image, or it is read."""
    for name, remedy in _REMEDIES.items():
        if ending in _ENDINGS[name] and name not in readable_formats():
            return f"{name} images, which Pillow cannot read here ({remedy})"
    return None


def has_ending(name: str) -> bool:
    """Whether a file's name has what can be an ending: a letter and up to nine more characters, no date or number."""
    return re.fullmatch(r"\.[a-z][a-z0-9+_-]{0,9}", Path(name).suffix.lower()) is not None


def looks_like_image(path: Path) -> bool:
    """Whether the file begins as an image in one of the formats does.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(16)
    openers = require("PIL.Image", "vision").OPEN
    # A bitmap without a file header (DIB) begins with a small number, as much else does.
    return len(start) == 16 and any(
        accept(start) is True
        for name in readable_formats()
        if name != "DIB" and (accept := openers[name][1]) is not None
    )
