"""Runs side by side: what is missing in some of them, and names that are markup, formulas or commands elsewhere."""

from __future__ import annotations

import io
import json
import math
import statistics

import pytest
from rich.console import Console

from aninfonce import report
from aninfonce.cli import run

MEASURES = ("class_accuracy", "augmentation_r2", "augmentation_accuracy", "effective_rank", "r2/crop_x")


def result(seed=0, data="digits", **changes):
    metrics = {f"{layer}/{name}": 0.25 * (seed + 1) for layer in ("backbone", "projector") for name in MEASURES}
    config = {"data": data, "seed": seed, "objective": "infonce"}
    return {"name": "train", "method": "infonce-tau-0.2", "config": config, "metrics": {**metrics, **changes}}


def write(folder, *results):
    paths = []
    for i, content in enumerate(results):
        (folder / str(i)).mkdir(parents=True)
        (folder / str(i) / "results.json").write_text(json.dumps(content))
        paths.append(str(folder / str(i)))
    return paths


def shown(table):
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def test_a_number_that_one_of_the_seeds_lacks_is_the_mean_of_the_others(tmp_path, capsys):
    missing = {"backbone/class_accuracy": None, "projector/augmentation_r2": None}
    runs = write(tmp_path, result(0, **missing), result(1), result(2), result(3, **{"projector/augmentation_r2": None}))
    out = tmp_path / "out"
    assert run(["compare", *runs, "--out", str(out)]) == 0
    lines = capsys.readouterr().out
    spread = 100 * statistics.stdev([0.5, 0.75, 1.0])
    assert f"{75.0:.1f} ± {spread:.1f} (3 of 4 runs)" in lines
    content = json.loads((out / "results.json").read_text())
    assert content["metrics"]["infonce-tau-0.2/backbone/class_accuracy"] == pytest.approx(0.75)
    assert content["metrics"]["infonce-tau-0.2/projector/augmentation_r2"] == pytest.approx(0.625)
    assert content["per_seed"]["infonce-tau-0.2/backbone/class_accuracy"] == [None, 0.5, 0.75, 1.0]


def test_a_number_that_all_of_them_lack_is_a_dash(tmp_path):
    nothing = dict.fromkeys(result()["metrics"])
    for results in ([result(0, **nothing)], [result(0, **nothing), result(1, **nothing)]):
        summary = report.summarize(results)
        assert shown(report.compare_table(summary)).count("–") == 8
        assert all(path.stat().st_size > 5000 for path in report.compare_figure(summary, tmp_path))
    assert math.isnan(report.mean_of_measured([math.nan, math.nan]))


@pytest.mark.parametrize(
    "name",
    [
        "[/y]",
        "[old]",
        "$x^{$",
        "$",
        "$$",
        r"\$x^{\$",
        "{x}%s%",
        "a\x1b[2J\nb",
        "\udcff",
        "猫",
        "__x",
        "<b>&\"'",
        "\u202ex",
    ],
)
def test_any_name_is_compared(tmp_path, capsys, name):
    data = f"folder:{name}"
    runs = write(tmp_path / "plain", result(0, data=data), result(0, data="digits"))
    out = tmp_path / "out"
    assert run(["compare", *runs, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"data folder:{report._table.printable(name)}" in " ".join(printed.split()).replace("│ ", "")
    assert not set(printed) & set("\x1b\u202e\udcff")
    content = json.loads((out / "results.json").read_text())
    assert f"infonce-tau-0.2, data {data}/backbone/class_accuracy" in content["metrics"]
    svg = (out / "compare.svg").read_text(encoding="utf-8")
    assert svg.endswith("</svg>\n")


@pytest.mark.parametrize("name", ["[/y]", "[old]", "$x^{$", "%s{x}"])
def test_any_path_is_compared(tmp_path, capsys, name):
    runs = write(tmp_path / name, {**result(0), "not_measured": {"backbone/knn_accuracy": f"no {name}"}})
    out = tmp_path / f"out{name}"
    assert run(["compare", *runs, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert str(out / "compare.png") in printed
    assert f"no {name}" in printed
    assert json.loads((out / "results.json").read_text())["runs"] == runs


def test_old_results_without_reasons_are_compared():
    assert report.runs_not_measured([result(), {**result(), "not_measured": None}], ["a", "b"]) == []
