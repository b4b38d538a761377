"""Figure of a sweep of two settings: a measure a panel, a cell a method."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce._typing import FloatArray
from aninfonce.report._style import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

__all__ = ["draw_heatmap", "heatmap_figure"]

_GAP = 0.25  # between the rows set apart and the others, in rows


def heatmap_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """One panel for every entry of `facts["panels"]`, one scale of colours; returns the files' paths."""
    facts = results["facts"]
    panels = facts["panels"]
    figure, axes = new_figure(len(panels), width=4.6, height=1.1 + 0.34 * len(facts["rows"]["names"]))
    for axis, panel in zip(axes, panels, strict=True):
        mesh = draw_heatmap(axis, results, panel)
    for axis in axes[1:]:
        axis.tick_params(labelleft=False)
    figure.colorbar(mesh, ax=list(axes), label=facts["scale"]["label"], shrink=0.95, pad=0.01, aspect=25)
    return save_figure(figure, out, results["name"])


def draw_heatmap(axis: Axes, results: Mapping[str, Any], panel: Mapping[str, Any]) -> QuadMesh:
    """Draw one measure, the mean over seeds, in colour and in figures; a cell that has not run stays empty.

    Arguments:
        axis: to draw on.
        results: the results of the study. Its facts hold "columns" and "rows" (label, names in order; of the rows also
            apart, how
            many of the first stand apart from the others), "cells": method -> names of its column and row, and "scale":
            label and limits of the colours.
        panel: measure and title.

    Returns:
        What a colour bar is made from.
    """
    facts = results["facts"]
    columns, rows, apart = facts["columns"]["names"], facts["rows"]["names"], facts["rows"].get("apart", 0)
    values = _cells(results, panel["measure"])
    low, high = facts["scale"]["limits"]
    edges = np.arange(len(columns) + 1)
    # Two meshes of one scale: the rows set apart, a gap, the others.
    for first, last, start in ((0, apart, 0.0), (apart, len(rows), apart + (_GAP if apart else 0.0))):
        if first == last:
            continue
        heights = start + np.arange(last - first + 1)
        mesh = axis.pcolormesh(
            edges, heights, values[first:last], vmin=low, vmax=high, cmap="cividis", edgecolors="white", linewidth=0.8
        )
    for (i, j), value in np.ndenumerate(values):
        if not np.isfinite(value):
            continue
        dark = (value - low) / (high - low) < 0.5
        axis.text(
            j + 0.5,
            _centre(i, apart),
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if dark else "black",
        )
    axis.set_xticks(edges[:-1] + 0.5, columns)
    axis.set_yticks([_centre(i, apart) for i in range(len(rows))], rows)
    axis.set(xlabel=facts["columns"]["label"], ylabel=facts["rows"].get("label", ""), title=panel["title"])
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return mesh


def _centre(row: int, apart: int) -> float:
    return float(row + 0.5 + (_GAP if apart and row >= apart else 0.0))


def _cells(results: Mapping[str, Any], measure: str) -> FloatArray:
    """The means over the seeds, shape (rows, columns); NaN where nothing was measured."""
    facts = results["facts"]
    columns, rows = facts["columns"]["names"], facts["rows"]["names"]
    values = np.full((len(rows), len(columns)), np.nan)
    for method, (column, row) in facts["cells"].items():
        measured = [v for v in results["per_seed"].get(f"{method}/{measure}", ()) if v is not None]
        if measured:
            values[rows.index(row), columns.index(column)] = statistics.fmean(measured)
    return values
