"""Figure of the trade-off on real images: classes against augmentations, both read linearly."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aninfonce.report._style import PALETTE, label, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_trade_off", "trade_off_figure"]

_LAYERS = {"backbone": "o", "projector": "s"}


def trade_off_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """One panel: see `draw_trade_off`. Returns the files' paths."""
    figure, (axis,) = new_figure(1, width=5.2, height=3.8)
    draw_trade_off(axis, results)
    return save_figure(figure, out, results["name"])


def draw_trade_off(axis: Axes, results: Mapping[str, Any]) -> None:
    """Class accuracy over augmentation accuracy, by method (colour) and layer (marker); published ones are open."""
    for method, color in zip(results["config"]["methods"], PALETTE, strict=False):
        for layer, marker in _LAYERS.items():
            x, y = (f"{method}/{layer}/{measure}" for measure in ("augmentation_accuracy", "class_accuracy"))
            _draw_seeds(axis, results["per_seed"], (x, y), f"{label(method)}, {layer}", marker, color)
            if x in results["published"] and y in results["published"]:
                axis.plot(
                    100 * results["published"][x],
                    100 * results["published"][y],
                    marker,
                    color=color,
                    markerfacecolor="none",
                    markeredgewidth=1.5,
                    ms=8,
                    label=f"{label(method)}, published",
                )
    axis.set(xlabel="augmentation parameters, accuracy in % (chance: 50)", ylabel="classes, accuracy in %")
    axis.set_title(f"{results['name']}: linear readouts, held out")
    axis.margins(0.12)
    if axis.get_legend_handles_labels()[1]:
        axis.legend(fontsize=7)


def _draw_seeds(
    axis: Axes, per_seed: Mapping[str, Any], names: tuple[str, str], text: str, marker: str, color: str
) -> None:
    """The mean over the seeds, with bars from the lowest to the highest."""
    if any(name not in per_seed for name in names):
        return
    pairs = zip(*(per_seed[name] for name in names), strict=True)
    # null in the file, NaN before it is written: could not be measured
    measured = [(100 * x, 100 * y) for x, y in pairs if None not in (x, y) and math.isfinite(x + y)]
    if not measured:
        return
    percent = list(zip(*measured, strict=True))
    x, y = (statistics.fmean(values) for values in percent)
    across, down = ([[mean - min(v)], [max(v) - mean]] for mean, v in zip((x, y), percent, strict=True))
    axis.errorbar([x], [y], xerr=across, yerr=down, fmt=marker, color=color, ms=6, capsize=2, label=text)
