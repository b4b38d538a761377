"""Tables and figures of training runs, alone and side by side, from the content of their `results.json`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce._text import without_math
from aninfonce.report._style import PALETTE, label, new_figure, save_figure
from aninfonce.report._table import add_row, new_table
from aninfonce.report._training_curves import (
    draw_curve,
    draw_readouts,
    draw_spectrum,
    draw_spectrum_over_time,
    spectra,
)
from aninfonce.training.readouts import reasons

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

__all__ = [
    "compare_figure",
    "compare_table",
    "mean_of_measured",
    "missing_control",
    "not_measured",
    "readout_rows",
    "runs_not_measured",
    "summarize",
    "training_figure",
    "training_table",
]

LAYERS = ("backbone", "projector")
# Share of correct answers in the paper's tables for CIFAR-10, %: classes / augmentations.
SUMMARY = {
    "class_accuracy": ("classes, %", 100),
    "augmentation_r2": ("augmentation R²", 1),
    "augmentation_accuracy": ("augmentations, %", 100),
    "effective_rank": ("effective rank", 1),
}
# Panels of the readouts during training: measure -> name, the axis, the title.
ONLINE = (
    (
        {"class_accuracy": "linear", "knn_accuracy": "nearest neighbours"},
        "accuracy, held out",
        "classes along training",
    ),
    ({"augmentation_r2": "mean"}, "R², held out", "augmentations along training"),
)
# Settings that do not change what is trained.
ASIDE = ("seed", "device", "loggers", "readout_every")
# Settings that the name of a method already tells, or that it does not use.
IMPLIED = {
    "aninfonce": ("objective", "trainable_temperature", "temperature"),
    "infonce-trainable": ("objective", "trainable_temperature", "concentration"),
    "infonce-tau": ("objective", "trainable_temperature", "temperature", "concentration", "concentration_rate"),
}


def summarize(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Put runs that differ in nothing but their seed together.

    Arguments:
        runs: the contents of `results.json` of training runs.

    Returns:
        Name of the setting -> measure -> one number a run. A setting's name is its method (`infonce-tau-0.2`), followed
        by whatever else sets it apart from the other runs, as far as its method makes use of it.

    Raises:
        ValueError: if a run is not a training run.
    """
    for run in runs:
        if run.get("name") != "train":
            raise ValueError(f"only training runs can be compared, got a run of {run.get('name')!r}")
        if not (isinstance(run.get("config"), dict) and isinstance(run.get("method"), str)):
            raise ValueError("only training runs can be compared, got one whose results lack its config or its method")
    known = dict.fromkeys(key for run in runs for key in run["config"])
    settings = [{key: run["config"].get(key) for key in known if key not in _aside(run["method"])} for run in runs]
    varied = [key for key in known if len({repr(setting[key]) for setting in settings if key in setting}) > 1]
    table: dict[str, dict[str, list[float]]] = {}
    for run, setting in zip(runs, settings, strict=True):
        name = ", ".join([run["method"], *(f"{key} {setting[key]}" for key in varied if key in setting)])
        measures = table.setdefault(name, {})
        for measure, value in run["metrics"].items():
            measures.setdefault(measure, []).append(math.nan if value is None else value)  # JSON has no NaN
    return table


def _aside(method: str) -> tuple[str, ...]:
    """Settings on which a run's result does not hang, or that its method's name tells."""
    return (*ASIDE, *next((keys for name, keys in IMPLIED.items() if method.startswith(name)), ()))


def missing_control(settings: Sequence[str]) -> str | None:
    """What a comparison of InfoNCE at a fixed temperature with AnInfoNCE lacks, for readers; None if nothing.

    Arguments:
        settings: the names that `summarize` gives.
    """
    fixed, ours, trainable = (
        any(name.startswith(method) for name in settings)
        for method in ("infonce-tau", "aninfonce", "infonce-trainable")
    )
    if not (fixed and ours) or trainable:
        return None
    return (
        "InfoNCE's temperature is fixed in all of these runs, AnInfoNCE's concentrations are trained: they do not tell "
        "what is due to the anisotropy and what to a trained temperature. Add a run with "
        "--objective infonce --trainable-temperature."
    )


