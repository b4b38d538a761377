"""A run that goes on with more epochs than it was begun with."""

import dataclasses
import json

import pytest
from tiny_run import TINY, same

from aninfonce.cli import run
from aninfonce.report import LogReader
from aninfonce.training import fit
from aninfonce.training.optimizers import learning_rate_factor

SHORT = dataclasses.replace(TINY, epochs=1)
FLAGS = "train --data digits --backbone small:4 --projector-dim 8 --projector-hidden 16 --batch-size 64 --limit 256"


def test_what_was_done_stays_and_the_rest_follows_the_new_schedule(tmp_path, images):
    _, first = fit(SHORT, images, tmp_path)
    steps = []
    _, history = fit(TINY, images, tmp_path, on_step=steps.append)
    assert history[: len(first)] == first
    assert [record.epoch for record in history] == [1, 2, 3]
    assert [record.step for record in steps] == list(range(5, 13))
    assert {record.steps for record in steps} == {12}
    for record in steps:
        assert record.learning_rate == pytest.approx(TINY.rate * learning_rate_factor(record.step - 1, 12))


def test_a_run_as_long_from_the_beginning_is_another_one(tmp_path, images):
    (tmp_path / "raised").mkdir()
    (tmp_path / "long").mkdir()
    fit(SHORT, images, tmp_path / "raised")
    raised, _ = fit(TINY, images, tmp_path / "raised")
    assert not same(raised, fit(TINY, images, tmp_path / "long")[0]), "its first epoch had another learning rate"


def command(out, epochs, *more):
    return run([*FLAGS.split(), "--device", "cpu", "--epochs", str(epochs), "--out", str(out), *more])


def test_epochs_can_be_raised_and_not_lowered(tmp_path, capsys):
    out = tmp_path / "run"
    assert command(out, 1) == 0
    before = json.loads((out / "results.json").read_text())
    assert command(out, 2, "--resume", "--rate", "0.1") == 2
    error = capsys.readouterr().err
    assert "rate 0.002, now 0.1" in error
    assert "epochs 1" not in error, "they are not what is wrong"
    assert command(out, 3, "--resume") == 0
    after = json.loads((out / "results.json").read_text())
    assert json.loads((out / "run.json").read_text())["config"]["epochs"] == after["config"]["epochs"] == 3
    assert after["history"][0] == before["history"][0]
    assert [record["epoch"] for record in after["history"]] == [1, 2, 3]
    capsys.readouterr()
    assert command(out, 2, "--resume") == 2
    assert "epochs 3, now 2 (epochs can be raised, not lowered)" in capsys.readouterr().err
    assert command(out, 3, "--resume") == 0


def test_a_run_that_goes_on_is_not_finished(tmp_path):
    config = {"command": "train", "epochs": 1, "batch_size": 64}
    line = {"step": 4, "epoch": 1, "loss": 1.0, "hit_at_1": 0.5, "effective_rank": 2.0, "images_per_second": 9.0}
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "results.json").write_text("{}")
    for epochs, finished in ((1, True), (2, False)):
        marker = {"aninfonce": "0", "config": {**config, "epochs": epochs}}
        (tmp_path / "run.json").write_text(json.dumps(marker))
        assert LogReader(tmp_path).read().finished is finished


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_half_precision_on_a_cpu_is_refused_with_the_remedy(tmp_path, capsys, monkeypatch, device):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    out = tmp_path / "run"
    assert run([*FLAGS.split(), "--device", device, "--precision", "16-mixed", "--out", str(out)]) == 2
    assert "use bf16-mixed, or 32" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("place", ["a" * 240, "é" * 120, "🐈" * 60, "e\u0301" * 80], ids=["a", "e", "cat", "accents"])
def test_the_default_name_of_a_long_data_set_is_cut(tmp_path, monkeypatch, capsys, place):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    images = tmp_path / "deep" / place
    for kind in "ab":
        (images / kind).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (16, 16), (30 * i, 9, 200)).save(images / kind / f"{i}.png")
    arguments = [*FLAGS.split(), "--data", f"folder:{images}", "--batch-size", "2", "--epochs", "1"]
    arguments = [a for i, a in enumerate(arguments) if a not in ("--limit", "256")]
    assert run([*arguments, "--device", "cpu"]) == 0, capsys.readouterr().err
    (found,) = (tmp_path / "runs").iterdir()
    assert len(found.name.encode()) <= 255
    assert found.name.endswith("-infonce-tau-0.2-seed-0")
    assert (found / "results.json").is_file()


def test_the_message_says_how_many_images_are_trained_on(tmp_path, capsys):
    assert command(tmp_path / "run", 1, "--validation", "0.25") == 0
    printed = capsys.readouterr().out
    assert "1438 training and 359 test images" in printed
    assert "trained on 256 of the 1438 training images, 360 are held out for validation" in printed
