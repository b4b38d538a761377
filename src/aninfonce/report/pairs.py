"""A picture of positive pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aninfonce._typing import ArrayLike, FloatArray
from aninfonce.report._style import new_figure, save_figure

__all__ = ["pairs_figure"]

_GAP = 0.08  # between the images of a pair, as a fraction of an image's side; between rows of pairs three times that
_INCHES = 0.8  # an image's side


def pairs_figure(images: ArrayLike, positives: ArrayLike, path_stem: Path, *, columns: int = 10) -> list[Path]:
    """Draw every positive below its anchor, several rows of such pairs below each other.

    Arguments:
        images: anchors in [0, 1], shape (n, channels, height, width), 1 channel or 3; n at least 1.
        positives: the second views, of the same shape as `images`.
        path_stem: the files' path without its ending; the folder must exist.
        columns: pairs in a row, at least 1.

    Returns:
        The paths of the PNG and of the SVG.

    Raises:
        ValueError: if the shapes are not these or differ, a value is outside [0, 1], or `columns` is less than 1.
    """
    anchors, views = _pictures("images", images), _pictures("positives", positives)
    if anchors.shape != views.shape:
        raise ValueError(f"images and positives must have the same shape, got {images.shape} and {positives.shape}")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    n, height, width = anchors.shape[:3]
    columns = min(columns, n)
    rows = -(-n // columns)
    gap = max(1, round(_GAP * height))
    down, right = 2 * height + 4 * gap, width + gap  # from one pair to the next
    sheet = np.ones((rows * down - 3 * gap, columns * right - gap, 3))
    for i in range(n):
        top, left = i // columns * down, i % columns * right
        sheet[top : top + height, left : left + width] = anchors[i]
        sheet[top + height + gap : top + 2 * height + gap, left : left + width] = views[i]

    aspect = sheet.shape[0] / sheet.shape[1]
    inches = _INCHES * columns
    figure, (axis,) = new_figure(1, width=inches + 0.8, height=inches * aspect + 0.15)
    axis.imshow(sheet, interpolation="nearest")
    axis.grid(False)
    axis.spines[:].set_visible(False)
    middles = [row * down + offset for row in range(rows) for offset in ((height - 1) / 2, 1.5 * height + gap - 0.5)]
    axis.set_yticks(middles, ["anchor", "positive"] * rows, fontsize=8)
    axis.set_xticks([])
    axis.tick_params(length=0)
    return save_figure(figure, path_stem.parent, path_stem.name)


def _pictures(name: str, images: ArrayLike) -> FloatArray:
    """Images with the channels last, three of them, on the CPU."""
    pictures = np.asarray(images.detach().cpu() if hasattr(images, "detach") else images, dtype=np.float64)
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3) or 0 in pictures.shape:
        raise ValueError(
            f"{name} must have shape (n, channels, height, width) with n >= 1 and 1 or 3 channels, got {pictures.shape}"
        )
    if not (pictures.min() >= 0 and pictures.max() <= 1):
        raise ValueError(f"{name} must be in [0, 1], got values from {pictures.min():g} to {pictures.max():g}")
    return np.broadcast_to(pictures.transpose(0, 2, 3, 1), (len(pictures), *pictures.shape[2:], 3))
