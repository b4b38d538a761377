"""Figure of the bias of the learned concentrations: by the negatives, the directions, the sampler."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce.report._style import PALETTE, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["negatives_figure"]


def negatives_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """Λ̂ of content and of style with trained encoders, a row a variant; below with an oracle, and its loss at Λ.

    Returns the files' paths.
    """
    facts = results["facts"]
    every = {"trained": facts["rows"], "oracle (f = identity)": facts.get("oracle_rows", {})}
    blocks = {name: rows for name, rows in every.items() if rows}
    groups = list(facts["true"])
    tallest = max(len(rows) for rows in blocks.values())
    figure, axes = new_figure(3 * len(blocks), width=3.9, height=max(2.6, 0.24 * tallest + 1.2), columns=3)
    for place, (block, rows) in enumerate(blocks.items()):
        panels = axes[3 * place : 3 * place + 3]
        for axis, group, color in zip(panels, groups, PALETTE, strict=False):
            true = facts["true"][group]
            _draw(axis, results, rows, f"concentration_{group}", group, color)
            axis.axvline(true, color="0.4", linewidth=0.9, linestyle=(0, (4, 3)), label="true Λ")
            low, high = axis.get_xlim()
            axis.set_xlim(min(low, 0.94 * true), max(high, 1.06 * true))
            axis.set(xlabel="mean Λ̂ (no factor 1/2)")
            axis.set_title(f"{block}: {group}, Λ = {true:g}", fontsize=9)
        _draw(panels[2], results, rows, "loss", "loss", PALETTE[2])
        of = "at Λ̂ = Λ, batches of 1000" if place else "of 1024 held-out pairs"
        panels[2].set(xlabel=f"loss, nats, {of}")
        panels[2].set_title(f"{block}: loss", fontsize=9)
        panels[0].set_yticks(range(len(rows)), list(rows.values()), fontsize=7)
        panels[0].legend(fontsize=7, loc="best")
        for axis in panels[1:]:
            axis.set_yticks(range(len(rows)), [])
    return save_figure(figure, out, results["name"])


def _draw(
    axis: Axes, results: Mapping[str, Any], rows: Mapping[str, str], measure: str, published: str, color: str
) -> None:
    """A row a method, a point a seed; what the public code's log says, where it says something."""
    for row, method in enumerate(rows):
        values = [v for v in results["per_seed"].get(f"{method}/{measure}", ()) if v is not None]
        label = "measured, a point a seed" if row == 0 else None
        axis.plot(values, np.full(len(values), row), "o", color=color, ms=5, alpha=0.8, label=label)
    for method, numbers in results["facts"]["published"].items():
        if method in rows and published in numbers:
            at = numbers[published], list(rows).index(method)
            axis.plot(*at, "D", mfc="none", color="black", ms=8, label="public code's log")
    axis.set_ylim(len(rows) - 0.5, -0.5)
