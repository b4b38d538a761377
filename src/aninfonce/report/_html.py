"""What the pages share: everything in one file, texts escaped, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path
from typing import Any

from aninfonce._extras import require
from aninfonce._runs import atomically

__all__ = ["embedded", "render"]

_SHARP = 400_000  # bytes: an SVG below is embedded as it is, above (pictures in it) the PNG takes its place


def render(path: Path, template: str, **content: Any) -> None:
    """Write a page, atomically.

    Arguments:
        path: of the HTML file; its folder must exist.
        template: name of a file of this package.
        content: what the template shows; every text is escaped.

    Raises:
        MissingExtraError: if jinja2 is not installed.
        OSError: if the file cannot be written.
    """
    jinja: Any = require("jinja2", "app")
    loader = jinja.FunctionLoader(lambda name: files("aninfonce.report").joinpath(name).read_text("utf-8"))
    environment = jinja.Environment(loader=loader, autoescape=True, trim_blocks=True, undefined=jinja.StrictUndefined)
    text = environment.get_template(template).render(content)
    with atomically(path) as temporary:
        temporary.write_text(text, "utf-8", "backslashreplace")  # names of files may hold bytes that are no text


def embedded(svg: Path) -> str:
    """A figure as a data URI; as an image it can neither run scripts nor load anything.

    Arguments:
        svg: its SVG file, beside which its PNG lies.
    """
    small = svg.stat().st_size < _SHARP
    content = (svg if small else svg.with_suffix(".png")).read_bytes()
    kind = "svg+xml" if small else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
