"""log.jsonl after whatever end."""

from __future__ import annotations

import json

from aninfonce.training.journal import LOG, Journal


def lines_of(folder):
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def test_lines_after_the_checkpoint_and_half_lines_go(tmp_path):
    journal = Journal(tmp_path, 0, [])
    for step in (2, 4, 6, 8):
        journal.write({"step": step, "loss": float(step)})
    journal.write({"step": 4, "epoch": 1, "loss": 3.0})
    with (tmp_path / LOG).open("ab") as file:
        file.write(b'{"step": ' + b"9" * 5000 + b"}\n" + b"[" * 100_000 + b'\n{"step": 9, "lo\xff')
    Journal(tmp_path, 6, [{"step": 4, "epoch": 1, "loss": 3.0}])
    assert [(line["step"], line.get("epoch")) for line in lines_of(tmp_path)] == [
        (2, None),
        (4, None),
        (4, 1),
        (6, None),
    ]


def test_epochs_come_from_the_checkpoint_if_the_log_is_lost(tmp_path):
    epochs = [{"step": 4, "epoch": 1, "loss": 3.0}, {"step": 8, "epoch": 2, "loss": 2.0}]
    Journal(tmp_path, 8, epochs)
    assert lines_of(tmp_path) == epochs


def test_what_is_not_a_number_is_null(tmp_path):
    Journal(tmp_path, 0, []).write({"step": 1, "loss": float("nan")})
    assert lines_of(tmp_path) == [{"step": 1, "loss": None}]
