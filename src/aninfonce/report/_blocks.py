"""Figure of the block structure of the map from the latents to the embedding."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce._extras import require
from aninfonce.report._style import PALETTE, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["blocks_figure"]


def blocks_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """The squared weights of every case, of its first seed, with the blocks framed. Returns the files' paths."""
    cases: Mapping[str, str] = {
        method: name for method, name in results["facts"]["cases"].items() if results["details"].get(method)
    }
    figure, axes = new_figure(max(1, len(cases)), width=3.3, height=4.3)
    mesh = None
    for axis, (method, name) in zip(axes, cases.items(), strict=False):
        mesh = _matrix(axis, results["details"][method][0])
        axis.set_title(name, fontsize=10)
        axis.set_xlabel(f"latents, by block\n\n{_numbers(results['per_seed'], method)}", fontsize=9)
    if mesh is not None:
        axes[0].set_ylabel("dimensions of the embedding")
        figure.colorbar(
            mesh, ax=list(axes), label="squared weight", shrink=0.75, pad=0.01, ticks=[0, 0.1, 0.25, 0.5, 1]
        )
    return save_figure(figure, out, results["name"])


def _matrix(axis: Axes, run: Mapping[str, Any]) -> Any:
    """Draw one matrix; returns what the colour bar is made from."""
    matrix, sizes = np.array(run["matrix"]), run["sizes"]
    # The square root of the scale: a rotation spreads a weight of 1 over a block's entries, which are then small.
    scale = require("matplotlib.colors", "app").PowerNorm(0.5, vmin=0, vmax=1)
    d_hat, d = matrix.shape
    mesh = axis.pcolormesh(
        np.arange(d + 1),
        np.arange(d_hat + 1),
        matrix.clip(0, 1),
        norm=scale,
        cmap="Greys",
        edgecolors="0.9",
        linewidth=0.4,
    )
    start = 0
    for size in sizes:
        frame = require("matplotlib.patches", "app").Rectangle(
            (start, start), size, size, fill=False, edgecolor=PALETTE[1], linewidth=1.6, clip_on=False
        )
        axis.add_patch(frame)
        start += size
    axis.set(aspect="equal", xticks=[], yticks=[])
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.spines[:].set_visible(True)
    return mesh


def _numbers(per_seed: Mapping[str, Any], method: str) -> str:
    """What is read off the map, in words: means over the seeds."""

    def mean(measure: str) -> float:
        return statistics.fmean(v for v in per_seed[f"{method}/{measure}"] if v is not None)

    return (
        f"leakage {mean('leakage'):.2%} ± {mean('leakage_error'):.2%} (chance {mean('leakage_chance'):.0%})\n"
        f"R² {mean('r2'):.3f}, mean correlation {mean('mean_correlation'):.2f}\n"
        f"orthogonality error {mean('orthogonality_error'):.1%}"
    )