def runs_not_measured(runs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """What runs could not measure and why, a line a run and reason.

    Arguments:
        runs: the contents of `results.json` of training runs.
        names: what to call each.
    """
    return [f"{name}: {line}" for run, name in zip(runs, names, strict=True) for line in not_measured(run)]


def not_measured(results: Mapping[str, Any]) -> list[str]:
    """A line a reason; none where the results come from before reasons were kept, or were changed by hand."""
    found = results.get("not_measured")
    if not isinstance(found, Mapping):
        return []
    return reasons({str(name): str(reason) for name, reason in found.items()})


def compare_table(summary: Mapping[str, Mapping[str, Sequence[float]]], notes: Sequence[str] = ()) -> Table:
    """Setting and layer by measure: mean ± standard deviation over the runs of a setting that have the measure.

    Arguments:
        summary: what `summarize` returned.
        notes: lines below the table.
    """
    table = new_table("readouts, held out", notes)
    table.add_column("objective")
    table.add_column("runs", justify="right")
    table.add_column("layer")
    for heading, _ in SUMMARY.values():
        table.add_column(heading, justify="right")
    for setting, measures in summary.items():
        for layer in LAYERS:
            cells = [_cell(measures.get(f"{layer}/{m}"), scale) for m, (_, scale) in SUMMARY.items()]
            first = layer == LAYERS[0]
            runs = str(max((len(values) for values in measures.values()), default=0))
            add_row(table, label(setting) if first else "", runs if first else "", layer, *cells)
        table.add_section()
    return table


def mean_of_measured(values: Sequence[float]) -> float:
    """The mean of the finite ones among the values; NaN if there is none."""
    found = [value for value in values if math.isfinite(value)]
    return statistics.fmean(found) if found else math.nan


def _cell(values: Sequence[float] | None, scale: float) -> str:
    found = [scale * value for value in values or () if math.isfinite(value)]
    if not values or not found:
        return "–"
    digits = 1 if scale == 100 else 3
    text = f"{statistics.fmean(found):.{digits}f}"
    if len(found) > 1:
        text += f" ± {statistics.stdev(found):.{digits}f}"
    return text if len(found) == len(values) else f"{text} ({len(found)} of {len(values)} runs)"


def training_table(results: Mapping[str, Any]) -> Table:
    """One run: every readout of backbone and projector, and below why one is missing."""
    table = new_table(
        f"{label(results['method'])} on {results['config']['data']}: readouts, held out", not_measured(results)
    )
    table.add_column("readout")
    for layer in LAYERS:
        table.add_column(layer, justify="right")
    for row in readout_rows(results["metrics"]):
        add_row(table, *row)
    return table


def readout_rows(metrics: Mapping[str, float | None]) -> list[list[str]]:
    """Every readout's name and unit, its number at the backbone and at the projector; a dash where there is none."""
    rows = []
    names = [name.partition("/") for name in metrics if name.startswith(tuple(f"{layer}/" for layer in LAYERS))]
    for name in dict.fromkeys(name for _, _, name in names):
        scale, unit = (100, ", %") if "accuracy" in name else (1, "")
        values = [metrics.get(f"{layer}/{name}") for layer in LAYERS]
        rows.append([name + unit, *("–" if value is None else _cell([value], scale) for value in values)])
    return rows


def training_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """How the training went, Λ̂'s spectrum, and R² of every augmentation parameter. Returns the files' paths."""
    history = results["history"]
    draws: list[Callable[[Axes], None]] = [
        lambda axis: draw_curve(axis, history, "loss", "loss, nats", "loss"),
        lambda axis: draw_curve(axis, history, "hit_at_1", "Hit@1, share of anchors", "positives found"),
        lambda axis: draw_curve(axis, history, "effective_rank", "effective rank, dimensions", "effective rank"),
        lambda axis: draw_spectrum_over_time(axis, history),
    ]
    if spectra(history).shape[1] > 1:
        draws.append(lambda axis: draw_spectrum(axis, history))
    draws += [
        partial(draw_readouts, history=history, measures=measures, ylabel=ylabel, title=title)
        for measures, ylabel, title in ONLINE
        if any(f"{LAYERS[0]}/{measure}" in record["readouts"] for measure in measures for record in history)
    ]
    draws.append(lambda axis: _parameter_panel(axis, dict.fromkeys(LAYERS, results["metrics"]), per_layer=True))
    figure, axes = new_figure(len(draws), columns=3)
    for axis, draw in zip(axes, draws, strict=True):
        draw(axis)
    return save_figure(figure, out, "training")


def _parameter_panel(axis: Axes, rows: Mapping[str, Mapping[str, Any]], *, per_layer: bool, layer: str = "") -> None:
    """Bars: the R² of every numeric parameter, one colour a row of `rows` (a layer, or a setting at one layer)."""
    prefix = f"{LAYERS[0] if per_layer else layer}/r2/"
    names = sorted({name.removeprefix(prefix) for row in rows.values() for name in row if name.startswith(prefix)})
    height = 0.8 / max(1, len(rows))
    for i, ((name, metrics), color) in enumerate(zip(rows.items(), PALETTE, strict=False)):
        at = name if per_layer else layer
        found = [np.array(metrics.get(f"{at}/r2/{parameter}", np.nan), np.float64, ndmin=1) for parameter in names]
        values = [value[np.isfinite(value)] for value in found]  # None, not finite: NaN
        axis.barh(
            np.arange(len(names)) + i * height,
            [float(v.mean()) if v.size else math.nan for v in values],
            height,
            xerr=[float(v.std(ddof=1)) if v.size > 1 else 0.0 for v in values],
            color=color,
            label=name if per_layer else without_math(label(name)),
        )
    axis.set_yticks(np.arange(len(names)) + 0.4 - height / 2, [without_math(name) for name in names])
    axis.invert_yaxis()
    axis.set(xlabel="held-out R²", title=f"augmentation parameters{'' if per_layer else f', {layer}'}")
    _legend(axis)


def _legend(axis: Axes) -> None:
    """A legend, where there is something to name."""
    if axis.get_legend_handles_labels()[1]:
        axis.legend(fontsize=7)


def compare_figure(summary: Mapping[str, Mapping[str, Sequence[float]]], out: Path) -> list[Path]:
    """Classes against augmentations, and every parameter at backbone and projector. Returns the files' paths."""
    figure, (trade_off, *bars) = new_figure(3)
    for (setting, measures), color in zip(summary.items(), PALETTE, strict=False):
        text = without_math(label(setting))
        for layer, marker in zip(LAYERS, ("o", "s"), strict=True):
            x, y = measures.get(f"{layer}/augmentation_r2"), measures.get(f"{layer}/class_accuracy")
            if x and y:
                trade_off.plot(x, 100 * np.array(y), marker, color=color, label=f"{text}, {layer}", alpha=0.8)
    trade_off.set(xlabel="augmentations, mean R²", ylabel="classes, %", title="what is kept")
    _legend(trade_off)
    for axis, layer in zip(bars, LAYERS, strict=True):
        _parameter_panel(axis, summary, per_layer=False, layer=layer)
    return save_figure(figure, out, "compare")
