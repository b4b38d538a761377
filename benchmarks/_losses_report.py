"""The tables and the figure of `losses.py`, from its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from _losses_bars import FLOORS, OURS, Row
from _pages import table
from aninfonce.report._style import PALETTE, save_figure

KINDS = {"positives": "cross-view negatives (CLIP)", "both": "same-view negatives too (NT-Xent)"}
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, _, BLACK = PALETTE
# Colour: whose it is; line and marker: which of theirs. The other rows are in the tables only.
STYLES: dict[str, dict[str, Any]] = {
    "aninfonce InfoNCE": {"color": BLUE, "marker": "o", "linewidth": 2.4},
    "aninfonce AnInfoNCE": {"color": BLUE, "marker": "o", "linestyle": "--", "markerfacecolor": "white"},
    "dense cross-entropy": {"color": VERMILLION, "marker": "s"},
    "info-nce-pytorch, both ways": {"color": GREEN, "marker": "^"},
    "lightly NTXentLoss": {"color": GREEN, "marker": "v"},
    "solo-learn simclr_loss_func": {"color": PURPLE, "marker": "D"},
    "pytorch-metric-learning SupConLoss": {"color": ORANGE, "marker": "P"},
    "pytorch-metric-learning NTXentLoss": {
        "color": ORANGE,
        "marker": "P",
        "linestyle": "--",
        "markerfacecolor": "white",
    },
    "hardware floor": {"color": BLACK, "linestyle": ":"},
}
TITLES = {"seconds_min": "CPU time of forward and backward pass", "peak_mb": "peak extra memory"}
ERRORS = {
    "value_error": "value",
    "u_error": "gradient u",
    "v_error": "gradient v",
    "parameter_error": "gradient Λ̂ or τ",
}

Grid = tuple[str, list[str], list[list[str]]]


def grids(results: Mapping[str, Any]) -> list[Grid]:
    """All tables as (title, header, rows of text)."""
    found: list[Grid] = []
    for negatives, kind in KINDS.items():
        rows = [row for row in results["rows"] if row["negatives"] == negatives]
        for field, title in TITLES.items():
            found.append((f"{kind}: {title}", *_by_batch(rows, field)))
    found.append(
        (
            "Largest relative error in float32, embeddings on a cap, Λ̂ ≈ 100 (τ = 0.005), batch "
            f"{results['accuracy_batch']}",
            ["", "negatives", *ERRORS.values()],
            [
                [row["contender"], row["negatives"], *(_number(row[field], ".1e") for field in ERRORS)]
                for row in results["accuracy"]
            ],
        )
    )
    found.append(
        (
            "Bars",
            ["", "measured", "bar", "aim", "verdict"],
            [
                [bar["name"], *(_number(bar[key], ".3g") for key in ("measured", "bar", "aim")), bar["verdict"]]
                for bar in results["bars"]
            ],
        )
    )
    return found


def _by_batch(rows: Sequence[Row], field: str) -> tuple[list[str], list[list[str]]]:
    """Contenders down, batches across; each with its multiple of ours."""
    batches = sorted({row["batch"] for row in rows if row["batch"] is not None})
    cells = {(row["contender"], row["batch"]): row for row in rows}
    lines = []
    for contender in dict.fromkeys(row["contender"] for row in rows):
        if field == "peak_mb" and contender in FLOORS:
            continue
        line = [str(contender)]
        for batch in batches:
            row = cells.get((contender, batch)) or cells.get((contender, None)) or {}
            value = row.get(field)
            if value is None:
                line.append(str(row.get("note") or "–"))
                continue
            ours = cells.get((OURS, batch), {}).get(field)
            shown = (
                _milliseconds(value) if field == "seconds_min" else f"{value:,.3g} MB" if value < 1000 else _gb(value)
            )
            line.append(f"{shown} ({_ratio(value / ours)}×)" if ours else shown)
        lines.append(line)
    return ["", *(f"{batch:,}" for batch in batches)], lines


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 9.95 else f"{value:,.0f}"


def _gb(megabytes: float) -> str:
    return f"{megabytes / 1e3:.3g} GB"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def show(results: Mapping[str, Any]) -> None:
    """Print the tables; a missed bar is red and says so."""
    console = Console()
    for title, header, rows in grids(results):
        table = Table(title=title, title_justify="left")
        for number, name in enumerate(header):
            table.add_column(name, justify="left" if number == 0 else "right")
        for row in rows:
            style = {"missed": "bold red", "not measured": "yellow"}.get(row[-1])
            table.add_row(*row, style=style)
        console.print(table)
    missed = [bar for bar in results["bars"] if not bar["met"]]
    met = len(results["bars"]) - len(missed)
    absent = sum(bar["measured"] is None for bar in missed)
    print(f"{met} bars met, {len(missed) - absent} missed, {absent} not measured. {results['machine']}")


def markdown(results: Mapping[str, Any]) -> str:
    """The tables for the documentation."""
    parts = []
    for title, header, rows in grids(results):
        parts.append(f"**{title}**\n\n{table(header, rows)}")
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n\n".join([*parts, f"{results['machine']}; {versions}."])


def draw(results: Mapping[str, Any], out: Path) -> list[Path]:
    """Time and memory against the batch, one row of panels a kind of negatives: `losses.png` and `losses.svg`."""
    figure = Figure(figsize=(12, 7), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True)
    for (negatives, kind), axes in zip(KINDS.items(), panels, strict=True):
        rows = [row for row in results["rows"] if row["negatives"] == negatives]
        batches = sorted({row["batch"] for row in rows if row["batch"] is not None})
        for axis, (field, title) in zip(axes, TITLES.items(), strict=True):
            scale = 1e3 if field == "seconds_min" else 1
            for contender, style in STYLES.items():
                points = _line(rows, contender, field)
                if points:
                    axis.plot(
                        list(points),
                        [scale * y for y in points.values()],
                        label=contender,
                        **{"markersize": 5, **style},
                    )
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            axis.set_xticks(batches, [f"{batch:,}" for batch in batches])
            axis.minorticks_off()
            axis.set_title(f"{title}\n{kind}", fontsize=10)
            axis.set_ylabel("milliseconds, one thread" if field == "seconds_min" else "MB")
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.25, linewidth=0.6)
        # Beside the panels: the lines leave no room inside. The panel of times has all contenders.
        handles, names = axes[0].get_legend_handles_labels()
        axes[1].legend(handles, names, fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5))
    for axis in panels[1]:
        axis.set_xlabel("batch (pairs of views)")
    out.mkdir(parents=True, exist_ok=True)
    return save_figure(figure, out, "losses")


def _line(rows: Sequence[Row], contender: str, field: str) -> dict[int, float]:
    """Batch -> value; of the floors the fastest."""
    names = FLOORS if contender == "hardware floor" else (contender,)
    points: dict[int, float] = {}
    for row in rows:
        if row["contender"] in names and row.get(field) is not None:
            points[row["batch"]] = min(row[field], points.get(row["batch"], float("inf")))
    return dict(sorted(points.items()))
