"""Watching a run while it writes: half lines, a log that got shorter, runs that have not begun."""

from __future__ import annotations

import io
import json
import math
import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from aninfonce import report
from aninfonce.report._braille import draw_lines, thin
from aninfonce.report.run_log import LogReader


def epoch(number, **more):
    line = {"step": 10 * number, "epoch": number, "loss": 5.0 - number, "hit_at_1": 0.1 * number}
    return {**line, "effective_rank": 3.0, "images_per_second": 64.0, "concentration": [0.5, 1.0, 8.0], **more}


def inside(step):
    return {"step": step, "steps": 40, "loss": 5.0 - step / 10, "learning_rate": 0.1, "images_per_second": 32.0}


def write(folder, lines, end=""):
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"config": {"command": "train", "epochs": 4, "batch_size": 64}}))
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + end)


def shown(logs, width=120, height=40):
    console = Console(width=width, file=io.StringIO())
    console.print(report.watch_view(logs, width, height))
    return console.file.getvalue()


def test_a_half_written_last_line_is_waited_for(tmp_path):
    write(tmp_path / "run", [epoch(1)], end='{"step": 20, "epo')
    reader = LogReader(tmp_path / "run")
    log = reader.read()
    assert [line["epoch"] for line in log.epochs] == [1]
    assert log.unreadable == 0
    write(tmp_path / "run", [epoch(1), epoch(2)])
    assert [line["epoch"] for line in reader.read().epochs] == [1, 2]


def test_lines_that_are_no_log_are_counted_and_told(tmp_path):
    write(tmp_path / "run", [epoch(1)])
    with (tmp_path / "run" / "log.jsonl").open("ab") as file:
        file.write(b'{"step": 12, "lo{"step": 20}\n[1]\n\xff\xfe\n{"step": "x"}\n')
    log = LogReader(tmp_path / "run").read()
    assert log.unreadable == 4
    assert "4 unreadable lines" in report.status_line(log).plain


def test_a_run_goes_from_not_there_to_finished(tmp_path):
    reader = LogReader(tmp_path / "run")
    assert "has not begun" in shown([reader.read()])
    write(tmp_path / "run", [inside(5), inside(10), epoch(1), inside(15)])
    log = reader.read()
    assert (log.step, log.total, log.finished) == (15, 40, False)
    assert log.seconds_left == pytest.approx(25 * 64 / 32)
    assert "epoch 1/4, step 15/40, 32 images/s, done in 0:00:50" in shown([log])
    (tmp_path / "run" / "results.json").write_text("{}")
    assert not reader.read().finished, "results of before: the run goes on to more epochs"
    write(tmp_path / "run", [epoch(1), epoch(2), epoch(3), epoch(4)])
    (tmp_path / "run" / "results.json").write_text("{}")
    assert reader.read().finished
    assert "finished" in shown([reader.read()])


def test_without_steps_the_time_left_follows_from_the_epochs(tmp_path):
    write(tmp_path / "run", [epoch(1)])
    log = LogReader(tmp_path / "run").read()
    assert log.total == 40
    assert log.seconds_left == pytest.approx(30)


def test_a_log_that_got_shorter_is_read_anew(tmp_path):
    write(tmp_path / "run", [epoch(1), epoch(2), inside(25)])
    reader = LogReader(tmp_path / "run")
    assert reader.read().step == 25
    write(tmp_path / "run", [epoch(1)])
    assert reader.read().step == 10
    (tmp_path / "run" / "log.jsonl").unlink()
    assert reader.read().changed is None


def test_steps_that_were_done_again_count_once(tmp_path):
    """A continued run may also append to its log: what lay after the checkpoint comes twice."""
    write(tmp_path / "run", [inside(5), inside(10), epoch(1), inside(15), inside(20), epoch(2), inside(15), inside(20)])
    log = LogReader(tmp_path / "run").read()
    assert [line["epoch"] for line in log.epochs] == [1]
    assert [line["step"] for line in log.steps] == [5, 10, 15, 20]


