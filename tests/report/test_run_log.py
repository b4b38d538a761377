"""A log of any size, read by what was appended; and whatever else lies in a run's folder."""

from __future__ import annotations

import json
import math
import os
from itertools import pairwise

import pytest

from aninfonce import report
from aninfonce.cli import run
from aninfonce.report import log_history
from aninfonce.report.run_log import LogReader

RUN = {"config": {"command": "train", "epochs": 4, "batch_size": 64}}


def inside(step, **more):
    return json.dumps({"step": step, "steps": 10**6, "loss": 1.0 / (1 + step), "images_per_second": 8.0, **more}) + "\n"


def epoch(number, **more):
    line = {"step": 10 * number, "epoch": number, "loss": 1.0, "hit_at_1": 0.5, "effective_rank": 3.0}
    return json.dumps({**line, "images_per_second": 8.0, "concentration": [1.0, 4.0], **more}) + "\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    return tmp_path


@pytest.fixture
def taken(monkeypatch):
    """The lines that were parsed."""
    lines, real = [], log_history.read_line
    monkeypatch.setattr(log_history, "read_line", lambda text: lines.append(text) or real(text))
    return lines


def append(folder, text):
    with (folder / "log.jsonl").open("a") as file:
        file.write(text)


def test_only_what_was_appended_is_read(folder, taken):
    reader = LogReader(folder)
    append(folder, "".join(map(inside, range(1, 2001))))
    assert reader.read().step == 2000
    assert len(taken) == 2000
    append(folder, inside(2001) + inside(2002)[:20])
    assert reader.read().step == 2001
    append(folder, inside(2002)[20:])
    assert reader.read().step == 2002
    assert len(taken) == 2002, "each line once, a half one when it is whole"
    os.utime(folder / "log.jsonl", ns=(1, 1))
    assert reader.read().step == 2002
    assert len(taken) == 2002


def test_blocks_may_end_anywhere(folder, monkeypatch):
    append(folder, "".join(map(inside, range(1, 50))) + epoch(5) + inside(51)[:-1])
    whole = LogReader(folder).read()
    for size in (1, 7, 64):
        monkeypatch.setattr("aninfonce.report.run_log._BLOCK", size)
        assert LogReader(folder).read() == whole


@pytest.mark.parametrize("way", ["replaced", "cut", "cut and longer", "gone and back"])
def test_a_log_that_is_another_one_is_read_anew(folder, way):
    log = folder / "log.jsonl"
    append(folder, "".join(map(inside, range(1, 101))) + epoch(11))
    reader = LogReader(folder)
    assert reader.read().step == 110
    if way == "replaced":
        (folder / "new").write_text("".join(inside(step, loss=9.0) for step in range(1, 300)))
        os.replace(folder / "new", log)
    elif way == "cut":
        log.write_text(inside(1, loss=9.0))
    elif way == "cut and longer":  # between two looks, in place
        log.write_text("".join(inside(step, loss=9.0) for step in range(1, 300)))
    else:
        log.unlink()
        assert reader.read().changed is None
        log.write_text("".join(inside(step, loss=9.0) for step in range(1, 3)))
    seen, fresh = reader.read(), LogReader(folder).read()
    assert seen == fresh
    assert not seen.epochs
    assert {line["loss"] for line in seen.steps} == {9.0}


def test_memory_is_bounded_and_the_curve_keeps_its_shape(folder, monkeypatch):
    monkeypatch.setattr(log_history, "_MOST", 64)
    reader = LogReader(folder)
    for start in range(0, 4000, 500):
        append(folder, "".join(map(inside, range(start, start + 500))))
        log = reader.read()
        assert len(log.steps) <= 64
        steps = [line["step"] for line in log.steps]
        assert steps == sorted(set(steps))
        assert steps[-1] == start + 499, "the newest is there"
        assert steps[0] == 0, "and the oldest"
        gaps = {after - before for before, after in pairwise(steps[:-1])}
        assert len(gaps) == 1, "and those between are spread evenly"
    assert not log.thinned
    append(folder, "".join(map(epoch, range(400, 600))))
    assert reader.read().thinned
    wide = epoch(700, concentration=[float(i) for i in range(1, 1001)], unknown="x" * 10_000)
    append(folder, wide)
    assert len(repr(reader.read().epochs[-1])) < 1000, "no line takes more than the numbers that are shown"
    assert report.epoch_line(reader.read().epochs[-1]) == report.epoch_line(json.loads(wide))


