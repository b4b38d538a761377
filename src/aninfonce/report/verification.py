"""Table of the checked statements, from the content of `results.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aninfonce.report._table import add_row, new_table, plain

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["verification_table"]

ROUNDING = 1e-6  # a smaller allowance is not worth a word


def verification_table(results: Mapping[str, Any]) -> Table:
    """Statement, prediction (± the bias that is allowed), measurement, standard error and verdict, row by row."""
    metrics = results["metrics"]
    verdict = f"{metrics['failed']:g} FAILED" if metrics["failed"] else "all hold"
    table = new_table(
        f"{metrics['statements']:g} statements, {metrics['comparisons']:g} comparisons at level "
        f"{results['level']:.0e} each (all together {results['family_wise']:g}): {verdict}"
    )
    table.add_column("statement", ratio=3)
    table.add_column("measured quantity", ratio=2)
    for heading in ("predicted", "measured", "standard error", "verdict"):
        table.add_column(heading, justify="right", overflow="fold")
    section = name = None
    for row in results["rows"]:
        if row["section"] != section:
            section = row["section"]
            table.add_section()
            add_row(table, plain(section, "bold"))
        text, name = row["statement"] if row["name"] != name else "", row["name"]
        add_row(table, text, *_cells(row), "holds" if row["holds"] else plain("FAILS", "bold red"))
    return table


def _cells(row: Mapping[str, Any]) -> list[str]:
    if "error" in row:
        return [f"could not be measured: {row['error']}", "", "", ""]
    relation = "" if row["relation"] == "=" else f"{row['relation']} "
    exact = not any(row["standard_error"])
    bias = "" if max(row["allowance"]) < ROUNDING else f" (± {_numbers(_once(row['allowance']), digits=2)})"
    return [
        row["what"],
        relation + _numbers(_once(row["predicted"])) + bias,
        _numbers(row["measured"]),
        "" if exact else _numbers(row["standard_error"], digits=2),
    ]


def _once(values: Sequence[float | None]) -> Sequence[float | None]:
    """The values, or the one that all of them are."""
    return values[:1] if len(set(values)) == 1 else values


def _numbers(values: Sequence[float | None], digits: int = 4) -> str:
    # null in the file: a number that was not finite
    return "  ".join("none" if value is None else f"{value:.{digits}g}" for value in values)
