"""Figure of a sweep: measures over the values of one setting, a curve a method, bands over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce.report._measures import heading
from aninfonce.report._style import PALETTE, label, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_sweep", "sweep_figure"]

_LINES, _MARKERS = ("-", "--", ":", "-."), ("o", "s", "^", "D", "v", "P", "X")


def sweep_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """One panel for every entry of `facts["panels"]`; returns the files' paths. See `draw_sweep`."""
    panels = results["facts"]["panels"]
    figure, axes = new_figure(len(panels))
    for axis, panel in zip(axes, panels, strict=True):
        draw_sweep(axis, results, panel)
    return save_figure(figure, out, results["name"])


def draw_sweep(axis: Axes, results: Mapping[str, Any], panel: Mapping[str, Any]) -> None:
    """Draw the measures of one panel over the swept setting.

    A series has its colour and marker, a measure its line style; the band goes from the lowest to the highest seed.

    Arguments:
        axis: to draw on.
        results: the results of the study. Its facts hold "axis" (label; scale: linear or log; ticks: optional list of
            values) and
            "points": method -> series and x.
        panel: measures, label; optionally ylim, scale (linear or log), title, series (those to draw, in order) and
            truth: label and height of a horizontal line for what is promised.
    """
    facts = results["facts"]
    points: Mapping[str, Mapping[str, Any]] = facts["points"]
    every = list(dict.fromkeys(point["series"] for point in points.values()))
    measures: Sequence[str] = panel["measures"]
    for series in panel.get("series", every):
        color, marker = PALETTE[every.index(series) % len(PALETTE)], _MARKERS[every.index(series) % len(_MARKERS)]
        for measure, line in zip(measures, _LINES, strict=False):
            curve = _curve(results, series, measure)
            if len(curve) == 0:
                continue
            x, low, mean, high = curve.T
            name = label(series) if len(measures) == 1 else f"{label(series)}: {heading(measure).removeprefix('R² ')}"
            axis.plot(x, mean, line, marker=marker, ms=4, color=color, label=name)
            axis.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    for text, height in panel.get("truth", {}).items():
        axis.axhline(height, color="0.4", linewidth=0.9, linestyle=(0, (4, 3)), label=text)
    setting = facts["axis"]
    axis.set(xlabel=setting["label"], ylabel=panel["label"], title=panel.get("title", ""))
    axis.set(xscale=setting.get("scale", "linear"), yscale=panel.get("scale", "linear"))
    if "ylim" in panel:
        axis.set_ylim(*panel["ylim"])
    ticks = setting.get("ticks", sorted({point["x"] for point in points.values()}))
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.legend(fontsize=7, handlelength=3.2)


def _curve(results: Mapping[str, Any], series: str, measure: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Rows (x, lowest, mean, highest over the seeds) of what was measured, in the order of x."""
    rows = []
    for method, point in results["facts"]["points"].items():
        values = [v for v in results["per_seed"].get(f"{method}/{measure}", ()) if v is not None and np.isfinite(v)]
        if point["series"] == series and values:
            rows.append((point["x"], min(values), float(np.mean(values)), max(values)))
    return np.array(sorted(rows), dtype=np.float64).reshape(-1, 4)
