"""Tables and figures say what the results hold."""

import io
import xml.etree.ElementTree as ET

import pytest
from PIL import Image
from rich.console import Console

from aninfonce import report


def shown(table):
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def a_run(seed, objective="aninfonce", r2=0.5, online=False, **config):
    metrics = {
        f"{layer}/{name}": value
        for layer in ("backbone", "projector")
        for name, value in {"class_accuracy": 0.9, "augmentation_r2": r2, "r2/blur": r2, "r2/hue": 0.1}.items()
    }
    record = {"hit_at_1": 0.5, "effective_rank": 1.5, "images_per_second": 100.0}
    method = "aninfonce" if objective == "aninfonce" else "infonce-tau-0.2"
    return {
        "name": "train",
        "method": method,
        "seed": seed,
        "config": {"objective": objective, "seed": seed, "data": "digits", "epochs": 3, **config},
        "metrics": metrics,
        "history": [
            {**record, "epoch": 1, "loss": 2.0, "concentration": [1.0, 2.0], "readouts": {}},
            {**record, "epoch": 2, "loss": 1.0, "concentration": [0.5, 4.0], "readouts": metrics if online else {}},
        ],
    }


def a_study(seeds=(0, 1)):
    curve = {"step": [1.0, 2.0], "r2_content": [0.1, 0.9], "r2_style": [0.2, 0.8]}
    methods = ["aninfonce", "infonce-tau-1", "infonce-tau-0.2", "infonce-trainable"]
    measures = {"r2": [0.95, 0.97], "r2_content": [0.98, 1.0], "r2_style": [0.9, 0.94], "cpu_seconds": [3.0, 5.0]}
    per_seed = {f"{method}/{name}": values for method in methods for name, values in measures.items()}
    per_seed["aninfonce/concentration_error"] = [0.01, 0.03]
    return {
        "name": "content-style",
        "seeds": list(seeds),
        "columns": ["r2", "r2_content", "r2_style", "concentration_error", "cpu_seconds"],
        "config": {"methods": dict.fromkeys(methods)},
        "per_seed": per_seed,
        "published": {"aninfonce/r2_style": 0.99},
        "details": {m: [{"seed": s, "curve": curve, "matched": [12.0, 2.4 + 0.2 * s]} for s in seeds] for m in methods},
        "facts": {"true_concentration": [12.5, 2.5]},
    }


def test_seeds_are_put_together_and_settings_apart():
    summary = report.summarize([a_run(0), a_run(1, r2=0.7), a_run(0, "infonce", r2=0.2)])
    assert summary["aninfonce"]["projector/augmentation_r2"] == [0.5, 0.7]
    assert summary["infonce-tau-0.2"]["projector/augmentation_r2"] == [0.2]
    apart = report.summarize([a_run(0), a_run(0, epochs=9)])
    assert [*apart] == ["aninfonce, epochs 3", "aninfonce, epochs 9"]


def test_what_a_method_uses_sets_its_runs_apart_and_the_rest_does_not():
    def run(method, **settings):
        objective = "aninfonce" if method == "aninfonce" else "infonce"
        every = {"temperature": 0.2, "concentration": 1.0, "concentration_rate": 0.2}
        return {
            **a_run(0, objective, **{**every, "trainable_temperature": "trainable" in method, **settings}),
            "method": method,
        }

    runs = [
        run("infonce-trainable"),
        run("infonce-trainable", temperature=0.1),
        run("infonce-tau-0.2"),
        run("aninfonce"),
    ]
    names = ["infonce-trainable, temperature 0.2", "infonce-trainable, temperature 0.1", "infonce-tau-0.2", "aninfonce"]
    assert [*report.summarize(runs)] == names
    runs = [run("aninfonce", temperature=0.1), run("infonce-tau-0.2", concentration=3.0), run("infonce-trainable")]
    assert [*report.summarize(runs)] == ["aninfonce", "infonce-tau-0.2", "infonce-trainable"]
    runs = [run("aninfonce", concentration_rate=0.1), run("aninfonce"), run("infonce-tau-0.2", concentration_rate=0.3)]
    names = ["aninfonce, concentration_rate 0.1", "aninfonce, concentration_rate 0.2", "infonce-tau-0.2"]
    assert [*report.summarize(runs)] == names


@pytest.mark.parametrize(
    ("methods", "lacks"),
    [
        (["infonce-tau-0.2", "aninfonce, epochs 3"], True),
        (["infonce-tau-0.2, epochs 3", "infonce-trainable, epochs 3", "aninfonce, epochs 3"], False),
        (["infonce-trainable", "aninfonce"], False),
        (["infonce-tau-0.2", "infonce-tau-1"], False),
        (["aninfonce"], False),
    ],
)
def test_a_comparison_without_a_trained_temperature_says_so(methods, lacks):
    said = report.missing_control(methods)
    assert (said is not None) == lacks
    if said:
        assert "--objective infonce --trainable-temperature" in said


def test_compare_table_has_means_and_deviations():
    text = shown(report.compare_table(report.summarize([a_run(0), a_run(1, r2=0.7), a_run(0, "infonce", r2=0.2)])))
    assert "0.600 ± 0.141" in text
    assert "90.0 ± 0.0" in text
    assert "InfoNCE, τ = 0.2" in text


def test_study_table_has_means_and_published_figures():
    text = shown(report.study_table(a_study()))
    assert "0.920 ± 0.028 (0.99)" in text
    assert "4.0 ± 1.4" in text
    assert "2.0% ± 1.4%" in text
    assert "InfoNCE, trainable τ" in text


@pytest.mark.parametrize(
    "draw",
    [
        lambda out: report.study_figures(a_study(), out),
        lambda out: report.study_figures(a_study(seeds=(0,)), out),
        lambda out: report.training_figure(a_run(0), out),
        lambda out: report.compare_figure(report.summarize([a_run(0), a_run(1), a_run(0, "infonce")]), out),
    ],
)
def test_figures_are_pictures_with_named_axes(tmp_path, draw):
    png, svg = draw(tmp_path)
    with Image.open(png) as picture:
        assert picture.width > 1500
        assert picture.convert("L").getextrema() == (0, 255)
    assert ET.parse(svg).getroot().tag.endswith("svg")


def test_axes_have_names(tmp_path, monkeypatch):
    """Every panel of every figure names both of its axes (bars: the parameters are named one by one)."""
    from aninfonce.report import _recovery, _style, training

    figures = []
    for module in (_recovery, training):
        monkeypatch.setattr(module, "save_figure", lambda figure, out, name: figures.append(figure) or [])
    report.study_figures(a_study(), tmp_path)
    report.training_figure(a_run(0), tmp_path)
    report.training_figure(a_run(0, online=True), tmp_path)
    report.compare_figure(report.summarize([a_run(0), a_run(0, "infonce")]), tmp_path)
    panels = [axis for figure in figures for axis in figure.axes if axis.axison]
    assert len(panels) == 3 + 6 + 8 + 3
    for axis in panels:
        assert axis.get_xlabel(), axis.get_title()
        assert axis.get_ylabel() or [tick.get_text() for tick in axis.get_yticklabels()], axis.get_title()
        assert axis.get_title()
    assert len(set(_style.PALETTE)) == len(_style.PALETTE)


def test_other_runs_are_not_compared():
    with pytest.raises(ValueError, match="only training runs"):
        report.summarize([a_study()])
