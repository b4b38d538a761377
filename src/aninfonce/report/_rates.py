"""A matrix of rates: how often each check rings, in each situation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce.report._measures import heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_rates", "mean_of"]


def mean_of(results: Mapping[str, Any], name: str) -> float:
    """The mean over the seeds of METHOD/MEASURE; NaN if it was not measured or not finite."""
    value = results["metrics"].get(name)
    return float("nan") if value is None else float(value)


def draw_rates(axis: Axes, rates: Sequence[Sequence[float]], checks: Sequence[str], situations: Sequence[str]) -> None:
    """One cell a check (rows) and situation (columns), the rate as colour and number; NaN as a dash on grey.

    Arguments:
        axis: to draw on.
        rates: in [0, 1] or NaN, one row a check.
        checks: names of the rows.
        situations: labels of the columns.
    """
    values = np.array(rates, dtype=np.float64).reshape(len(checks), len(situations))
    axis.set_facecolor("0.88")
    axis.grid(False)
    axis.imshow(np.ma.masked_invalid(values), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        text, color = ("–", "0.3") if np.isnan(value) else (f"{value:.2f}", "white" if value > 0.6 else "black")
        axis.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    axis.set_yticks(range(len(checks)), [heading(check) for check in checks], fontsize=8)
    long = max(map(len, situations), default=0) > 6
    turn: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if long else {}
    axis.set_xticks(range(len(situations)), list(situations), fontsize=8, **turn)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
