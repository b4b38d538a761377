"""TensorBoard and W&B get what log.jsonl gets, also over an interruption."""

from __future__ import annotations

import dataclasses
import json
import struct
import sys

import pytest
from tiny_run import TINY

from aninfonce._extras import MissingExtraError
from aninfonce.training import PreemptedError, TrainConfig, fit
from aninfonce.training.journal import LOG
from aninfonce.training.loggers import finalized, make_loggers, scalars
from aninfonce.training.loop import CHECKPOINTS


def log_of(folder):
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def logged(folder):
    """The last step that is in the log."""
    lines = log_of(folder) if (folder / LOG).is_file() else []
    return lines[-1]["step"] if lines else 0


def as_series(lines):
    """Name -> [(step, value)], in order."""
    series = {}
    for line in lines:
        for name, value in scalars(line).items():
            series.setdefault(name, []).append((line["step"], value))
    return series


def interrupted_and_continued(config, images, folder, **more):
    """Stopped where lines were logged after the newest checkpoint that is left: they are logged again."""
    with pytest.raises(PreemptedError):
        fit(config, images, folder, stop=lambda: logged(folder) >= 8, **more)
    max((folder / CHECKPOINTS).glob("*.json")).unlink()
    fit(config, images, folder, **more)


def test_tensorboard_holds_what_the_log_holds(tmp_path, images):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = dataclasses.replace(TINY, loggers=("tensorboard",), log_every=2)
    interrupted_and_continued(config, images, tmp_path, examine=lambda task, epoch: {"backbone/x": 1 / epoch})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    expected = as_series(log_of(tmp_path))
    assert set(events.Tags()["scalars"]) == set(expected)
    assert {"epoch/loss", "step/learning_rate", "epoch/readouts/backbone/x"} <= expected.keys()
    for name, series in expected.items():
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in series], name
        assert [value for _, value in found] == pytest.approx([value for _, value in series]), name


def test_a_wandb_run_stays_on_this_machine_and_goes_on_under_its_id(tmp_path, images, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    config = dataclasses.replace(TINY, loggers=("wandb",))
    interrupted_and_continued(config, images, tmp_path)
    identity = json.loads((tmp_path / "wandb-run.json").read_text())["id"]
    files = sorted((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert [path.name for path in files] == [f"run-{identity}.wandb"] * 2
    steps = [row["step"] for path in files for row in history(path)]
    assert steps == [4, 8, 8, 12], "what lay after the checkpoint is logged again, under its own step"
    assert history(files[-1])[-1]["epoch/loss"] == log_of(tmp_path)[-1]["loss"]


def history(path):
    """What was logged to W&B's file: a header of 7 bytes, then LevelDB's log format with protocol buffers in it."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole, rows = path.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # no header fits into the block's end
            place += 32768 - place % 32768
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            record = Record.FromString(whole)
            whole = b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"aninfonce\[{name}\]"):
        make_loggers(dataclasses.replace(TINY, loggers=(name,)), tmp_path)


def test_without_an_account_wandb_says_what_to_do(tmp_path, monkeypatch):
    import wandb

    def refuse(**settings):
        raise wandb.errors.UsageError("no API key")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ValueError, match="cannot start: no API key; WANDB_MODE=offline"):
        make_loggers(dataclasses.replace(TINY, loggers=("wandb",)), tmp_path)


@pytest.mark.parametrize(
    ("error", "status"), [(None, "success"), (PreemptedError("x"), "aborted"), (ValueError("x"), "failed")]
)
def test_loggers_are_told_how_it_ended(error, status):
    told = []

    class Listener:
        finalize = staticmethod(told.append)

    def training():
        with finalized([Listener()]):
            if error is not None:
                raise error

    if error is None:
        training()
    else:
        with pytest.raises(type(error)):
            training()
    assert told == [status]


def test_unknown_loggers_are_refused():
    with pytest.raises(ValueError, match="did you mean 'tensorboard'"):
        TrainConfig(loggers=("tensorbord",))
