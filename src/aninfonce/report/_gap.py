"""Figures of a broken assumption: what is recovered by its degree, and which checks ring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aninfonce.report._rates import draw_rates, mean_of
from aninfonce.report._style import label, new_figure, save_figure
from aninfonce.report._sweep import sweep_figure

__all__ = ["gap_figures"]


def gap_figures(results: Mapping[str, Any], out: Path) -> list[Path]:
    """The sweep (see `sweep_figure`), and NAME-checks: rejection rates by degree, a panel a series that was checked."""
    return [*sweep_figure(results, out), *_checks_figure(results, out)]


def _checks_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    facts, per_seed = results["facts"], results["per_seed"]
    checked: dict[str, list[tuple[float, str]]] = {}
    for method, point in facts["points"].items():
        if f"{method}/rings_{facts['checks'][0]}" in per_seed:
            checked.setdefault(point["series"], []).append((point["x"], method))
    if not checked:
        return []
    figure, axes = new_figure(len(checked), width=5.0)
    for axis, (series, methods) in zip(axes, checked.items(), strict=True):
        methods.sort()
        rates = [[mean_of(results, f"{method}/rings_{check}") for _, method in methods] for check in facts["checks"]]
        draw_rates(axis, rates, facts["checks"], [f"{x:g}" for x, _ in methods])
        axis.set(xlabel=facts["axis"]["label"], title=f"{label(series)}\nhow often the checks ring (level .05)")
    return save_figure(figure, out, f"{results['name']}-checks")
