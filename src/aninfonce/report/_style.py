"""The look of every figure: one palette that colour-blind readers can tell apart, PNG for screens, SVG for print."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aninfonce._extras import require
from aninfonce._runs import atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PALETTE", "label", "new_figure", "save_figure"]

# Okabe & Ito's palette, without yellow, which print loses.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

LABELS = {
    "aninfonce": "AnInfoNCE",
    "aninfonce-fast": "AnInfoNCE, smallest budget",
    "aninfonce-uncentred": "AnInfoNCE, uncentred",
    "aninfonce-other-positives": "AnInfoNCE, other positives as negatives",
    "infonce": "InfoNCE",
    "infonce-trainable": "InfoNCE, trainable τ",
    "aninfonce-lost-latent": "AnInfoNCE, a latent lost by g",
    "aninfonce-linear-spectrum": "AnInfoNCE, linear spectrum",
    "pictures": "generator",
}


# Laws of the pairs that a method's name may end with, METHOD-LAW.
LAWS = {"pose-varies": "pose varies", "colour-varies": "colour varies", "spectrum": "spectrum"}
# How the value of a swept setting, METHOD-SETTING-VALUE, is written.
SETTINGS = {"d": "d =", "ratio": "ratio", "depth": "depth", "batch": "batch", "negatives": "M ="}


def label(method: str) -> str:
    """A method's name for readers."""
    if method in LABELS:
        return LABELS[method]
    for law, name in LAWS.items():
        if method.endswith(f"-{law}"):
            return f"{label(method.removesuffix(f'-{law}'))}, {name}"
    rest, _, value = method.rpartition("-")
    base, _, setting = rest.rpartition("-")
    if base and setting in SETTINGS:
        return f"{label(base)}, {SETTINGS[setting]} {value}"
    if method.startswith("infonce-tau-"):
        return f"InfoNCE, τ = {method.removeprefix('infonce-tau-')}"
    return method


def new_figure(
    panels: int, width: float = 4.2, height: float = 3.4, columns: int | None = None
) -> tuple[Figure, Sequence[Axes]]:
    """A figure with that many panels, `columns` side by side (default: all); sizes in inches a panel."""
    columns = panels if columns is None else min(columns, panels)
    rows = -(-panels // columns)
    # Not pyplot: no global state, no display, and figures are freed when nobody holds them.
    figure: Any = require("matplotlib.figure", "app").Figure(
        figsize=(width * columns, height * rows), layout="constrained"
    )
    every = figure.subplots(rows, columns, squeeze=False).ravel()
    for spare in every[panels:]:
        spare.set_axis_off()
    axes = every[:panels]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.6)
    return figure, axes


def save_figure(figure: Figure, out: Path, name: str) -> list[Path]:
    """Write `name.png` and `name.svg` into the folder, each atomically; returns their paths."""
    paths = [out / f"{name}.png", out / f"{name}.svg"]
    for path in paths:
        with atomically(path) as temporary, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # names may be in any writing
            figure.savefig(temporary, format=path.suffix[1:], dpi=160)
    return paths
