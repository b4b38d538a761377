from __future__ import annotations

import math

import pytest

from aninfonce.report._style import new_figure
from aninfonce.report._sweep import draw_sweep, sweep_figure

RESULTS = {
    "name": "negatives",
    "facts": {
        "axis": {"label": "number of negatives M", "scale": "log"},
        "points": {
            "aninfonce-16": {"series": "aninfonce", "x": 16.0},
            "aninfonce-4": {"series": "aninfonce", "x": 4.0},
            "infonce-tau-1-4": {"series": "infonce-tau-1", "x": 4.0},
        },
        "panels": [
            {"measures": ["r2_content", "r2_style"], "label": "held-out linear R²", "ylim": [0, 1.03]},
            {"measures": ["concentration_error"], "label": "error", "truth": {"promised": 0.0}},
        ],
    },
    "per_seed": {
        "aninfonce-4/r2_content": [0.8, 0.9],
        "aninfonce-16/r2_content": [0.95, 0.97, math.nan],
        "aninfonce-4/r2_style": [0.5],
        "infonce-tau-1-4/r2_content": [0.6],
        "aninfonce-4/concentration_error": [0.1],
    },
}


def curves(panel):
    _, (axis,) = new_figure(1)
    draw_sweep(axis, RESULTS, panel)
    return axis, {line.get_label(): line for line in axis.get_lines()}


def test_curves_hold_the_means_in_the_order_of_the_setting():
    axis, lines = curves(RESULTS["facts"]["panels"][0])
    content = lines["AnInfoNCE: content"]
    assert list(content.get_xdata()) == [4, 16]
    assert list(content.get_ydata()) == pytest.approx([0.85, 0.96])
    assert list(lines["AnInfoNCE: style"].get_xdata()) == [4]
    assert content.get_color() == lines["AnInfoNCE: style"].get_color() != lines["InfoNCE, τ = 1: content"].get_color()
    assert axis.get_xscale() == "log"
    assert axis.get_xlabel() == "number of negatives M"


def test_the_band_goes_from_the_lowest_to_the_highest_seed():
    axis, _ = curves(RESULTS["facts"]["panels"][0])
    heights = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.8, 0.97))


def test_a_promise_is_a_line():
    _, lines = curves(RESULTS["facts"]["panels"][1])
    assert set(lines["promised"].get_ydata()) == {0.0}
    assert "InfoNCE, τ = 1" not in lines, "a series without this measure must not stand in the legend"


def test_the_figure_is_written(tmp_path):
    assert [path.name for path in sweep_figure(RESULTS, tmp_path)] == ["negatives.png", "negatives.svg"]
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())
