"""Lines drawn in a terminal: a character holds 2 × 4 dots (Unicode's Braille patterns)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aninfonce._arrays import FloatArray

__all__ = ["draw_lines", "thin"]

_BLANK = 0x2800
# The bit of the dot in row 0 … 3 and column 0 or 1 of a character.
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])

Line = tuple[FloatArray, FloatArray]
"""Positions and values, both of shape (n,), positions ascending."""


def thin(x: FloatArray, y: FloatArray, most: int) -> Line:
    """The finite points; if there are more than `most`, means of neighbouring ones, so that noise makes no carpet."""
    finite = np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) <= most:
        return x, y
    parts = np.array_split(np.arange(len(x)), most)
    return np.array([x[part].mean() for part in parts]), np.array([y[part].mean() for part in parts])


def draw_lines(
    lines: Sequence[Line], width: int, height: int, *, x_range: tuple[float, float], y_range: tuple[float, float]
) -> tuple[list[str], list[list[int | None]]]:
    """Draw lines over each other.

    Arguments:
        lines: points that are not finite are passed over.
        width: characters.
        height: rows of characters.
        x_range: positions of the left and the right edge.
        y_range: values of the lower and the upper edge.

    Returns:
        The rows, from above, `width` characters each; and for every character the number of the line that was drawn
        there last, None where there is none.

    Example:
        >>> import numpy as np
        >>> rows, owners = draw_lines([(np.arange(4.0), np.arange(4.0))], 2, 1, x_range=(0, 3), y_range=(0, 3))
        >>> rows, owners
        (['⡠⠊'], [[0, 0]])
    """
    dots = np.zeros((4 * height, 2 * width), dtype=bool)
    owner = np.full((height, width), -1)
    for number, (x, y) in enumerate(lines):
        finite = np.isfinite(y)
        across = _place(x[finite], *x_range, 2 * width)
        down = 4 * height - 1 - _place(y[finite], *y_range, 4 * height)
        for (x0, x1), (y0, y1) in zip(_pairs(across), _pairs(down), strict=True):
            points = int(max(abs(x1 - x0), abs(y1 - y0))) + 1
            at = np.rint(np.linspace(y0, y1, points)).astype(int), np.rint(np.linspace(x0, x1, points)).astype(int)
            dots[at] = True
            owner[at[0] // 4, at[1] // 2] = number
    codes = (dots.reshape(height, 4, width, 2) * _BITS[None, :, None, :]).sum((1, 3)) + _BLANK
    rows = ["".join(map(chr, row)) for row in codes]
    return rows, [[None if number < 0 else int(number) for number in row] for row in owner]


def _place(values: FloatArray, low: float, high: float, size: int) -> FloatArray:
    """0 … size - 1; in the middle if the range is empty."""
    if not high > low:
        return np.full(len(values), size // 2, dtype=np.float64)
    return np.rint((np.clip(values, low, high) - low) / (high - low) * (size - 1))


def _pairs(values: FloatArray) -> list[tuple[float, float]]:
    """Each value with the next one; a single value with itself."""
    if len(values) == 1:
        values = np.repeat(values, 2)
    return list(zip(values[:-1].tolist(), values[1:].tolist(), strict=True))
