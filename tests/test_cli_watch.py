"""`aninfonce watch` beside a training that runs: lines where there is no terminal, charts on one."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time

import pytest

from aninfonce._runs import write_json, write_lines
from aninfonce.cli import run

LINE = {"loss": 5.0, "hit_at_1": 0.1, "effective_rank": 3.0, "images_per_second": 64.0, "concentration": [2.0]}


def write(folder, epochs, finished=False):
    folder.mkdir(exist_ok=True)
    # Whole or not at all, as a training writes them.
    write_json(folder / "run.json", {"config": {"command": "train", "epochs": 3, "batch_size": 64}})
    write_lines(folder / "log.jsonl", [{"step": 10 * n, "epoch": n, **LINE} for n in range(1, epochs + 1)])
    if finished:
        (folder / "results.json").write_text("{}")


def test_every_epoch_is_told_once_until_the_runs_are_finished(tmp_path, capsys):
    """A run that begins later, goes back to a checkpoint and ends; another one that is done already."""

    def training():
        for epochs in (1, 2, 1, 2, 3):
            time.sleep(0.3)
            write(tmp_path / "a", epochs, finished=epochs == 3)

    write(tmp_path / "b", 3, finished=True)
    beside = threading.Thread(target=training)
    beside.start()
    assert run(["watch", str(tmp_path / "a"), str(tmp_path / "b"), "--every", "0.02"]) == 0
    beside.join()
    lines = capsys.readouterr().out.splitlines()
    told = [line.partition(": loss")[0] for line in lines if line.startswith("a: ")]
    assert told == ["a: epoch 1", "a: epoch 2", "a: continued from step 10", "a: epoch 2", "a: epoch 3"]
    assert lines[0] == "● a has not begun to write its log"
    assert lines[-1] == "● a epoch 3/3, step 30/30, finished"
    assert [line.partition(": loss")[0] for line in lines if line.startswith("b: ")] == [
        f"b: epoch {n}" for n in (1, 2, 3)
    ]


def test_once_looks_once(tmp_path, capsys):
    write(tmp_path / "a", 1)
    assert run(["watch", str(tmp_path / "a"), str(tmp_path / "b"), "--once"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("a: epoch 1: loss 5.000, Hit@1 0.10, effective rank 3.0, Λ̂ 2, 64 images/s")
    assert lines[1].startswith("● a epoch 1/3, step 10/30")
    assert lines[2] == "● b has not begun to write its log"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name at least one folder"),
        (["x", "--every", "0"], "positive number of seconds"),
        (["FILE"], "got the file"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, capsys, arguments, message):
    (tmp_path / "file").touch()
    assert run(["watch", *[str(tmp_path / "file") if a == "FILE" else a for a in arguments]]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_on_a_terminal_it_draws_and_ctrl_c_ends_it(tmp_path):
    write(tmp_path / "a", 2)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40", "PYTHONUTF8": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "aninfonce", "watch", str(tmp_path / "a"), "--every", "0.1"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(theirs)
    seen = b""
    while b"epoch 2/3" not in seen:
        seen += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    while True:
        try:
            seen += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    _, error = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0, error
    assert not error
    text = seen.decode(errors="replace")  # Ctrl-C may come in the middle of a character
    assert "effective rank" in text
    assert any(0x2800 < ord(c) < 0x2900 for c in text), "dots are drawn"
    assert "\x1b[?1049h" in text, "on a screen of its own"
    assert text.rindex("\x1b[?1049l") < text.rindex("epoch 2/3"), "the last charts stay"
