"""What the pages share: everything in one file, texts escaped, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from aninfonce._extras import require
from aninfonce._runs import atomically
from aninfonce._text import printable

__all__ = ["embedded", "render"]

_SHARP = 400_000  # bytes: an SVG below is embedded as it is, above (pictures in it) the PNG takes its place


def render(path: Path, template: str, **content: Any) -> None:
    """Write a page, atomically.

    Arguments:
        path: the path of the HTML file; its folder must exist.
        template: name of a file of this package.
        content: what the template shows; every text is escaped.

    Raises:
        MissingExtraError: if jinja2 is not installed.
        OSError: if the file cannot be written.
    """
    jinja: Any = require("jinja2", "app")
    loader = jinja.FunctionLoader(_read)
    environment = jinja.Environment(
        loader=loader, autoescape=True, trim_blocks=True, undefined=jinja.StrictUndefined, finalize=_shown
    )
    style = _read("style.css")
    # The only thing besides pictures in the page itself that a browser may use; no script runs, nothing is loaded.
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    text = environment.get_template(template).render(
        content, policy=policy, style=require("markupsafe", "app").Markup(style)
    )
    with atomically(path) as temporary:
        temporary.write_text(text, "utf-8", newline="\n")  # the style's digest is that of these very bytes


def _read(name: str) -> str:
    return files("aninfonce.report").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _shown(value: object) -> object:
    """What a template shows: names from outside may hold line breaks, marks that turn the writing, bytes of no text."""
    return printable(value) if type(value) is str else value


def embedded(svg: Path) -> str:
    """A figure as a data URI; as an image it can neither run scripts nor load anything.

    Arguments:
        svg: its SVG file, beside which its PNG lies.
    """
    small = svg.stat().st_size < _SHARP
    content = (svg if small else svg.with_suffix(".png")).read_bytes()
    kind = "svg+xml" if small else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
