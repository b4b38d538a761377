from __future__ import annotations

from aninfonce.report import study_figures
from aninfonce.report._style import new_figure
from aninfonce.report._trade_off import draw_trade_off

RESULTS = {
    "name": "cifar10",
    "config": {"methods": {"infonce": {}, "aninfonce": {}}},
    "published": {"infonce/backbone/class_accuracy": 0.909, "infonce/backbone/augmentation_accuracy": 0.577},
    "per_seed": {
        "infonce/backbone/class_accuracy": [0.9, 0.8],
        "infonce/backbone/augmentation_accuracy": [0.6, 0.62],
        "aninfonce/projector/class_accuracy": [0.7],
        "aninfonce/projector/augmentation_accuracy": [0.75],
        "aninfonce/backbone/class_accuracy": [0.7],
    },
}


def points():
    _, (axis,) = new_figure(1)
    draw_trade_off(axis, RESULTS)
    handles, labels = axis.get_legend_handles_labels()
    lines = [getattr(handle, "lines", (handle,))[0] for handle in handles]
    return axis, {
        text: (line.get_xdata()[0], line.get_ydata()[0], line) for text, line in zip(labels, lines, strict=True)
    }


def test_points_are_means_over_the_seeds_in_percent():
    _, found = points()
    assert set(found) == {"InfoNCE, backbone", "InfoNCE, published", "AnInfoNCE, projector"}
    x, y, _ = found["InfoNCE, backbone"]
    assert (round(x, 6), round(y, 6)) == (61.0, 85.0)
    assert [round(v, 6) for v in found["AnInfoNCE, projector"][:2]] == [75.0, 70.0]


def test_what_was_published_is_an_open_marker_of_the_same_colour():
    _, found = points()
    x, y, line = found["InfoNCE, published"]
    assert (round(x, 6), round(y, 6)) == (57.7, 90.9)
    assert line.get_markerfacecolor() == "none"
    assert line.get_color() == found["InfoNCE, backbone"][2].get_color()
    assert found["AnInfoNCE, projector"][2].get_color() != line.get_color()


def test_the_bars_go_from_the_lowest_to_the_highest_seed():
    axis, _ = points()
    ends = [sorted(segment[:, 1]) for bar in axis.containers[0].lines[2] for segment in bar.get_segments()]
    assert any([round(v, 6) for v in end] == [80.0, 90.0] for end in ends)


def test_the_figure_is_written(tmp_path):
    assert [path.name for path in study_figures(RESULTS, tmp_path)] == ["cifar10.png", "cifar10.svg"]
    assert all(path.stat().st_size > 5000 for path in tmp_path.iterdir())
