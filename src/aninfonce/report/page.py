"""One self-contained page over several experiments: figures inside, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from aninfonce._extras import require
from aninfonce._runs import versions
from aninfonce.report._measures import heading
from aninfonce.report.study import reference_cells, study_rows

__all__ = ["write_page"]

_SHARP = 400_000  # bytes: an SVG below is embedded as it is, above (pictures in it) the PNG takes its place


def write_page(path: Path, done: Sequence[Mapping[str, Any]], failures: Mapping[str, str]) -> None:
    """Write the page, atomically.

    Arguments:
        path: of the HTML file; its folder must exist.
        done: the contents of `results.json`, each with "pictures", the paths of its figures (PNG and SVG of each).
        failures: experiment -> why it did not run.

    Raises:
        MissingExtraError: if jinja2 is not installed.
        OSError: if the file cannot be written.
    """
    jinja: Any = require("jinja2", "app")
    environment = jinja.Environment(autoescape=True, trim_blocks=True, undefined=jinja.StrictUndefined)
    template = environment.from_string(files("aninfonce.report").joinpath("page.html.jinja").read_text("utf-8"))
    text = template.render(
        done=[_section(results) for results in done],
        failures=failures,
        minutes=sum(results["seconds"] for results in done) / 60,
        versions=versions(),
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)


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
        "images": [_embedded(path) for path in results["pictures"] if path.suffix == ".svg"],
    }


def _embedded(svg: Path) -> str:
    """The figure as a data URI."""
    small = svg.stat().st_size < _SHARP
    content = (svg if small else svg.with_suffix(".png")).read_bytes()
    kind = "svg+xml" if small else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
