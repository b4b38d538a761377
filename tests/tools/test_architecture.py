"""The picture of the rooms is that of the present imports, and its arrows are the graph's."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

import architecture


@pytest.fixture(scope="module")
def graph():
    return architecture.room_graph()


def test_the_committed_picture_is_up_to_date():
    architecture.main(["--check"])


def test_a_stale_picture_is_refused(tmp_path):
    stale = tmp_path / "architecture.svg"
    with pytest.raises(SystemExit, match="run make architecture"):
        architecture.main(["--check", "--out", str(stale)])
    architecture.main(["--out", str(stale)])
    architecture.main(["--check", "--out", str(stale)])
    stale.write_text(stale.read_text().replace("experiments", "trials"))
    with pytest.raises(SystemExit, match="run make architecture"):
        architecture.main(["--check", "--out", str(stale)])


def test_every_room_has_a_box_and_every_box_its_own_place(graph):
    svg = ElementTree.fromstring(architecture.picture(architecture.floors(), graph, architecture.private_modules()))
    names = {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert set(graph) <= names
    shown = [r for r in svg.iter("{http://www.w3.org/2000/svg}rect") if r.get("x")]
    assert len(shown) == len(graph)
    boxes = [[float(rect.get(key)) for key in ("x", "y", "width", "height")] for rect in shown]
    for i, (x, y, width, height) in enumerate(boxes):
        assert 0 <= x <= architecture.WIDTH - width
        for other_x, other_y, other_width, other_height in boxes[:i]:
            apart = x + width <= other_x or other_x + other_width <= x
            assert apart or y + height <= other_y or other_y + other_height <= y


def test_arrows_point_downwards(graph):
    drawn = architecture.picture(architecture.floors(), graph, [])
    arrows = re.findall(r'd="M[\d.]+ ([\d.]+)C.* ([\d.]+)" fill="none"', drawn)
    assert len(arrows) == len(architecture.reduced(graph))
    assert all(float(start) < float(end) for start, end in arrows)


def test_what_follows_from_other_arrows_is_not_drawn():
    graph = {"a": frozenset("bcd"), "b": frozenset("c"), "c": frozenset("d"), "d": frozenset()}
    assert architecture.reduced(graph) == [("a", "b"), ("b", "c"), ("c", "d")]
