"""Table and figure of a controlled experiment, from the content of its `results.json`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce._extras import require
from aninfonce.report._style import PALETTE, label, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

__all__ = ["study_figure", "study_table"]

MEASURES = {
    "r2": "R²",
    "r2_content": "R² content",
    "r2_style": "R² style",
    "mean_correlation": "mean correlation",
    "concentration_error": "error of Λ̂",
    "cpu_seconds": "core-seconds",
}


def study_table(results: Mapping[str, Any]) -> Table:
    """Method by measure: the mean over seeds ± the standard deviation; in brackets the published figure."""
    table: Table = require("rich.table", "app").Table(
        title=f"{results['name']}: {len(results['seeds'])} mixing(s), held-out scores; (…) the published figure",
        title_justify="left",
    )
    table.add_column("method")
    for heading in MEASURES.values():
        table.add_column(heading, justify="right")
    for method in results["config"]["methods"]:
        cells = [_cell(results, f"{method}/{measure}", measure) for measure in MEASURES]
        if any(cells):
            table.add_row(label(method), *cells)
    return table


def _cell(results: Mapping[str, Any], name: str, measure: str) -> str:
    values = results["per_seed"].get(name)
    if not values:
        return ""
    if measure == "concentration_error":
        shown = f"{statistics.median(values):.1%}"
    else:
        digits = 1 if measure == "cpu_seconds" else 3
        shown = f"{statistics.fmean(values):.{digits}f}"
        if len(values) > 1:
            shown += f" ± {statistics.stdev(values):.{digits}f}"
    published = results["published"].get(name)
    return shown if published is None else f"{shown} ({published:g})"


def study_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """Three panels: R² along training, R² by temperature, learned against true Λ. Returns the files' paths."""
    figure, (training, temperatures, concentrations) = new_figure(3)
    _training_panel(training, results)
    _temperature_panel(temperatures, results)
    _concentration_panel(concentrations, results)
    return save_figure(figure, out, results["name"])


def _training_panel(axis: Axes, results: Mapping[str, Any]) -> None:
    """R² of content and style over steps; bands from the lowest to the highest seed."""
    shown = [m for m in ("aninfonce", "infonce-tau-1", "infonce-trainable") if results["curves"].get(m)]
    for method, color in zip(shown, PALETTE, strict=False):
        curves = results["curves"][method]
        steps = curves[0]["step"]
        for measure, style in (("r2_content", "-"), ("r2_style", "--")):
            values = np.array([curve[measure] for curve in curves])
            name = f"{label(method)}: {measure.removeprefix('r2_')}"
            axis.plot(steps, values.mean(0), style, color=color, label=name)
            axis.fill_between(steps, values.min(0), values.max(0), color=color, alpha=0.15, linewidth=0)
    axis.set(xlabel="optimiser steps", ylabel="held-out linear R²", ylim=(-0.05, 1.03), title="along training")
    axis.legend(fontsize=7, loc="center right", bbox_to_anchor=(1.0, 0.45))


def _temperature_panel(axis: Axes, results: Mapping[str, Any]) -> None:
    """InfoNCE's R² by fixed temperature, AnInfoNCE's as a line to compare with."""
    methods = {
        float(m.removeprefix("infonce-tau-")): m for m in results["config"]["methods"] if m.startswith("infonce-tau-")
    }
    per_seed = results["per_seed"]
    present = [t for t in sorted(methods) if f"{methods[t]}/r2" in per_seed]
    for (measure, style), color in zip((("r2_content", "o-"), ("r2_style", "s--")), PALETTE, strict=False):
        values = [per_seed[f"{methods[t]}/{measure}"] for t in present]
        name = measure.removeprefix("r2_")
        if values:
            means = np.array([statistics.fmean(v) for v in values])
            spread = np.array([(m - min(v), max(v) - m) for v, m in zip(values, means, strict=True)]).clip(0).T
            axis.errorbar(present, means, yerr=spread, fmt=style, color=color, capsize=2, label=f"InfoNCE: {name}")
        if ours := per_seed.get(f"aninfonce/{measure}"):
            axis.axhline(statistics.fmean(ours), color=color, linestyle=":", label=f"AnInfoNCE: {name}")
        if free := per_seed.get(f"infonce-trainable/{measure}"):
            axis.axhline(
                statistics.fmean(free), color=color, linestyle="-.", linewidth=0.8, label=f"trainable τ: {name}"
            )
    axis.set(xscale="log", xlabel="InfoNCE's temperature τ", ylim=(-0.05, 1.03), title="the collapse depends on τ")
    axis.set_xticks(present, [f"{t:g}" for t in present])
    axis.minorticks_off()
    axis.legend(fontsize=7, loc="lower left")


def _concentration_panel(axis: Axes, results: Mapping[str, Any]) -> None:
    """Learned Λ̂ of the matched dimension against the latent's true Λ, one point a latent and seed."""
    true = np.array(results["true_concentration"])
    shown = {"aninfonce": "o", "aninfonce-other-positives": "x"}
    for (method, marker), color in zip(shown.items(), PALETTE, strict=False):
        learned = np.array(results["concentrations"].get(method) or np.empty((0, len(true))))
        if len(learned):
            axis.plot(
                np.tile(true, len(learned)), learned.ravel(), marker, color=color, label=label(method), alpha=0.8, ms=5
            )
    low, high = 0.8 * true.min(), 1.25 * true.max()
    axis.plot([low, high], [low, high], color="0.5", linewidth=0.8, label="Λ̂ = Λ")
    axis.set(xscale="log", yscale="log", xlabel="true Λ", ylabel="learned Λ̂", title="concentrations (no factor 1/2)")
    ticks = sorted({float(t) for t in np.round(np.geomspace(true.min(), true.max(), 4), 1)})
    for which in (axis.xaxis, axis.yaxis):
        which.set_ticks(ticks, [f"{t:g}" for t in ticks])
        which.set_ticks([], minor=True)
    axis.legend(fontsize=7, loc="upper left")
