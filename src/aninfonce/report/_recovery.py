"""Figure of a recovery of known latents: along training, by temperature, and the learned concentrations."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce.report._style import PALETTE, label, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["recovery_figure"]


def recovery_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """Three panels: R² along training, R² by temperature, learned against true Λ. Returns the files' paths."""
    figure, (training, temperatures, concentrations) = new_figure(3)
    _training_panel(training, results)
    _temperature_panel(temperatures, results)
    _concentration_panel(concentrations, results)
    return save_figure(figure, out, results["name"])


def _training_panel(axis: Axes, results: Mapping[str, Any]) -> None:
    """R² of content and style over steps; bands from the lowest to the highest seed."""
    shown = [m for m in ("aninfonce", "infonce-tau-1", "infonce-trainable") if results["details"].get(m)]
    for method, color in zip(shown, PALETTE, strict=False):
        curves = [run["curve"] for run in results["details"][method]]
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
    true = np.array(results["facts"]["true_concentration"])
    shown = {"aninfonce": "o", "aninfonce-other-positives": "x"}
    for (method, marker), color in zip(shown.items(), PALETTE, strict=False):
        learned = np.array([run["matched"] for run in results["details"].get(method, ())])
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
