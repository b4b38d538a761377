from __future__ import annotations

import pytest

from aninfonce.report._blocks import blocks_figure
from aninfonce.report._heatmap import draw_heatmap, heatmap_figure
from aninfonce.report._negatives import negatives_figure
from aninfonce.report._style import label, new_figure

PANEL = {"measure": "r2", "title": "all"}
RESULTS = {
    "name": "grid",
    "facts": {
        "columns": {"label": "ratio", "names": ["1", "10"]},
        "rows": {"label": "method", "names": ["ours", "low", "high"], "apart": 1},
        "cells": {"a": ["1", "ours"], "b": ["10", "ours"], "c": ["1", "high"], "d": ["10", "low"]},
        "scale": {"label": "R²", "limits": [0, 1]},
        "panels": [PANEL, PANEL],
    },
    "per_seed": {"a/r2": [0.9, 1.0], "b/r2": [0.25], "c/r2": [0.5, None]},
}


def test_a_cell_holds_the_mean_at_its_row_and_column():
    _, (axis,) = new_figure(1)
    draw_heatmap(axis, RESULTS, PANEL)
    texts = {text.get_text(): text.get_position() for text in axis.texts}
    assert texts["0.95"] == (0.5, 0.5)
    assert texts["0.25"] == (1.5, 0.5)
    assert texts["0.50"][0] == 0.5
    assert texts["0.50"][1] > 2.5, "the rows after those set apart stand off by a gap"
    assert len(texts) == 3, "what has not run stays empty"
    assert [t.get_text() for t in axis.get_yticklabels()] == ["ours", "low", "high"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1], "the first row is at the top"


def test_the_heatmap_is_written(tmp_path):
    assert [path.name for path in heatmap_figure(RESULTS, tmp_path)] == ["grid.png", "grid.svg"]


def test_blocks_that_have_not_run_are_left_out(tmp_path):
    numbers = ("leakage", "leakage_error", "leakage_chance", "r2", "mean_correlation", "orthogonality_error")
    results = {
        "name": "blocks",
        "facts": {"cases": {"two": "two", "three": "three"}},
        "details": {"two": [{"matrix": [[1.0, 0.0], [0.0, 1.0]], "sizes": [1, 1]}], "three": []},
        "per_seed": {f"two/{number}": [0.5] for number in numbers},
    }
    assert len(blocks_figure(results, tmp_path)) == 2
    assert len(blocks_figure({**results, "details": {}}, tmp_path)) == 2


def test_points_of_every_seed_stand_beside_the_truth(tmp_path):
    results = {
        "name": "kinds",
        "facts": {
            "rows": {"anchors": "other anchors", "both": "both"},
            "true": {"content": 12.5},
            "published": {"both": {"content": 11.55}},
        },
        "per_seed": {"anchors/concentration_content": [12.4, 12.6]},
    }
    assert all(path.stat().st_size > 5000 for path in negatives_figure(results, tmp_path))
    alone = (tmp_path / "kinds.png").stat().st_size
    results["facts"]["oracle_rows"] = {"oracle-both": "both"}
    results["per_seed"] |= {"oracle-both/concentration_content": [12.5], "oracle-both/loss": [4.3]}
    negatives_figure(results, tmp_path)
    assert (tmp_path / "kinds.png").stat().st_size > alone, "the oracle has panels of its own"


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("aninfonce-ratio-10", "AnInfoNCE, ratio 10"),
        ("infonce-tau-0.2-ratio-30", "InfoNCE, τ = 0.2, ratio 30"),
        ("aninfonce-negatives-1", "AnInfoNCE, M = 1"),
        ("infonce-tau-0.2", "InfoNCE, τ = 0.2"),
        ("two-blocks", "two-blocks"),
    ],
)
def test_swept_settings_are_written_for_readers(method, text):
    assert label(method) == text
