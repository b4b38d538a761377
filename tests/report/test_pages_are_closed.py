"""Pages that nothing can get into or out of, and files that never go through a link."""

from __future__ import annotations

import base64
import hashlib
import os
from html.parser import HTMLParser

import pytest

from aninfonce import report
from aninfonce.report._style import new_figure, save_figure
from aninfonce.training import TrainConfig
from aninfonce.training.feature_file import SplitFeatures, write_npz, write_parquet
from aninfonce.training.journal import Journal

HOSTILE = [
    '"><img src=x onerror=alert(1)>',
    "' onload='x",
    "</style><script>alert(1)</script>",
    "a\u202egpj\n\x1b[2J\udcff",
]


class Page(HTMLParser):
    """Tags with their attributes, in order; the content of the style; the whole text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.style, self.text, self._open = [], "", "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag):
        self._open = ""

    def handle_data(self, data):
        if self._open == "style":
            self.style += data
        self.text += data


def page(path):
    return Page(path.read_bytes().decode("utf-8"))


def results(name):
    record = {"epoch": 1, "loss": 1.0, "hit_at_1": 0.5, "effective_rank": 2.0, "concentration": [1.0, 2.0]}
    return {
        "method": name,
        "config": {"data": name, name: name},
        "metrics": {"test_images": 3, "train_images": 9, "images_per_second": 1.0, f"backbone/{name}": 0.5},
        "not_measured": {f"backbone/{name}": name},
        "history": [{**record, "readouts": {}, "images_per_second": 1.0}],
        "skipped": [{"file": name, "reason": name}],
        "versions": {name: name},
        "seconds": 1.0,
        "cpu_seconds": 1.0,
    }


def study(name):
    row = {"name": f"{name}/r2", "value": 1.0, "tolerance": 0.1, "relation": "=", "source": name, "note": name}
    return {
        **{"name": name, "title": name, "seeds": [0], "seconds": 1.0, "cpu_seconds": 1.0, "complete": True},
        **{"references": [{**row, "ours": None, "met": None}], "columns": ["r2"], "published": {}, "pictures": []},
        "config": {"methods": {name: {}}},
        "per_seed": {f"{name}/r2": [0.5]},
    }


def write(kind, path, name):
    if kind == "training":
        report.write_training_page(path, results(name), [])
    else:
        report.write_page(path, [study(name)], {name: name})
    return page(path)


@pytest.mark.parametrize("kind", ["training", "experiments"])
def test_the_policy_allows_the_style_and_pictures_in_the_page_and_nothing_else(tmp_path, kind):
    found = write(kind, tmp_path / "page.html", "plain")
    place, policy = next((i, a["content"]) for i, (tag, a) in enumerate(found.tags) if a.get("http-equiv"))
    assert found.tags[place][1]["http-equiv"] == "Content-Security-Policy"
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digest = base64.b64encode(hashlib.sha256(found.style.encode()).digest()).decode()
    assert rules == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert "font" in found.style
    before = [tag for tag, _ in found.tags[:place]]
    assert before == ["html", "head", "meta"], "it stands before everything that it rules"


@pytest.mark.parametrize("kind", ["training", "experiments"])
@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_adds_a_tag_or_an_attribute(tmp_path, kind, name):
    def skeleton(found):
        return [(tag, sorted(attributes)) for tag, attributes in found.tags]

    found = write(kind, tmp_path / "hostile.html", name)
    assert skeleton(found) == skeleton(write(kind, tmp_path / "plain.html", "plain"))
    for tag, attributes in found.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form")
        assert not [a for a in attributes if a.startswith("on") or a == "style"]
        for reference in (attributes.get("src"), attributes.get("href")):
            assert reference is None or reference.startswith(("#", "data:image/", "https://arxiv.org/"))
    assert not set(found.text) & set("\x1b\u202e\udcff")
    assert report._html.printable(name) in found.text


def refuses_links(folder, names, action):
    """What is written reaches neither where a link leads, nor the link, which is somebody else's."""
    away = folder / "away"
    away.write_bytes(b"precious")
    for name in names:
        (folder / name).symlink_to(away)
        with pytest.raises(ValueError, match=rf"{name} is a symbolic link"):
            action()
        assert away.read_bytes() == b"precious"
        assert (folder / name).is_symlink()
        (folder / name).unlink()
    left = {path.name for path in folder.iterdir()} - {"away", *names}
    assert not left, "no half-written file"
    action()


def test_figures_do_not_go_through_links(tmp_path):
    figure, _ = new_figure(1)
    refuses_links(tmp_path, ["x.png", "x.svg"], lambda: save_figure(figure, tmp_path, "x"))
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "x.svg").read_bytes()


def test_a_figure_that_fails_leaves_the_one_before(tmp_path, monkeypatch):
    figure, _ = new_figure(1)
    save_figure(figure, tmp_path, "x")
    before = (tmp_path / "x.png").read_bytes()

    def breaks(path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", breaks)
    with pytest.raises(OSError, match="No space"):
        save_figure(figure, tmp_path, "x")
    assert (tmp_path / "x.png").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"x.png", "x.svg"}


def test_pages_and_features_do_not_go_through_links(tmp_path):
    import torch

    features = SplitFeatures(
        "train", {"backbone": torch.ones(2, 3)}, torch.arange(2), torch.zeros(2, dtype=torch.int64)
    )

    def action():
        report.write_training_page(tmp_path / "page.html", results("x"), [])
        write_npz(tmp_path / "f.npz", [features])
        write_parquet(tmp_path / "f.parquet", [features], ["a\udcff"])

    refuses_links(tmp_path, ["page.html", "f.npz", "f.parquet"], action)


def test_a_class_whose_name_is_no_text_has_a_cell(tmp_path):
    import torch
    from pyarrow import parquet

    features = SplitFeatures(
        "train", {"backbone": torch.ones(1, 3)}, torch.arange(1), torch.zeros(1, dtype=torch.int64)
    )
    write_parquet(tmp_path / "f.parquet", [features], ["a\udcff"])
    assert parquet.read_table(tmp_path / "f.parquet")["class"].to_pylist() == [r"a\udcff"]


def test_the_log_does_not_go_through_a_link(tmp_path):
    journal = Journal(tmp_path, 0, [])
    journal.write({"step": 1})
    away = tmp_path / "away"
    away.write_text("precious")
    (tmp_path / "log.jsonl").unlink()
    (tmp_path / "log.jsonl").symlink_to(away)
    with pytest.raises(OSError, match=r"log\.jsonl"):
        journal.write({"step": 2})
    assert away.read_text() == "precious"
    with pytest.raises(ValueError, match=r"log\.jsonl is a symbolic link"):
        Journal(tmp_path, 0, [])
    assert away.read_text() == "precious"
    assert (tmp_path / "log.jsonl").is_symlink()


def test_events_do_not_go_through_a_link(tmp_path):
    from aninfonce.training.loggers import make_loggers

    (tmp_path / "away").mkdir()
    (tmp_path / "tensorboard").symlink_to(tmp_path / "away")
    with pytest.raises(ValueError, match="is a link"):
        make_loggers(TrainConfig(loggers=("tensorboard",)), tmp_path)
    assert not os.listdir(tmp_path / "away")
