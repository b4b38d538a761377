"""The command line as its users meet it: results, one clear line for bad input, no traceback."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from aninfonce import experiments, report
from aninfonce.cli import run
from aninfonce.experiments import EXPERIMENTS, Experiment, Outcome, Reference, Study

FAST = ["--backbone", "small:4", "--projector-dim", "8", "--projector-hidden", "16", "--epochs", "1", "--device", "cpu"]


def train(out, *more):
    return run(["train", "--data", "digits", "--limit", "256", "--out", str(out), *FAST, *more])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for objective in ("infonce", "aninfonce"):
        for seed in ("0", "1"):
            assert train(folder / f"{objective}-{seed}", "--objective", objective, "--seed", seed) == 0
    return folder


def test_train_and_compare(runs, capsys):
    out = runs / "compare"
    assert run(["compare", *map(str, sorted(runs.glob("*nce-*"))), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "AnInfoNCE" in printed
    assert "InfoNCE, τ = 0.2" in printed
    assert str(out / "compare.png") in printed
    results = json.loads((out / "results.json").read_text())
    assert len(results["per_seed"]["aninfonce/projector/augmentation_r2"]) == 2
    singles = [json.loads((runs / f"aninfonce-{s}" / "results.json").read_text())["metrics"] for s in (0, 1)]
    mean = sum(single["projector/augmentation_r2"] for single in singles) / 2
    assert results["metrics"]["aninfonce/projector/augmentation_r2"] == pytest.approx(mean)
    for name in ("compare.png", "compare.svg"):
        assert (out / name).stat().st_size > 10_000
    assert "Add a run with --objective infonce --trainable-temperature." in printed
    assert "they do not tell what is due to the anisotropy" in results["missing_control"]
    assert (runs / "infonce-0" / "training.png").stat().st_size > 10_000


def test_a_trainable_temperature_stands_beside_the_others(runs, tmp_path, capsys):
    out = tmp_path / "trainable"
    assert train(out, "--objective", "infonce", "--trainable-temperature") == 0
    results = json.loads((out / "results.json").read_text())
    assert results["method"] == "infonce-trainable"
    assert results["metrics"]["temperature"] != pytest.approx(0.2, rel=1e-3), "it must have moved"
    assert results["metrics"]["temperature"] == pytest.approx(0.5 / results["metrics"]["concentration_max"])
    fixed, ours = (json.loads((runs / f"{name}-0" / "results.json").read_text()) for name in ("infonce", "aninfonce"))
    assert fixed["metrics"]["temperature"] == pytest.approx(0.2)
    assert "temperature" not in ours["metrics"]
    capsys.readouterr()
    folders = [str(runs / "infonce-0"), str(out), str(runs / "aninfonce-0")]
    assert run(["compare", *folders, "--out", str(tmp_path / "compare")]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("InfoNCE, τ = 0.2", "InfoNCE, trainable τ", "AnInfoNCE"))
    assert "Add a run" not in printed
    assert json.loads((tmp_path / "compare" / "results.json").read_text())["missing_control"] is None


def test_reproduce_writes_the_contract_and_adds_seeds_on_resume(tmp_path, capsys):
    command = ["reproduce", "content-style", "--steps", "30", "--out", str(tmp_path / "run"), "--workers", "2"]
    assert run([*command, "--seeds", "1"]) == 0
    assert "AnInfoNCE" in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {"name", "config", "seeds", "versions", "seconds", "cpu_seconds", "metrics", "per_seed", "published"} <= (
        results.keys()
    )
    for method in ("aninfonce", "infonce-tau-1", "infonce-tau-0.1", "infonce-trainable"):
        for measure in ("r2_content", "r2_style", "mean_correlation", "cpu_seconds"):
            assert f"{method}/{measure}" in results["metrics"]
    assert "aninfonce/concentration_error" in results["metrics"]
    assert results["published"]["infonce-tau-1/r2_style"] == 0.01
    first = results["per_seed"]["aninfonce/r2"]
    stamp = (tmp_path / "run" / "jobs" / "aninfonce-seed-0.json").stat().st_mtime_ns
    assert run([*command, "--seeds", "2", "--resume"]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["per_seed"]["aninfonce/r2"][:1] == first
    assert len(results["per_seed"]["aninfonce/r2"]) == 2
    assert (tmp_path / "run" / "jobs" / "aninfonce-seed-0.json").stat().st_mtime_ns == stamp
    assert (tmp_path / "run" / "content-style.svg").stat().st_size > 10_000


def test_reproduce_lists_every_experiment(capsys):
    assert run(["reproduce", "--list"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for name in EXPERIMENTS:
        assert name in printed
    for told in ("published", "full / --quick", "0.989"):
        assert told in printed


@dataclass(frozen=True, kw_only=True)
class Toy(Experiment):
    """An experiment without runs: the frame around it is what is tested."""

    name: ClassVar[str] = "toy"
    shows: ClassVar[str] = "nothing"
    core_seconds: ClassVar[tuple[float, float]] = (2.0, 1.0)
    broken: bool = False

    def quick(self):
        return self

    def study(self):
        missing = {"nothing": Unreadable()} if self.broken else {}
        aims = (Reference("nothing/value", 1.0, source="theory"),)
        return Study(name=self.name, title=self.shows, tasks=missing, seeds=self.all_seeds, references=aims)


@dataclass(frozen=True)
class Unreadable:
    def run(self, seed, place):
        raise ValueError("the data are not there")


@dataclass(frozen=True, kw_only=True)
class BrokenToy(Toy):
    name: ClassVar[str] = "broken"
    broken: bool = True


@dataclass(frozen=True)
class Count:
    size: int

    def run(self, seed, place):
        return Outcome({"r2": seed + self.size / 7, "cpu_seconds": 0.0}, {})


@dataclass(frozen=True)
class Prepare:
    file: str = "prepared"

    def run(self, seed, place):
        (place.folder / self.file).write_text("whole")
        return Outcome({"r2": 1.0, "cpu_seconds": 0.0}, {})

    def check(self, place):
        if (place.folder / self.file).read_text() != "whole":
            raise ValueError(f"{self.file} is damaged")


@dataclass(frozen=True, kw_only=True)
class CountingToy(Toy):
    name: ClassVar[str] = "count"

    def study(self):
        tasks = {"a": Count(1), "b": Count(2)}
        return Study(name=self.name, title="x", tasks=tasks, seeds=self.all_seeds, prepare={"first": Prepare()})


@pytest.fixture
def toys_that_run(monkeypatch):
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"count": CountingToy})
    monkeypatch.setattr(report.study, "FIGURES", {"count": lambda results, out: []})


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"broken": BrokenToy, "toy": Toy})
    monkeypatch.setattr(report.study, "FIGURES", dict.fromkeys(("toy", "broken"), lambda results, out: []))


def test_one_failing_experiment_does_not_stop_the_others(tmp_path, capsys, toys):
    """All experiments end in one page, which says what failed; the exit code does, too."""
    command = ["reproduce", "all", "--out", str(tmp_path / "all"), "--workers", "1"]
    assert run(command) == 1
    printed = capsys.readouterr()
    assert "error: 1 of 2 experiments failed: broken" in printed.err
    page = (tmp_path / "all" / "index.html").read_text()
    assert "the data are not there" in page
    assert 'id="toy"' in page
    assert (tmp_path / "all" / "toy" / "results.json").is_file()
    assert run(command) == 2
    assert "pass --overwrite or --resume" in capsys.readouterr().err
    assert run([*command, "--resume"]) == 1, "a failed one is tried again"
    assert run([*command, "--resume", "--quick"]) == 2
    assert "quick False, now True" in capsys.readouterr().err


def test_settings_an_experiment_does_not_have_are_refused(tmp_path, capsys, toys):
    assert run(["reproduce", "toy", "--steps", "3", "--out", str(tmp_path / "out")]) == 2
    assert "toy does not take --steps" in capsys.readouterr().err
    assert run(["reproduce", "--out", str(tmp_path / "out")]) == 2
    assert "name an experiment" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "content-stile"], "did you mean 'content-style'"),
        (["reproduce", "content-style", "al"], "unknown experiment 'al'"),
        (["reproduce", "content-style", "--seeds", "0"], "seeds must be at least 1"),
        (["reproduce", "content-style", "--workers", "0"], "workers must be at least 1"),
        (["reproduce", "content-style", "--steps", "0"], "steps must be at least 1"),
        (["train", "--data", "digit"], "did you mean 'digits'"),
        (["train", "--objective", "infonse"], "did you mean 'infonce'"),
        (["train", "--backbone", "resnet81"], "resnet"),
        (["train", "--augmentations", "simclr2"], "did you mean 'simclr'"),
        (["train", "--data", "mnist", "--data-root", "/nonexistent"], "/nonexistent"),
        (["train", "--data", "folder:/nonexistent"], "/nonexistent"),
        (["train", "--batch-size", "1"], "batch_size must be at least 2"),
        (["compare", "/nonexistent"], "no run at /nonexistent"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, capsys, arguments, message):
    assert run([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_failed_start_leaves_nothing_in_the_way(tmp_path):
    assert train(tmp_path / "out", "--limit", "100000") == 2
    assert train(tmp_path / "out") == 0


@pytest.mark.parametrize(
    "typo",
    [
        ("--augmentations", "simclrr"),
        ("--backbone", "resnet188"),
        ("--backbone", "timm:vit_tiny_patch"),
        ("--backbone", "small:0"),
        ("--data", "digit"),
        ("--data", "folder:/nonexistent"),
        ("--data-root", "/nonexistent", "--data", "cifar10"),
        ("--pretrained", "/nonexistent.safetensors"),
        ("--limit", "100000"),
        ("--batch-size", "300"),
        ("--image-size", "2", "--backbone", "timm:vit_tiny_patch16_224"),
        ("--loggers", "tensorbord"),
        ("--rate", "-1"),
    ],
    ids=" ".join,
)
def test_a_typing_error_costs_nothing(runs, tmp_path, capsys, typo):
    """The finished run is as it was, bit for bit; a new folder is not there, and the corrected command runs in it."""
    out = runs / "infonce-1"
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert train(out, "--seed", "1", "--overwrite", *typo) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert train(tmp_path / "new", *typo) == 2
    assert not (tmp_path / "new").exists()


def test_a_first_step_that_diverges(runs, tmp_path, capsys):
    """In a new folder what is known about it stays; over an old run, the old run does."""
    out = runs / "aninfonce-1"
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    broken = ("--objective", "aninfonce", "--concentration", "1e38")
    assert train(tmp_path / "new", *broken) == 1
    assert (tmp_path / "new" / "diverged.json").is_file()
    assert str(tmp_path / "new" / "diverged.json") in capsys.readouterr().err
    assert train(out, "--seed", "1", "--overwrite", *broken) == 1
    assert "The old run is back in its place" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_names_are_checked_before_anything_is_loaded(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("aninfonce.training.run.load_images", lambda *_, **__: pytest.fail("the data were loaded"))
    for typo in (["--augmentations", "simclrr"], ["--backbone", "resnet188"], ["--pretrained", "no.safetensors"]):
        assert train(tmp_path / "new", *typo) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_truncated_job_is_run_again(tmp_path, toys_that_run, capsys):
    command = ["reproduce", "count", "--seeds", "2", "--workers", "1", "--out", str(tmp_path / "out")]
    assert run(command) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    job = tmp_path / "out" / "jobs" / "a-seed-1.json"
    whole = job.read_bytes()
    for damage in (b"", whole[:20], b"[]", b'{"metrics": {}}', b'{"metrics": [], "details": {}}'):
        job.write_bytes(damage)
        (tmp_path / "out" / "results.json").write_bytes(b"{")
        capsys.readouterr()
        assert run([*command, "--resume"]) == 0
        assert "a-seed-1.json" in capsys.readouterr().out
        assert job.read_bytes() == whole
    assert json.loads((tmp_path / "out" / "results.json").read_text())["per_seed"] == results["per_seed"]
    (tmp_path / "out" / "jobs" / "prepared").write_text("ha")
    assert run([*command, "--resume"]) == 0
    assert "prepared is damaged; that run is done again" in capsys.readouterr().out
    assert (tmp_path / "out" / "jobs" / "prepared").read_text() == "whole"


def test_a_run_is_not_overwritten_unasked(runs, capsys):
    assert train(runs / "infonce-0") == 2
    assert "already holds a run; pass --overwrite or --resume" in capsys.readouterr().err
    assert train(runs / "infonce-0", "--resume") == 0
    assert train(runs / "infonce-0", "--resume", "--rate", "0.1") == 2
    assert "rate 0.002, now 0.1" in capsys.readouterr().err
    assert train(runs / "infonce-0", "--overwrite") == 0


def test_only_training_runs_are_compared(tmp_path, runs, capsys):
    (tmp_path / "results.json").write_text(json.dumps({"name": "content-style", "metrics": {}}))
    assert run(["compare", str(runs / "infonce-0"), str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "only training runs can be compared, got a run of 'content-style'" in capsys.readouterr().err


def test_unreadable_images_are_named_skipped_and_counted(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(60):
            pixels = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    (tmp_path / "images" / "cat" / "broken.png").write_bytes(b"not a picture")
    out = tmp_path / "out"
    code = run(["train", "--data", f"folder:{tmp_path / 'images'}", "--batch-size", "32", "--out", str(out), *FAST])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "broken.png" in printed.out
    assert "1 skipped as unreadable" in printed.out
    assert json.loads((out / "results.json").read_text())["skipped"][0]["file"].endswith("broken.png")


@pytest.mark.parametrize("level", [[], ["reproduce"], ["train"], ["compare"]])
def test_help_at_every_level(level, capsys):
    with pytest.raises(SystemExit) as leaving:
        run([*level, "--help"])
    assert leaving.value.code == 0
    assert len(capsys.readouterr().out) > 300


def test_a_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tyro", None)
    assert run(["compare", "x"]) == 2
    assert "pip install 'aninfonce[app]'" in capsys.readouterr().err


def test_a_preempted_training_saves_says_so_and_goes_on(tmp_path):
    """SIGTERM, as a cluster sends it: a checkpoint, an exit code of its own, and --resume ends the run."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "aninfonce", "train", "--limit", "256", *FAST, "--out", str(out)]
    command += ["--epochs", "60", "--checkpoint-minutes", "1000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            process.send_signal(signal.SIGTERM)
            break
    _, error = process.communicate(timeout=60)
    assert process.returncode == 75, error
    assert "continue with --resume" in error
    assert list((out / "checkpoints").glob("*.json"))
    assert not (out / "results.json").exists()
    assert subprocess.run([*command, "--resume"], capture_output=True, check=False, timeout=120).returncode == 0
    assert len(json.loads((out / "results.json").read_text())["history"]) == 60


def group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("command", "sent"), [("reproduce", "SIGINT"), ("reproduce", "SIGTERM"), ("train", "SIGINT")])
def test_a_signal_ends_cleanly_and_leaves_what_was_computed(tmp_path, command, sent):
    out = tmp_path / "out"
    if command == "reproduce":
        arguments = ["reproduce", "content-style", "--steps", "100", "--seeds", "50", "--workers", "1"]
        computed = out / "jobs" / "aninfonce-seed-0.json"
    else:
        arguments = ["train", "--epochs", "500", "--limit", "256", "--backbone", "small:4"]
        computed = out / "checkpoints"
    process = subprocess.Popen(
        [sys.executable, "-m", "aninfonce", *arguments, "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A job in the background of a shell inherits an ignored SIGINT; a user's terminal does not ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not (any(computed.glob("*.json")) if computed.is_dir() else computed.exists()):
        assert time.monotonic() < deadline, "nothing was computed within two minutes"
        time.sleep(0.05)
    if sent == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches the whole group
    else:
        process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "interrupted" in error
    assert "Traceback" not in error
    deadline = time.monotonic() + 10
    while group_lives(process.pid):
        assert time.monotonic() < deadline, "a worker process was left behind"
        time.sleep(0.1)
    if command == "reproduce":
        results = json.loads((out / "results.json").read_text())
        assert results["complete"] is False
        assert results["per_seed"]["aninfonce/r2"]
    assert not list(Path(out).rglob(".*.json.*")), "a half-written file was left"
