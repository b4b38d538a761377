"""Panels of how a training went, epoch by epoch: its numbers, Λ̂'s spectrum, the readouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce._extras import require
from aninfonce._typing import FloatArray
from aninfonce.report._style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BANDS", "draw_curve", "draw_readouts", "draw_spectrum", "draw_spectrum_over_time", "numbers", "spectra"]

# Quantiles of Λ̂'s entries that bound a band, from the widest: (low, high, opacity).
BANDS = ((0.0, 1.0, 0.15), (0.1, 0.9, 0.2), (0.25, 0.75, 0.3))
# Epochs of one readout: colour and marker tell measures apart, the line's style the layers.
_STYLES = {"backbone": "-", "projector": "--"}
_MARKERS = ("o", "s", "^", "D")

History = Sequence[Mapping[str, Any]]


def numbers(history: History, name: str) -> FloatArray:
    """One number of every record, shape (epochs,); NaN where it was not finite."""
    return np.array([np.nan if record[name] is None else record[name] for record in history], dtype=np.float64)


def spectra(history: History) -> FloatArray:
    """Λ̂ in ascending order, shape (epochs, dim)."""
    return np.array([record["concentration"] for record in history], dtype=np.float64)


def draw_curve(axis: Axes, history: History, name: str, ylabel: str, title: str) -> None:
    """One number of every epoch."""
    axis.plot(numbers(history, "epoch"), numbers(history, name), color=PALETTE[0], **_visible(len(history)))
    axis.set(xlabel="epoch", ylabel=ylabel, title=title)


def draw_spectrum_over_time(axis: Axes, history: History) -> None:
    """Λ̂ along training: the median of its entries, with bands that hold half, 80 % and all of them."""
    epochs, values = numbers(history, "epoch"), spectra(history)
    if values.shape[1] > 1:
        for low, high, opacity in BANDS:
            below, above = np.quantile(values, (low, high), axis=1)
            share = "all" if high - low == 1 else f"{high - low:.0%}"
            axis.fill_between(epochs, below, above, color=PALETTE[0], alpha=opacity, linewidth=0, label=share)
    axis.plot(epochs, np.median(values, axis=1), color=PALETTE[0], label="median", **_visible(len(history)))
    axis.set(xlabel="epoch", ylabel="concentration Λ̂", title="Λ̂ along training")
    _logarithmic(axis)
    if values.shape[1] > 1:
        axis.legend(fontsize=7, title="entries", title_fontsize=7)


def draw_spectrum(axis: Axes, history: History) -> None:
    """Λ̂ from its largest entry to its smallest, at the first, a middle and the last epoch."""
    shown = sorted({0, len(history) // 2, len(history) - 1})
    for place, color, marker in zip(shown, PALETTE[:3], _MARKERS, strict=False):
        values = spectra(history[place : place + 1])[0, ::-1]
        axis.plot(
            np.arange(1, len(values) + 1),
            values,
            color=color,
            marker=marker,
            markersize=3,
            markevery=max(1, len(values) // 16),
            linewidth=1,
            label=f"epoch {history[place]['epoch']}",
        )
    axis.set(xlabel="rank of the entry", ylabel="concentration Λ̂", title="Λ̂'s spectrum")
    _logarithmic(axis)
    axis.legend(fontsize=7)


def draw_readouts(axis: Axes, history: History, measures: Mapping[str, str], ylabel: str, title: str) -> None:
    """Online readouts of both layers: measure -> its name for readers. Epochs without readouts are passed over."""
    for (measure, name), color, marker in zip(measures.items(), PALETTE, _MARKERS, strict=False):
        for layer, style in _STYLES.items():
            found = [(r["epoch"], r["readouts"][f"{layer}/{measure}"]) for r in _read(history, f"{layer}/{measure}")]
            if found:
                epochs, values = zip(*found, strict=True)
                axis.plot(epochs, values, style, color=color, marker=marker, markersize=4, label=f"{name}, {layer}")
    axis.set(xlabel="epoch", ylabel=ylabel, title=title)
    axis.margins(y=0.35)  # room for the legend
    axis.legend(fontsize=7, handlelength=3.5)


def _read(history: History, name: str) -> list[Mapping[str, Any]]:
    """The records that have a number for this readout."""
    return [record for record in history if record["readouts"].get(name) is not None]


def _logarithmic(axis: Axes) -> None:
    """A logarithmic scale whose numbers are written out, also between powers of ten."""
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(require("matplotlib.ticker", "app").LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("")


def _visible(points: int) -> dict[str, Any]:
    """Dots where there are few, so that a single epoch is seen."""
    return {"marker": "o", "markersize": 3} if points < 30 else {}
