"""Training runs as a terminal shows them while they train: where they stand, and their curves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aninfonce._arrays import FloatArray
from aninfonce._extras import require
from aninfonce._text import printable
from aninfonce.report._braille import draw_lines, thin
from aninfonce.report._style import PALETTE
from aninfonce.report.log_history import number
from aninfonce.report.run_log import RunLog

if TYPE_CHECKING:
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

__all__ = ["epoch_line", "status_line", "watch_view"]

# The palette's colours that are seen on black and on white.
COLORS = (PALETTE[5], PALETTE[1], PALETTE[2], PALETTE[3], PALETTE[4], PALETTE[0])
_LABEL = 7  # characters of the numbers at a chart's left edge
_POINTS = 150  # of a line: about two a character
_AGES = 1e9  # seconds; longer times are none
_HEIGHTS = (4, 12)  # rows of a chart, at least and at most

Lines = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Curves:
    """A chart: its title, and what it takes from a run's log.

    Attributes:
        title: stands above.
        lines: the lines of the log.
        values: numbers of every line; the last one of the first stands in the title.
        plain: how many of them are not dim.
        form: the format of numbers.
        logarithmic: the scale.
    """

    title: str
    lines: Callable[[RunLog], Lines]
    values: tuple[Callable[[Mapping[str, Any]], float], ...]
    plain: int = 1
    form: str = ".3g"
    logarithmic: bool = False


def _field(*path: str) -> Callable[[Mapping[str, Any]], float]:
    return lambda line: number(line, *path)


def _quantile(share: float) -> Callable[[Mapping[str, Any]], float]:
    def read(line: Mapping[str, Any]) -> float:
        entries = line.get("concentration")
        values = [number({"": entry}, "") for entry in entries] if isinstance(entries, list) else []
        positive = [value for value in values if value > 0]
        return float(np.quantile(positive, share)) if positive else math.nan

    return read


def _readouts(measure: str) -> tuple[Callable[[Mapping[str, Any]], float], ...]:
    return tuple(_field("readouts", f"{layer}/{measure}") for layer in ("backbone", "projector"))


def _epochs(log: RunLog) -> Lines:
    return log.epochs


def _steps(log: RunLog) -> Lines:
    """Lines from inside the epochs; of a run too short to have two of them, the epochs'."""
    return log.steps if len(log.steps) > 1 else log.epochs


CURVES = (
    _Curves("loss, nats", _steps, (_field("loss"),), form=".4g"),
    _Curves("Hit@1", _epochs, (_field("hit_at_1"),)),
    _Curves("effective rank", _epochs, (_field("effective_rank"),)),
    _Curves("concentration", _epochs, tuple(map(_quantile, (0.5, 0.25, 0.75, 0, 1))), plain=3, logarithmic=True),
    _Curves("classes, linear", _epochs, _readouts("class_accuracy")),
    _Curves("classes, neighbours", _epochs, _readouts("knn_accuracy")),
    _Curves("augmentations, R²", _epochs, _readouts("augmentation_r2")),
    _Curves("images/s", _steps, (_field("images_per_second"),), form=".0f"),
)
LEGEND = "Concentration: median and quartiles, dim the extremes. Readouts: backbone, dim the projector."


