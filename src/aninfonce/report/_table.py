"""Tables for the terminal, whose cells are texts: nothing in them is taken for markup or reaches the terminal raw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aninfonce._extras import require
from aninfonce._text import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

__all__ = ["add_row", "new_table", "plain"]


def plain(text: object, style: str = "") -> Text:
    """A text for rich, as it is."""
    found: Text = require("rich.text", "app").Text(printable(text), style=style)
    return found


def new_table(title: str, notes: Iterable[str] = (), **settings: Any) -> Table:
    """A table with its title at the left.

    Arguments:
        title: stands above.
        notes: lines below the table.
        settings: the settings of rich's table.
    """
    lines = [printable(note) for note in notes]
    table: Table = require("rich.table", "app").Table(
        title=plain(title, "table.title"),
        title_justify="left",
        caption=require("rich.text", "app").Text("\n".join(lines), style="table.caption") if lines else None,
        caption_justify="left",
        **settings,
    )
    return table


def add_row(table: Table, *cells: object) -> None:
    """Add a row of texts; a cell that is a rich text already keeps its style."""
    text = require("rich.text", "app").Text
    table.add_row(*(cell if isinstance(cell, text) else plain(cell) for cell in cells))
