"""Figures of the images with known factors: what is recovered of every factor under each law, and pairs of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce._tensors import unpack_images
from aninfonce.report._measures import heading
from aninfonce.report._style import PALETTE, label, new_figure, save_figure
from aninfonce.report.pairs import pairs_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["sprites_figures"]

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_SUMMARY = ("mean_correlation", "disentanglement", "completeness", "informativeness", "kernel_r2_style")
_OFFSET = 0.13  # between the methods' dots in a row


def sprites_figures(results: Mapping[str, Any], out: Path) -> list[Path]:
    """Dots for every factor and method, one panel a law; a second row of Λ̂ and summaries; pairs of every law.

    Returns the files' paths.
    """
    paths = _factors_figure(results, out) + _summary_figure(results, out)
    for run in results["details"].get("pictures", ()):
        for law, (images, positives) in run["pictures"].items():
            paths += pairs_figure(
                unpack_images(images), unpack_images(positives), out / f"{results['name']}-pairs-{law}"
            )
    return paths


def _laws(results: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Law -> (series -> method) of what has run."""
    ran = {name.rpartition("/")[0] for name in results["per_seed"]}
    laws: dict[str, dict[str, str]] = {law: {} for law in results["facts"]["laws"]}
    for method, point in results["facts"]["methods"].items():
        if method in ran:
            laws[point["law"]][point["series"]] = method
    return {law: methods for law, methods in laws.items() if methods}


def _series(results: Mapping[str, Any]) -> list[str]:
    """All series, in the order of their colours."""
    return list(dict.fromkeys(point["series"] for point in results["facts"]["methods"].values()))


def _factors_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    laws, every = _laws(results), _series(results)
    factors = results["facts"]["factors"]
    figure, axes = new_figure(max(1, len(laws)), width=4.4, height=4.6)
    for axis, (law, methods) in zip(axes, laws.items(), strict=False):
        true = results["facts"]["laws"][law]
        rows = sorted(range(len(factors)), key=lambda i: true[i])  # the axis goes upwards: the steadiest on top
        for series, method in methods.items():
            index = every.index(series)
            measured = [results["per_seed"][f"{method}/r2_{factors[i]}"] for i in rows]
            height = [row + _OFFSET * ((len(every) - 1) / 2 - index) for row in range(len(rows))]
            _dots(axis, measured, height, index, label(series))
        names = [f"{factors[i].replace('_', ' ')}  ({true[i]:.3g})" for i in rows]
        axis.set_yticks(range(len(rows)), names, fontsize=8)
        if len(set(true)) == 2:
            border = sum(value == min(true) for value in true) - 0.5
            axis.axhline(border, color="0.4", linewidth=0.9, linestyle=(0, (4, 3)))
        axis.set(xlim=(-0.05, 1.03), xlabel="held-out linear R²", title=f"{law.replace('-', ' ')}: factors (true Λ)")
    _shared_legend(figure, axes[0])
    return save_figure(figure, out, results["name"])


def _shared_legend(figure: Figure, axis: Axes) -> None:
    """One legend below all panels, of the first law's methods: the others have no more than those."""
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)


def _dots(axis: Axes, measured: Sequence[Sequence[float]], rows: Sequence[float], index: int, name: str) -> None:
    """A dot at the mean of every row's values, a line from the lowest to the highest; `index` is the series'."""
    means = np.array([np.mean(values) for values in measured])
    color = PALETTE[index % len(PALETTE)]
    low, high = (np.array([pick(values) for values in measured]) for pick in (min, max))
    axis.hlines(rows, low, high, color=color, linewidth=1.2)
    # An R² below zero says no more than zero does.
    axis.plot(means.clip(0), rows, _MARKERS[index % len(_MARKERS)], color=color, ms=5, label=name)


def _summary_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    laws, every = _laws(results), _series(results)
    figure, axes = new_figure(len(laws) + 1, width=4.2, height=3.8)
    _concentration_panel(axes[0], results, laws)
    for axis, (law, methods) in zip(axes[1:], laws.items(), strict=True):
        for series, method in methods.items():
            index = every.index(series)
            measured = [results["per_seed"][f"{method}/{measure}"] for measure in _SUMMARY]
            height = [_OFFSET * ((len(every) - 1) / 2 - index) - row for row in range(len(_SUMMARY))]
            _dots(axis, measured, height, index, label(series))
        axis.set_yticks([-i for i in range(len(_SUMMARY))], [heading(measure) for measure in _SUMMARY], fontsize=8)
        axis.set(xlim=(-0.05, 1.03), xlabel="held-out score", title=law.replace("-", " "))
    if laws:
        _shared_legend(figure, axes[1])
    return save_figure(figure, out, f"{results['name']}-summary")


def _concentration_panel(axis: Axes, results: Mapping[str, Any], laws: Mapping[str, Mapping[str, str]]) -> None:
    """Λ̂ of the dimension matched with each factor against the factor's Λ, one point a factor and seed."""
    ends = [value for law in laws for value in results["facts"]["laws"][law]]
    for (law, methods), color, marker in zip(laws.items(), PALETTE, _MARKERS, strict=False):
        learned = np.array([run["matched"] for run in results["details"].get(methods.get("aninfonce"), ())])
        if len(learned):
            true = np.tile(results["facts"]["laws"][law], len(learned))
            axis.plot(true, learned.ravel(), marker, color=color, label=law.replace("-", " "), alpha=0.7, ms=5)
    low, high = 0.8 * min(ends), 1.25 * max(ends)
    axis.plot([low, high], [low, high], color="0.5", linewidth=0.8, label="Λ̂ = Λ")
    axis.set(xscale="log", yscale="log", xlabel="true Λ", ylabel="AnInfoNCE's Λ̂", title="concentrations")
    ticks = np.round(np.geomspace(min(ends), max(ends), 4), 1).tolist()
    for which in (axis.xaxis, axis.yaxis):
        which.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        which.set_ticks([], minor=True)
    axis.legend(fontsize=7, loc="upper left")