def watch_view(logs: Sequence[RunLog], width: int, height: int) -> Group:
    """Every run's state, and the charts that have something to show, for rich to print.

    Arguments:
        logs: the runs, each in a colour of its own.
        width: the width of the terminal, characters.
        height: the height of the terminal, rows; the charts are made to fit, down to four rows each.
    """
    console, table = require("rich.console", "app"), require("rich.table", "app")
    columns = max(1, min(3, width // 26))
    chosen = [curves for curves in CURVES if any(_drawn(curves, log) for log in logs)]
    rows = -(-len(chosen) // columns)
    room = (height - len(logs) - 2) // max(1, rows) - 2
    grid = table.Table.grid(expand=False)
    panels = [_chart(c, logs, width // columns, min(max(room, _HEIGHTS[0]), _HEIGHTS[1])) for c in chosen]
    for first in range(0, len(panels), columns):
        grid.add_row(*panels[first : first + columns])
    states = [status_line(log, COLORS[i % len(COLORS)]) for i, log in enumerate(logs)]
    legend = require("rich.text", "app").Text(LEGEND, style="dim") if panels else ""
    return console.Group(*states, grid, legend)  # type: ignore[no-any-return]


def status_line(log: RunLog, color: str = "") -> Text:
    """A run's state in one line: how far it is, its last numbers, when it will be done."""
    text: Text = require("rich.text", "app").Text(no_wrap=True, overflow="ellipsis")
    text.append(f"● {printable(log.name)} ", style=f"bold {color}")
    trouble = printable(log.trouble)
    if log.changed is None and not log.step:
        begun = "finished" if log.finished else "has not begun to write its log"
        return text.append(", ".join(filter(None, (trouble, begun))))
    total = f"/{log.total}" if log.total is not None else ""
    wanted = number(log.config, "epochs")
    epochs = f"epoch {log.epochs[-1]['epoch'] if log.epochs else 0}/{wanted:.0f}".replace("nan", "?")
    parts = [epochs, f"step {log.step}{total}"]
    if log.finished:
        parts.append("finished")
    else:
        left = log.seconds_left
        parts.append(f"{log.images_per_second:.0f} images/s" if math.isfinite(log.images_per_second) else "")
        parts.append("done in " + _duration(left))
        if log.changed is not None:
            parts.append(f"last line {_duration(max(0.0, time.time() - log.changed))} ago")
    if log.unreadable:
        parts.append(f"{log.unreadable} unreadable lines")
    parts.append(trouble)
    return text.append(", ".join(filter(None, parts)))


def epoch_line(line: Mapping[str, Any]) -> str:
    """An epoch's record in one line of plain text."""
    low, median, high = (_quantile(share)(line) for share in (0, 0.5, 1))
    parts = [
        f"epoch {line['epoch']}: loss {number(line, 'loss'):.3f}",
        f"Hit@1 {number(line, 'hit_at_1'):.2f}",
        f"effective rank {number(line, 'effective_rank'):.1f}",
        f"Λ̂ {low:.3g} … {median:.3g} … {high:.3g}" if high > low else f"Λ̂ {median:.3g}",
        *(
            f"{name} {number(line, 'readouts', name):.3f}"
            for name in (
                f"{layer}/{m}" for layer in ("backbone", "projector") for m in ("class_accuracy", "augmentation_r2")
            )
            if math.isfinite(number(line, "readouts", name))
        ),
        f"{number(line, 'images_per_second'):.0f} images/s",
    ]
    return ", ".join(parts)


def _drawn(curves: _Curves, log: RunLog) -> list[tuple[str, FloatArray, FloatArray]]:
    """The chart's lines of one run, without those that hold no number: style, steps, values."""
    lines = curves.lines(log)
    x = np.array([line["step"] for line in lines], dtype=np.float64)
    found = []
    for place, value in enumerate(curves.values):
        y = np.array([value(line) for line in lines], dtype=np.float64)
        if np.isfinite(y).any():
            style = "dim " if place >= curves.plain else ""
            found.append((style, *thin(x, np.log10(y) if curves.logarithmic else y, _POINTS)))
    return found


def _chart(curves: _Curves, logs: Sequence[RunLog], width: int, height: int) -> Panel:
    text_of, panel_of = require("rich.text", "app").Text, require("rich.panel", "app").Panel
    title, styles, lines = text_of(curves.title, style="default"), [], []
    for i, log in enumerate(logs):
        drawn, color = _drawn(curves, log), COLORS[i % len(COLORS)]
        for style, x, y in reversed(drawn):  # the first one on top
            styles.append(style + color)
            lines.append((x, y))
        if drawn:
            title.append(f" {_written(curves, y[-1])}", style=f"bold {color}")
    steps, values = (np.concatenate([line[axis] for line in lines]) for axis in (0, 1))
    low, high = float(values.min()), float(values.max())
    rows, owners = draw_lines(
        lines,
        width - _LABEL - 5,
        height,
        x_range=(float(steps.min()), float(steps.max())),
        y_range=(low, high),
    )
    text: Text = text_of(no_wrap=True)
    for place, (row, owned) in enumerate(zip(rows, owners, strict=True)):
        edge = {0: _written(curves, high), height - 1: _written(curves, low)}.get(place, "")
        text.append(f"{edge:>{_LABEL}} ")
        for character, line in zip(row, owned, strict=True):
            text.append(character, style=None if line is None else styles[line])
        text.append("\n" if place < height - 1 else "")
    panel: Panel = panel_of(text, title=title, title_align="left", width=width, border_style="bright_black")
    return panel


def _written(curves: _Curves, value: float) -> str:
    return format(10**value if curves.logarithmic else value, curves.form)


def _duration(seconds: float) -> str:
    if not abs(seconds) < _AGES:
        return "?"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}"
