"""The page of a training run: complete, self-contained, and nothing in it is taken for HTML."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import pytest

from aninfonce import report
from aninfonce._progress import Progress
from aninfonce._runs import read_results
from aninfonce.cli import run

HOSTILE = "<script>alert('x')</script>\"&[/b]"


class Page(HTMLParser):
    """Tags with their attributes, and the text of the cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self._open = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = tag == "td"
        if self._open:
            self.cells.append("")

    def handle_endtag(self, tag):
        if tag == "td":
            self._open = False

    def handle_data(self, data):
        if self.cells and (self._open or self.tags[-1][0] == "b"):
            self.cells[-1] += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    small = ["--backbone", "small:4", "--projector-dim", "8", "--projector-hidden", "16", "--device", "cpu"]
    command = ["train", "--data", "digits", "--limit", "256", "--objective", "aninfonce", "--epochs", "2", *small]
    assert run([*command, "--readout-every", "1", "--out", str(out)]) == 0
    return out


def test_the_run_is_all_in_one_file(folder):
    text = (folder / "report.html").read_text()
    page, results = Page(text), read_results(folder)
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe", "object", "embed")]
    assert not [
        value
        for _, attrs in page.tags
        for name, value in attrs.items()
        if name in ("href", "src") and not value.startswith(("#", "data:"))
    ]
    assert not re.search(r"url\(|@import", text)
    (picture,) = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    assert base64.b64decode(picture.removeprefix("data:image/svg+xml;base64,")).startswith(b"<?xml")
    for name, value in results["config"].items():
        assert name in page.cells
        if isinstance(value, str | float):
            assert str(value) in page.cells
    for row in report.training.readout_rows(results["metrics"]):
        place = page.cells.index(row[0])
        assert page.cells[place : place + 3] == row
    final = results["history"][-1]["concentration"]
    assert f"{final[0]:.3g}" in page.cells
    assert f"{final[-1]:.3g}" in page.cells
    for package, version in results["versions"].items():
        assert f"{package} {version}" in text


def test_names_of_files_and_settings_are_text(folder, tmp_path):
    results = read_results(folder)
    results["skipped"] = [{"file": HOSTILE, "reason": f"no image: {HOSTILE}"}, {"file": "\udcff.png", "reason": "x"}]
    results["config"]["data"] = f"folder:{HOSTILE}"
    results["versions"]["torch"] = HOSTILE
    report.write_training_page(tmp_path / "report.html", results, [])
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert "<script" not in text
    assert HOSTILE in page.cells
    assert f"no image: {HOSTILE}" in page.cells
    assert f"folder:{HOSTILE}" in page.cells
    title = report.training_table(results).title
    assert HOSTILE in title.plain, "brackets are no markup of the terminal either"


def test_numbers_that_were_not_finite_are_dashes(folder, tmp_path):
    results = json.loads((folder / "results.json").read_text())
    results["metrics"]["backbone/augmentation_r2"] = results["metrics"]["projector/r2/blur"] = None
    results["history"][0]["effective_rank"] = None
    pictures = report.training_figure(results, tmp_path)
    report.write_training_page(tmp_path / "report.html", results, pictures)
    cells = Page((tmp_path / "report.html").read_text()).cells
    assert cells[cells.index("augmentation_r2") + 1] == "–"


def test_one_number_has_no_spectrum(folder, tmp_path):
    results = read_results(folder)
    for record in results["history"]:
        record["concentration"] = [2.5]
    report.write_training_page(tmp_path / "report.html", results, report.training_figure(results, tmp_path))
    assert "1/(2τ) = 2.5" in (tmp_path / "report.html").read_text()


def test_a_bar_on_a_terminal_takes_brackets_as_they_are(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with Progress(f"on {HOSTILE}", total=2) as progress:
        progress.say(f"skipped {HOSTILE}")
        progress.step(1, HOSTILE)
    assert f"skipped {HOSTILE}" in capsys.readouterr().out