@settings(deadline=None)
@given(st.binary(max_size=300))
@example(b"\r\r")
def test_any_bytes_are_a_log(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    (folder / "log.jsonl").write_bytes(content)
    log = LogReader(folder).read()
    shown([log], 40, 20)
    assert len(log.epochs) + len(log.steps) + log.unreadable <= content.count(b"\n") + 1


@settings(deadline=None, max_examples=60)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["loss", "concentration", "readouts", "hit_at_1", "x"]), inner, max_size=3
            )
        ),
        max_leaves=8,
    )
)
def test_lines_of_other_content_are_drawn_as_far_as_they_go(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    more = content if isinstance(content, dict) else {"concentration": content, "loss": content, "readouts": content}
    write(folder, [epoch(1, **more), inside(11), {**inside(12), **more}])
    log = LogReader(folder).read()
    shown([log], 80, 30)
    assert report.epoch_line(log.epochs[0]).startswith("epoch 1: loss ")


def test_only_training_runs_are_watched(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"config": {"command": "reproduce"}}))
    with pytest.raises(ValueError, match="one of 'reproduce'"):
        LogReader(tmp_path).read()
    with pytest.raises(ValueError, match="got the file"):
        LogReader(tmp_path / "run.json")


@pytest.mark.parametrize(("width", "height"), [(20, 10), (40, 24), (80, 24), (132, 50), (250, 70)])
def test_the_charts_fit_the_terminal(tmp_path, width, height):
    readouts = {f"{layer}/{m}": 0.5 for layer in ("backbone", "projector") for m in ("class_accuracy", "knn_accuracy")}
    for name in "ab":
        write(tmp_path / name, [epoch(n, readouts=readouts) for n in (1, 2, 3)])
    text = shown([LogReader(tmp_path / name).read() for name in "ab"], width, height)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    if width >= 80:
        assert len(lines) <= height
    for title in ("loss, nats", "Hit@1", "effective", "classes, linear") if width >= 40 else ():
        assert title in text
    assert "augmentations" not in text, "a chart without numbers is left out"


def dots(rows):
    """Which dots are set, shape (4 × rows, 2 × columns), from above."""
    order = np.array([[0, 3], [1, 4], [2, 5], [6, 7]])
    return np.block([[(ord(c) - 0x2800) >> order & 1 for c in row] for row in rows])


def test_a_rising_line_rises_without_a_gap():
    x = np.linspace(0, 1, 50)
    rows, owners = draw_lines([(x, x**3)], 10, 5, x_range=(0.0, 1.0), y_range=(0.0, 1.0))
    found = dots(rows)
    assert found.any(0).all(), "a dot in every column"
    assert found.any(1).all(), "and in every row"
    highest = found.argmax(0)
    assert (np.diff(highest) <= 0).all()
    assert found[-1, 0]
    assert found[0, -1]
    assert all(
        (owner is None) == (c == "⠀")
        for row, owned in zip(rows, owners, strict=True)
        for c, owner in zip(row, owned, strict=True)
    )


def test_many_points_become_as_many_means_as_there_is_room_for():
    x = np.arange(1000.0)
    thinned, means = thin(x, np.where(x % 2, 1.0, np.where(x == 500, math.nan, -1.0)), 50)
    assert len(thinned) == 50
    assert (np.diff(thinned) > 0).all()
    np.testing.assert_allclose(means, 0, atol=0.11)
    few = thin(x[:3], np.array([1.0, math.nan, 2.0]), 50)
    np.testing.assert_equal(few, (np.array([0.0, 2.0]), np.array([1.0, 2.0])))


def test_a_constant_a_single_and_a_missing_point_are_drawn_or_passed_over():
    x = np.arange(3.0)
    rows, _ = draw_lines([(x, np.array([1.0, math.nan, 1.0]))], 4, 3, x_range=(0.0, 2.0), y_range=(1.0, 1.0))
    assert dots(rows).sum() == 8
    rows, _ = draw_lines([(x[:1], x[:1])], 4, 3, x_range=(0.0, 0.0), y_range=(0.0, 0.0))
    assert dots(rows).sum() == 1
    rows, _ = draw_lines([(x, np.full(3, math.nan))], 4, 3, x_range=(0.0, 2.0), y_range=(0.0, 1.0))
    assert dots(rows).sum() == 0


def test_the_line_drawn_last_is_on_top():
    x = np.arange(2.0)
    _, owners = draw_lines([(x, x), (x, x)], 3, 2, x_range=(0.0, 1.0), y_range=(0.0, 1.0))
    assert {owner for row in owners for owner in row} == {None, 1}


def test_a_log_that_has_not_changed_is_not_read_again(tmp_path, monkeypatch):
    write(tmp_path / "run", [epoch(1)])
    reader = LogReader(tmp_path / "run")
    first = reader.read()
    monkeypatch.setattr("aninfonce.report.run_log.LogReader._append", lambda *_: pytest.fail("read again"))
    assert reader.read().epochs == first.epochs
    os.utime(tmp_path / "run" / "log.jsonl", ns=(1, 1))
    with pytest.raises(pytest.fail.Exception):
        reader.read()
