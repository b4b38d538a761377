"""The colour that transparent pictures are put on."""

from __future__ import annotations

import re

from aninfonce._checks import nearest_name
from aninfonce._extras import require

__all__ = ["WHITE", "Colour", "background_colour"]

Colour = tuple[int, int, int]
"""Red, green and blue, each from 0 to 255."""

WHITE: Colour = (255, 255, 255)
_KNOWN: dict[str, Colour] = {"white": WHITE, "black": (0, 0, 0)}  # without Pillow, too


def background_colour(name: str) -> Colour:
    """The colour of a name.

    Arguments:
        name: one of the 148 names of colours of CSS ("white", "grey"), "#rrggbb" or "#rgb" in hexadecimal digits, or a
            number from 0 (black) to 255 (white) for a grey.

    Raises:
        ValueError: if it is none of these; the message has the nearest name.
        MissingExtraError: if it is a name other than "white" and "black", and Pillow is not installed.

    Example:
        >>> background_colour("white"), background_colour("#0080ff"), background_colour("128")
        ((255, 255, 255), (0, 128, 255), (128, 128, 128))
    """
    text = name.strip().lower()
    if text in _KNOWN:
        return _KNOWN[text]
    if re.fullmatch(r"[0-9]{1,9}", text):
        if int(text) > 255:
            raise ValueError(f"a background of grey must be a number from 0 (black) to 255 (white), got {name}")
        return (int(text),) * 3
    if re.fullmatch(r"#([0-9a-f]{3}|[0-9a-f]{6})", text):
        digits = text[1:] if len(text) == 7 else "".join(2 * digit for digit in text[1:])
        red, green, blue = (int(digits[i : i + 2], 16) for i in (0, 2, 4))
        return red, green, blue
    colours = require("PIL.ImageColor", "vision")
    try:
        found = nearest_name("colour of the background", text, list(colours.colormap))
    except ValueError as error:
        raise ValueError(f"{error}; or #rrggbb, or a grey from 0 to 255") from error
    red, green, blue = colours.getrgb(found)
    return red, green, blue
