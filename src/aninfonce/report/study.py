"""Table and figures of any experiment, from the content of its `results.json`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aninfonce.report._blocks import blocks_figure
from aninfonce.report._checks_power import power_figure
from aninfonce.report._ensembles import ensembles_figure
from aninfonce.report._gap import gap_figures
from aninfonce.report._hard_negatives import hard_negatives_figure
from aninfonce.report._heatmap import heatmap_figure
from aninfonce.report._measures import heading, shown
from aninfonce.report._mnist_vae import mnist_vae_figures
from aninfonce.report._negatives import negatives_figure
from aninfonce.report._recovery import recovery_figure
from aninfonce.report._sprites import sprites_figures
from aninfonce.report._style import label
from aninfonce.report._sweep import sweep_figure
from aninfonce.report._table import add_row, new_table
from aninfonce.report._trade_off import trade_off_figure

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["reference_cells", "reference_table", "study_figures", "study_rows", "study_table"]

# The figures of an experiment, by its name: each draws from the results into a folder, and returns the files.
FIGURES: Mapping[str, Callable[[Mapping[str, Any], Path], list[Path]]] = {
    "content-style": recovery_figure,
    "linear-spectrum": recovery_figure,
    "dimensions": sweep_figure,
    "cifar10": trade_off_figure,
    "imagenet": trade_off_figure,
    "gap-marginal": gap_figures,
    "gap-conditional": gap_figures,
    "gap-injectivity": gap_figures,
    "gap-dimension": gap_figures,
    "gap-negatives": gap_figures,
    "gap-projector": gap_figures,
    "assumption-checks": power_figure,
    "hard-negatives": hard_negatives_figure,
    "ensembles": ensembles_figure,
    "mnist-vae": mnist_vae_figures,
    "sprites": sprites_figures,
    "blocks": blocks_figure,
    "ratio-temperature": heatmap_figure,
    "negatives-kind": negatives_figure,
    "negatives-number": sweep_figure,
    "batch-size": sweep_figure,
    "mixing-depth": sweep_figure,
}


def study_figures(results: Mapping[str, Any], out: Path) -> list[Path]:
    """Draw an experiment's figures as PNG and SVG into the folder; returns the files' paths."""
    return FIGURES[results["name"]](results, out)


def study_table(results: Mapping[str, Any]) -> Table:
    """Method by measure: the mean over seeds ± the standard deviation; in brackets the published figure."""
    seeds = len(results["seeds"])
    table = new_table(
        f"{results['name']}: {seeds} seed{'s' if seeds > 1 else ''}, held-out scores; (…) the published figure"
    )
    table.add_column("method")
    for measure in results["columns"]:
        table.add_column(heading(measure), justify="right")
    for row in study_rows(results):
        add_row(table, *row)
    return table


def study_rows(results: Mapping[str, Any]) -> list[list[str]]:
    """The table's rows: the method for readers, then a cell for each of the columns; methods that ran only."""
    rows = []
    for method in results["config"]["methods"]:
        cells = [_cell(results, f"{method}/{measure}", measure) for measure in results["columns"]]
        if any(cells):
            rows.append([label(method), *cells])
    return rows


def reference_table(results: Mapping[str, Any]) -> Table:
    """What was measured beside what was published or promised, and whether it is within the tolerance."""
    table = new_table(f"{results['name']}: held against the paper and the theory")
    table.add_column("quantity")
    table.add_column("source")
    for name in ("expected", "ours"):
        table.add_column(name, justify="right")
    table.add_column("within tolerance")
    for row in results["references"]:
        add_row(table, *reference_cells(row))
    return table


def reference_cells(row: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    """One reference in words: quantity, source, expected, ours, verdict."""
    method, _, measure = row["name"].partition("/")
    source = f"{row['source']}: {row['note']}" if row["note"] else row["source"]
    relation = {"=": "", ">=": "≥ ", "<=": "≤ "}[row["relation"]]
    tolerance = f" ± {row['tolerance']:g}" if row["tolerance"] else ""
    measured = row["ours"] is not None and math.isfinite(row["ours"])
    ours = shown(measure, row["ours"]) if measured else "not measured"
    verdict = {None: "", True: "yes", False: "NO"}[row["met"]]
    return f"{label(method)}: {heading(measure)}", source, f"{relation}{row['value']:g}{tolerance}", ours, verdict


def _cell(results: Mapping[str, Any], name: str, measure: str) -> str:
    values = results["per_seed"].get(name)
    if not values:
        return ""
    found = [value for value in values if value is not None and math.isfinite(value)]
    if not found:
        return "–"  # a number that this run does not have: a check that cannot be made, for example
    text = shown(measure, statistics.fmean(found))
    if len(found) > 1:
        text += f" ± {shown(measure, statistics.stdev(found))}"
    if len(found) < len(values):
        text += f" ({len(found)} of {len(values)} seeds)"
    published = results["published"].get(name)
    return text if published is None else f"{text} ({published:g})"