def test_a_line_without_end_takes_no_memory(folder, monkeypatch):
    monkeypatch.setattr("aninfonce.report.run_log._LONGEST", 1000)
    monkeypatch.setattr("aninfonce.report.run_log._BLOCK", 300)
    append(folder, inside(1) + "x" * 5000)
    reader = LogReader(folder)
    assert (reader.read().step, reader.read().unreadable) == (1, 0)
    append(folder, "x" * 5000 + "\n" + inside(2))
    log = reader.read()
    assert (log.step, log.unreadable) == (2, 1)
    assert LogReader(folder).read() == log


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", "3", '"x"', "{", "{}", '{"config": null}', '{"config": []}', '{"config": {}}', "\x00\xff"]
    + [json.dumps({"config": {"command": "train", "epochs": v, "batch_size": v}}) for v in (None, "3", [], {}, 1e308)]
    + ['{"config": {"command": "train", "epochs": NaN, "batch_size": ' + "9" * 400 + "}}"],
)
def test_odd_settings_do_not_end_the_watching(folder, capsys, content):
    (folder / "run.json").write_bytes(content.encode("latin-1"))
    append(folder, epoch(1) + inside(11))
    assert run(["watch", str(folder), "--once"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{folder.name}: epoch 1: loss 1.000")
    assert lines[1].startswith(f"● {folder.name} epoch 1/")
    settings = json.loads(content)["config"] if '"command"' in content or content == '{"config": {}}' else None
    assert ("run.json" in lines[1]) == ((settings is None and content != "{}") or content == "{}")


@pytest.mark.parametrize("odd", [None, True, "x", [], {}, -1, 1e308, 10**400, math.nan, math.inf])
@pytest.mark.parametrize("key", ["step", "steps", "epoch", "loss", "images_per_second", "concentration", "readouts"])
def test_odd_lines_do_not_end_the_watching(folder, capsys, key, odd):
    append(folder, epoch(1) + inside(11))
    append(folder, json.dumps({**json.loads(inside(12)), key: odd}) + "\n")
    append(folder, json.dumps({**json.loads(epoch(2)), key: odd}) + "\n")
    assert run(["watch", str(folder), "--once"]) == 0
    assert capsys.readouterr().out.startswith(f"{folder.name}: epoch 1")
    log = LogReader(folder).read()
    report.watch_view([log], 100, 40)
    assert log.step >= 11


def test_a_folder_in_place_of_the_log_and_one_without_permission(folder, capsys):
    (folder / "log.jsonl").mkdir()
    assert run(["watch", str(folder), "--once"]) == 0
    assert "log.jsonl cannot be read: it is no file" in capsys.readouterr().out


def test_a_log_that_is_away_for_a_moment_keeps_what_is_known(folder, monkeypatch):
    append(folder, epoch(1))
    reader = LogReader(folder)
    assert reader.read().step == 10
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", lambda *_, **__: (_ for _ in ()).throw(OSError(116, "Stale file handle")))
        log = reader.read()
    assert (log.step, log.trouble) == (10, "log.jsonl cannot be read: Stale file handle")
    assert "Stale file handle" in report.status_line(log).plain
    assert reader.read().trouble == ""


def test_a_name_that_a_terminal_would_obey_is_escaped(tmp_path, capsys):
    odd = tmp_path / "a\x1b[31m\n[old]"
    odd.mkdir()
    (odd / "run.json").write_text(json.dumps(RUN))
    append(odd, epoch(1))
    assert run(["watch", str(odd), "--once"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert shown.count(r"a\x1b[31m\n[old]") == 2
