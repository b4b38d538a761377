"""Figure of the checks by themselves: rejection rates by violation, for every sample size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aninfonce.report._rates import draw_rates, mean_of
from aninfonce.report._style import new_figure, save_figure

__all__ = ["power_figure"]


def power_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """Checks by violations, a panel a sample size; returns the files' paths."""
    facts = results["facts"]
    figure, axes = new_figure(len(facts["sizes"]), width=7.0, height=4.6)
    for axis, n in zip(axes, facts["sizes"], strict=True):
        rates = [
            [mean_of(results, f"{method}/{check}_{n}") for method, _ in facts["violations"]]
            for check in facts["checks"]
        ]
        draw_rates(axis, rates, facts["checks"], [text for _, text in facts["violations"]])
        axis.set_title(f"share of samples of {n} pairs in which a check rings (level .05)")
    return save_figure(figure, out, results["name"])
