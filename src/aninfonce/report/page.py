"""One self-contained page over several experiments: figures inside, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aninfonce._runs import versions
from aninfonce.report._html import embedded, render
from aninfonce.report._measures import heading
from aninfonce.report.study import reference_cells, study_rows

__all__ = ["write_page"]


def write_page(path: Path, done: Sequence[Mapping[str, Any]], failures: Mapping[str, str]) -> None:
    """Write the page, atomically.

    Arguments:
        path: the path of the HTML file; its folder must exist.
        done: the contents of `results.json`, each with "pictures", the paths of its figures (PNG and SVG of each).
        failures: experiment -> why it did not run.

    Raises:
        MissingExtraError: if jinja2 is not installed.
        OSError: if the file cannot be written.
    """
    render(
        path,
        "page.html.jinja",
        done=[_section(results) for results in done],
        failures=failures,
        minutes=sum(results["seconds"] for results in done) / 60,
        versions=versions(),
    )


def _section(results: Mapping[str, Any]) -> dict[str, Any]:
    references = []
    for row in results["references"]:
        quantity, source, expected, ours, verdict = reference_cells(row)
        style = {None: "", True: "met", False: "missed"}[row["met"]]
        references.append(
            {
                "quantity": quantity,
                "source": source,
                "expected": expected,
                "ours": ours,
                "verdict": verdict,
                "style": style,
            }
        )
    return {
        **{key: results[key] for key in ("name", "title", "seeds", "cpu_seconds", "complete")},
        "reference_rows": references,
        "headings": [heading(measure) for measure in results["columns"]],
        "rows": study_rows(results),
        "images": [embedded(path) for path in results["pictures"] if path.suffix == ".svg"],
    }
