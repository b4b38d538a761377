"""The page over all experiments: complete, self-contained, and it says what was missed."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

from aninfonce.report import summary_table, write_page


def results(tmp_path, name="toy", picture=b"<svg xmlns='http://www.w3.org/2000/svg'/>", **changes):
    svg = tmp_path / f"{name}.svg"
    svg.write_bytes(picture)
    svg.with_suffix(".png").write_bytes(b"PNG of " + name.encode())
    reference = {"tolerance": 0.1, "relation": ">=", "source": "published", "note": "figure <3>"}
    return {
        "name": name,
        "title": "what a <toy> shows",
        "seeds": [0, 1],
        "seconds": 60.0,
        "cpu_seconds": 90.0,
        "complete": True,
        "config": {"methods": {"aninfonce": {}}},
        "columns": ["r2_style"],
        "per_seed": {"aninfonce/r2_style": [0.5, 0.7]},
        "published": {"aninfonce/r2_style": 0.9},
        "references": [
            {"name": "aninfonce/r2_style", "value": 0.9, "ours": 0.6, "met": False, **reference},
            {"name": "aninfonce/r2", "value": 0.9, "ours": 0.95, "met": True, **reference},
        ],
        "pictures": [svg.with_suffix(".png"), svg],
        **changes,
    }


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_holds_everything_and_loads_nothing(tmp_path):
    page = tmp_path / "index.html"
    write_page(page, [results(tmp_path), results(tmp_path, "other")], {"lost": "no <data>"})
    text = page.read_text()
    tags = Tags(text).found
    pictures = [attrs["src"] for tag, attrs in tags if tag == "img"]
    assert len(pictures) == 2
    for source in pictures:
        kind, content = re.fullmatch(r"data:image/([a-z+]+);base64,(.*)", source).groups()
        assert kind == "svg+xml"
        assert base64.b64decode(content).startswith(b"<svg")
    assert not [tag for tag, _ in tags if tag in ("script", "link", "iframe")]
    assert not re.search(r"url\(|@import", text)
    assert "0.600 ± 0.141 (0.9)" in text
    assert "≥ 0.9 ± 0.1" in text
    assert text.count(">NO<") == 2
    assert text.count(">yes<") == 2
    assert "no &lt;data&gt;" in text, "texts are escaped"
    assert "what a &lt;toy&gt; shows" in text
    anchors = {attrs["id"] for _, attrs in tags if "id" in attrs}
    assert {"toy", "other", "references"} <= anchors


@pytest.mark.parametrize(
    ("values", "cell"),
    [
        ([float("nan"), float("nan")], "–"),
        ([None, None], "–"),
        ([0.5, float("inf"), 0.7], "0.600 ± 0.141 (2 of 3 seeds)"),
        ([0.5, 0.7], "0.600 ± 0.141"),
    ],
)
def test_a_number_that_some_runs_do_not_have_is_not_averaged(tmp_path, values, cell):
    page = tmp_path / "index.html"
    write_page(page, [results(tmp_path, per_seed={"aninfonce/r2_style": values}, published={})], {})
    assert f">{cell}<" in page.read_text()


def test_a_heavy_drawing_is_embedded_as_png(tmp_path):
    page = tmp_path / "index.html"
    write_page(page, [results(tmp_path, picture=b"<svg>" + b" " * 500_000)], {})
    assert base64.b64encode(b"PNG of toy").decode() in page.read_text()
    assert page.stat().st_size < 100_000


def test_the_page_is_replaced_whole(tmp_path):
    page = tmp_path / "index.html"
    page.write_text("old")
    with pytest.raises(KeyError):
        write_page(page, [{**results(tmp_path), "columns": ["r2"], "references": [{}]}], {})
    assert page.read_text() == "old"


def test_the_summary_counts_what_is_within_tolerance(tmp_path):
    table = summary_table([results(tmp_path)], {"lost": "no data"})
    rows = list(zip(*([cell.plain for cell in column.cells] for column in table.columns), strict=True))
    assert rows[0] == ("toy", "1.0", "1.5", "1 of 2", "aninfonce/r2_style 0.6, not 0.9")
    assert rows[1][3:] == ("failed", "no data")
