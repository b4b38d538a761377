"""Figure of the bias of the learned concentrations by the kind of negatives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aninfonce.report._style import PALETTE, new_figure, save_figure

__all__ = ["negatives_figure"]


def negatives_figure(results: Mapping[str, Any], out: Path) -> list[Path]:
    """Λ̂ of content and of style, a row a kind of negatives, a point a seed. Returns the files' paths."""
    facts = results["facts"]
    rows: Mapping[str, str] = facts["rows"]
    figure, axes = new_figure(len(facts["true"]), width=4.4, height=3.2)
    for axis, (group, true), color in zip(axes, facts["true"].items(), PALETTE, strict=False):
        for row, method in enumerate(rows):
            values = [v for v in results["per_seed"].get(f"{method}/concentration_{group}", ()) if v is not None]
            label = "learned, a point a seed" if row == 0 else None
            axis.plot(values, np.full(len(values), row), "o", color=color, ms=6, alpha=0.8, label=label)
        for method, published in facts["published"].items():
            axis.plot(
                published[group], list(rows).index(method), "D", mfc="none", color="black", ms=8, label="public code"
            )
        axis.axvline(true, color="0.4", linewidth=0.9, linestyle=(0, (4, 3)), label="true Λ")
        low, high = axis.get_xlim()
        margin = 0.06 * true
        axis.set_xlim(min(low, true - margin), max(high, true + margin))
        axis.set_yticks(range(len(rows)), list(rows.values()))
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set(xlabel="mean Λ̂ (no factor 1/2)", title=f"{group}: Λ = {true:g}")
    axes[0].legend(fontsize=7, loc="best")
    for axis in axes[1:]:
        axis.tick_params(labelleft=False)
    return save_figure(figure, out, results["name"])
