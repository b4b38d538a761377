"""Figure of hard negatives: what each kind makes of Λ̂, beside what theory promises, and which latents are recovered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce.report._style import PALETTE, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["hard_negatives_figure"]

GROUPS = {"content": ("o", PALETTE[0]), "style": ("s", PALETTE[1])}


def hard_negatives_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """Λ̂ and R² by tilt, Λ̂ by β, Λ̂ of the k hardest: four panels; returns the files' paths."""
    figure, (tilts, recovered, betas, kept) = new_figure(4, width=3.7)
    _tilt_panel(tilts, results)
    _recovered_panel(recovered, results)
    _beta_panel(betas, results)
    _kept_panel(kept, results)
    return save_figure(figure, out, results["name"])


def _series(results: Mapping[str, Any], series: str) -> list[tuple[float, str]]:
    """(x, method) of a series' finished methods, in the order of x."""
    points = results["facts"]["points"]
    return sorted(
        (point["x"], method)
        for method, point in points.items()
        if point["series"] == series and f"{method}/r2" in results["per_seed"]
    )


def _draw(axis: Axes, results: Mapping[str, Any], series: str, measure: str, label: str, **look: Any) -> None:
    """The mean of a measure over the seeds, and a bar from the lowest to the highest."""
    found = _series(results, series)
    if not found:
        return
    values = [np.array(results["per_seed"][f"{method}/{measure}"], dtype=float) for _, method in found]
    means = np.array([v.mean() for v in values])
    reach = np.array([[m - v.min() for v, m in zip(values, means, strict=True)], [v.max() - v.mean() for v in values]])
    axis.errorbar([x for x, _ in found], means, yerr=reach.clip(0), capsize=2, ms=5, label=label, **look)


def _promise(axis: Axes, results: Mapping[str, Any], series: str, **look: Any) -> None:
    """What theory promises, a line a group of latents."""
    found = _series(results, series)
    points = results["facts"]["points"]
    for group, (_, color) in GROUPS.items():
        axis.plot([x for x, _ in found], [points[m][group] for _, m in found], color=color, linewidth=1, **look)


def _tilt_panel(axis: Axes, results: Mapping[str, Any]) -> None:
    _promise(axis, results, "tilted", linestyle="-")
    _promise(axis, results, "corrected", linestyle=":")
    for group, (marker, color) in GROUPS.items():
        measure = f"concentration_{group}"
        _draw(axis, results, "tilted", measure, f"{group}, as it is", fmt=marker, color=color)
        _draw(axis, results, "corrected", measure, f"{group}, corrected", fmt=marker, color=color, mfc="white")
    axis.axhline(0, color="0.4", linewidth=0.7)
    axis.set(xlabel="concentration Λ⁻ of the negatives", ylabel="learned Λ̂", title="near the anchor: Λ - Λ⁻, Λ (lines)")
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(0, 0.55))


def _recovered_panel(axis: Axes, results: Mapping[str, Any]) -> None:
    for group, (marker, color) in GROUPS.items():
        measure = f"r2_{group}"
        for kind, fill in (("tilted", color), ("corrected", "white")):
            name = f"{group}, {'as it is' if kind == 'tilted' else 'corrected'}"
            _draw(axis, results, kind, measure, name, fmt=marker + "-", color=color, mfc=fill)
            if _series(results, f"{kind}-from-the-start"):
                look = {"fmt": marker + "--", "color": color, "mfc": fill, "alpha": 0.6}
                _draw(axis, results, f"{kind}-from-the-start", measure, f"{name}, no warm-up", **look)
    axis.set(xlabel="concentration Λ⁻ of the negatives", ylabel="held-out linear R²", ylim=(-0.03, 1.03))
    axis.set_title("near the anchor: recovered latents")
    axis.legend(fontsize=6, loc="center left", bbox_to_anchor=(0, 0.4))


def _beta_panel(axis: Axes, results: Mapping[str, Any]) -> None:
    _promise(axis, results, "reweighted", linestyle="-")
    for group, (marker, color) in GROUPS.items():
        _draw(axis, results, "reweighted", f"concentration_{group}", group, fmt=marker, color=color)
    axis.set(xlabel="β of the re-weighting", ylabel="learned Λ̂", title="re-weighted: Λ/(1 + β) (lines)", yscale="log")
    facts = results["facts"]
    ticks = sorted({round(facts[group] / (1 + beta), 2) for group in GROUPS for beta in (0, 1, 2)})
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_yticks([], minor=True)
    axis.legend(fontsize=7)


def _kept_panel(axis: Axes, results: Mapping[str, Any]) -> None:
    names = {"reweighted": "all", "top-k": "consistent", "naive-top-k": "naive"}
    shown = {}
    for series, name in names.items():
        found = _series(results, series)
        if found and (series != "reweighted" or found[0][0] == 0):
            shown[name if series == "reweighted" else f"{name}\nk = {found[0][0]:g}"] = found[0][1]
    for offset, (group, (marker, color)) in zip((-0.08, 0.08), GROUPS.items(), strict=True):
        for place, method in enumerate(shown.values()):
            values = results["per_seed"][f"{method}/concentration_{group}"]
            label = group if place == 0 else None
            axis.plot([place + offset] * len(values), values, marker, color=color, label=label, ms=6, alpha=0.8)
        axis.axhline(results["facts"][group], color=color, linewidth=1)
    axis.set_xticks(range(len(shown)), list(shown))
    axis.set(xlim=(-0.5, len(shown) - 0.5), ylim=(0, None), ylabel="learned Λ̂", title="the k hardest: Λ (lines)")
    axis.legend(fontsize=7)
