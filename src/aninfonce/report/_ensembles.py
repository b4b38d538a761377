"""Figure of ensembles: which latent each dimension shows, by method; how well they match; the Λ̂ of every family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce.report._style import PALETTE, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ensembles_figure"]

USES = {"first": "family 1 alone", "second": "family 2 alone", "pooled": "both, one Λ̂", "both": "ensemble"}


def ensembles_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """A picture of the linear map for every method, then its numbers; returns the files' paths."""
    shown = [method for method in results["config"]["methods"] if results["details"].get(method)]
    figure, axes = new_figure(len(shown) + 2, width=3.1, height=3.3, columns=4)
    for axis, method in zip(axes, shown, strict=False):
        _map_panel(axis, results, method)
    _correlation_panel(axes[-2], results, shown)
    _concentration_panel(axes[-1], results, shown)
    return save_figure(figure, out, results["name"])


def _name(method: str) -> str:
    case, _, use = method.partition("-")
    return USES[use] if case == "distinct" else f"{USES[use]},\nshared blocks"


def _map_panel(axis: Axes, results: Mapping[str, Any], method: str) -> None:
    """Squared weights from latents to dimensions, of the first seed; lines where a family's Λ changes."""
    weights = np.array(results["details"][method][0]["weights"]).clip(0)
    families = results["facts"]["families"][method.partition("-")[0]]
    # Latents side by side that the family of this method varies alike.
    leading = families[1] if method.endswith("second") else families[0]
    order = sorted(range(len(leading)), key=lambda i: (-leading[i], -families[0][i], -families[1][i]))
    axis.imshow(np.sqrt(weights[np.ix_(order, order)]), cmap="Blues", vmin=0, vmax=np.sqrt(weights.max()))
    for place in range(1, len(order)):
        if leading[order[place]] != leading[order[place - 1]]:
            for line in (axis.axhline, axis.axvline):
                line(place - 0.5, color=PALETTE[1], linewidth=0.9)
    labels = [str(i + 1) for i in order]
    axis.set_xticks(range(len(order)), labels, fontsize=7)
    axis.set_yticks([])
    axis.grid(False)
    axis.set(xlabel="latent", ylabel="dimension", title=_name(method).replace("\n", " "))
    axis.title.set_fontsize(9)


def _correlation_panel(axis: Axes, results: Mapping[str, Any], shown: list[str]) -> None:
    for place, method in enumerate(shown):
        color = PALETTE[0] if method.startswith("distinct") else PALETTE[2]
        values = results["per_seed"][f"{method}/mean_correlation"]
        axis.plot(values, [place] * len(values), "o", color=color, ms=6, alpha=0.8)
    axis.set_yticks(range(len(shown)), [_name(method) for method in shown], fontsize=7)
    axis.set(xlabel="mean correlation after matching", ylim=(len(shown) - 0.5, -0.5))
    axis.axvline(1, color="0.4", linewidth=0.8)


def _concentration_panel(axis: Axes, results: Mapping[str, Any], shown: list[str]) -> None:
    """Λ̂^(k) of the ensemble against Λ^(k), one point a latent and seed."""
    method = "distinct-both"
    true = np.array(results["facts"]["families"]["distinct"])
    if method in shown:
        for k, (marker, color) in enumerate(zip("os", PALETTE, strict=False)):
            learned = np.array([run["matched"][k] for run in results["details"][method]])
            # Apart by a little, so that the two families do not hide each other.
            x = np.tile(true[k] * (0.96, 1.04)[k], len(learned))
            axis.plot(x, learned.ravel(), marker, color=color, mfc="none", label=f"family {k + 1}", ms=5)
    low, high = 0.75 * true.min(), 1.3 * true.max()
    axis.plot([low, high], [low, high], color="0.5", linewidth=0.8, label="Λ̂ = Λ")
    axis.set(xscale="log", yscale="log", xlabel="true Λ⁽ᵏ⁾", ylabel="learned Λ̂⁽ᵏ⁾", title="ensemble: its Λ̂⁽ᵏ⁾")
    axis.title.set_fontsize(9)
    ticks = sorted(set(true.ravel().tolist()))
    for which in (axis.xaxis, axis.yaxis):
        which.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        which.set_ticks([], minor=True)
    axis.legend(fontsize=7)
