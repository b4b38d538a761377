"""Tables over several experiments: what there is, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aninfonce.report._measures import heading, shown
from aninfonce.report._style import label
from aninfonce.report._table import add_row, new_table

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["experiments_table", "scores", "summary_table"]

CORES = 2  # that costs are told for


def experiments_table(listed: Sequence[Mapping[str, Any]]) -> Table:
    """One row an experiment: name, what it shows, the published figures, its cost."""
    table = new_table("experiments: aninfonce reproduce NAME", show_lines=True)
    table.add_column("name", no_wrap=True)
    table.add_column("shows", ratio=2)
    table.add_column("published", ratio=2)
    table.add_column("runs", justify="right")
    table.add_column(f"minutes on {CORES} cores: full / --quick", justify="right")
    for row in listed:
        published = "; ".join(
            f"{label(r['name'].partition('/')[0])}: {heading(r['name'].partition('/')[2])} {r['value']:g}"
            for r in row["references"]
            if r["source"] == "published"
        )
        cost = " / ".join(f"{seconds / 60 / CORES:.1f}" for seconds in row["core_seconds"])
        add_row(
            table,
            row["name"],
            row["shows"],
            published or "–",
            str(row["runs"]),
            cost if row["included"] else "needs GPUs",
        )
    return table


def summary_table(done: Sequence[Mapping[str, Any]], failures: Mapping[str, str]) -> Table:
    """One row an experiment: how long it took, and how many of its references are within their tolerances."""
    table = new_table("experiments")
    table.add_column("experiment")
    for name in ("minutes", "core-minutes", "within tolerance"):
        table.add_column(name, justify="right")
    table.add_column("outside")
    for results in done:
        verdicts = [row for row in results["references"] if row["met"] is not None]
        outside = [f"{row['name']} {_short(row['ours'])}, not {row['value']:g}" for row in verdicts if not row["met"]]
        add_row(
            table,
            results["name"],
            f"{results['seconds'] / 60:.1f}",
            f"{results['cpu_seconds'] / 60:.1f}",
            f"{len(verdicts) - len(outside)} of {len(verdicts)}" if verdicts else "–",
            "; ".join(outside),
        )
    for name, reason in failures.items():
        add_row(table, name, "", "", "failed", reason)
    return table


def _short(value: float | None) -> str:
    return "not measured" if value is None or not math.isfinite(value) else f"{value:.3g}"


def scores(metrics: Mapping[str, float], columns: Sequence[str]) -> str:
    """A run's measures in one line."""
    return ", ".join(f"{heading(name)} {shown(name, metrics[name])}" for name in columns if name in metrics)
