"""Draws docs/images/architecture.svg from the import graph of the package.

    python tools/architecture.py             writes the picture
    python tools/architecture.py --check     fails if the committed picture is not the present graph's

The floors are those of the import contract in pyproject.toml. An arrow goes from a room to a room that it imports.
Arrows that follow from others are not drawn (what is drawn is the graph's transitive reduction); below its name each
room lists all that it imports. The private modules at the foot of the package, which every room may import, share one
box. Imports for type checkers only do not count.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
PACKAGE, FOOT = "aninfonce", "private modules"
WIDTH, BOX_WIDTH, BOX_HEIGHT, GAP, MARGIN = 980, 240, 60, 40, 24
FOOT_WIDTH, FOOT_LINE, LINE = 640, 88, 32  # pixels, and letters a line
# Where the middle of a room's box stands, as a share of the width, so that no arrow runs behind a box. A room that is
# not named here gets an equal share of its floor.
COLUMNS = {
    **{"cli": 0.5, "experiments": 0.2, "verification": 0.86, "report": 0.64, "training": 0.54},
    **{"data": 0.135, "models": 0.39, "metrics": 0.61, "distributions": 0.25, "objectives": 0.86},
}

Floors = Sequence[Sequence[str]]
Graph = Mapping[str, frozenset[str]]


def floors(pyproject: Path = ROOT / "pyproject.toml") -> Floors:
    """The rooms of each floor, from the top; the private modules are the lowest, by one name."""
    (contract,) = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
    rooms = [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]
    above = [[room for room in layer if not room.startswith("_")] for layer in rooms]
    return [*(layer for layer in above if layer), [FOOT]]


def private_modules() -> list[str]:
    """Their names, in alphabetical order."""
    children = grimp.build_graph(PACKAGE, cache_dir=None).find_children(PACKAGE)
    names = (child.removeprefix(f"{PACKAGE}.") for child in children)
    return sorted(name for name in names if name.startswith("_") and name != "__main__")


def room_graph() -> Graph:
    """Each room with the rooms that it imports."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    found: dict[str, set[str]] = {}
    for module in graph.modules - {PACKAGE, f"{PACKAGE}.__main__"}:
        own = _room(module)
        found.setdefault(own, set())
        targets = {_room(target) for target in graph.find_modules_directly_imported_by(module) if target != PACKAGE}
        found[own] |= targets - {own}
    return {room: frozenset(targets) for room, targets in found.items()}


def _room(module: str) -> str:
    name = module.split(".")[1]
    return FOOT if name.startswith("_") else name


def reduced(graph: Graph) -> list[tuple[str, str]]:
    """The arrows that do not follow from others, sorted."""
    return sorted(
        (room, target)
        for room, targets in graph.items()
        for target in targets
        if not any(target in _reachable(graph, other) for other in targets - {target})
    )


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        room = todo.pop()
        if room not in found:
            found.add(room)
            todo.extend(graph.get(room, ()))
    return found


def picture(storeys: Floors, graph: Graph, private: Sequence[str]) -> str:
    """The drawing as SVG."""
    rooms = [[room for room in storey if room == FOOT or room in graph] for storey in storeys]
    places = {
        room: (WIDTH * COLUMNS.get(room, (column + 0.5) / len(storey)), MARGIN + row * (BOX_HEIGHT + GAP))
        for row, storey in enumerate(rooms)
        for column, room in enumerate(storey)
    }
    height = MARGIN + len(rooms) * (BOX_HEIGHT + GAP) + MARGIN
    arrows = [_arrow(places[start], places[end]) for start, end in reduced(graph)]
    order = list(places)
    boxes = [_box(room, places[room], sorted(graph.get(room, ()), key=order.index), private) for room in order]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
            "<title>The rooms of aninfonce and what they import</title>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto">'
            '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            *arrows,
            *boxes,
            "</svg>\n",
        ]
    )


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (to_x, to_y) = (start[0], start[1] + BOX_HEIGHT), end
    middle = (y + to_y) / 2
    return (
        f'<path d="M{x:g} {y:g}C{x:g} {middle:g} {to_x:g} {middle:g} {to_x:g} {to_y:g}" fill="none" stroke="#555" '
        'stroke-width="1.4" marker-end="url(#head)"/>'
    )


def _box(room: str, place: tuple[float, float], imports: Sequence[str], private: Sequence[str]) -> str:
    """A room with all that it imports below its name; `place` is the middle of its upper edge."""
    x, y = place
    foot = room == FOOT
    width = FOOT_WIDTH if foot else BOX_WIDTH
    lines = _wrapped(private if foot else [name for name in imports if name != FOOT], FOOT_LINE if foot else LINE)
    texts = [
        f'<text x="{x:g}" y="{y + 34 + 13 * i:g}" font-size="11" fill="#333" text-anchor="middle">{escape(line)}</text>'
        for i, line in enumerate(lines)
    ]
    return "".join(
        [
            f'<rect x="{x - width / 2:g}" y="{y:g}" width="{width}" height="{BOX_HEIGHT}" rx="6" '
            f'fill="{"#f0f0f0" if foot else "#e3eef8"}" stroke="#0072B2"/>',
            f'<text x="{x:g}" y="{y + 19:g}" font-size="15" font-weight="bold" text-anchor="middle">',
            f"{escape(room)}</text>",
            *texts,
        ]
    )


def _wrapped(names: Sequence[str], letters: int) -> list[str]:
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > letters:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{name}"
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the picture, or compare it with the committed one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed picture; write nothing")
    parser.add_argument("--out", type=Path, default=PICTURE)
    options = parser.parse_args(arguments)
    drawn = picture(floors(), room_graph(), private_modules())
    if not options.check:
        options.out.write_text(drawn, encoding="utf-8")
    elif not options.out.is_file() or options.out.read_text(encoding="utf-8") != drawn:
        raise SystemExit(f"{options.out} is not the picture of the present imports: run make architecture")


if __name__ == "__main__":
    main()
