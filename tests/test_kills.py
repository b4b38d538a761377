"""SIGKILL just before any change that a command makes to its folder; the same command then reaches the unbroken end."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from aninfonce import experiments, report
from aninfonce.cli import run
from aninfonce.experiments import Experiment, Outcome, Study
from aninfonce.experiments import study as studies
from killing import content, in_a_process

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")

TRAIN = "train --data digits --limit 128 --batch-size 64 --backbone small:2 --projector-dim 4 --projector-hidden 4"
TRAIN += " --epochs 2 --test-images 40 --readout-images 60 --checkpoint-minutes 0 --ema 0.9 --device cpu"


def kills(
    tmp_path: Path, before: Callable[[Path], object], command: list[str], again: list[str], at: Callable[[int], range]
) -> None:
    """Kill `command` at the changes that `at` chooses of all, run `again`, and compare with `command` unbroken.

    Arguments:
        tmp_path: an empty folder.
        before: makes the state from which both start, in a folder `out`.
        command: OUT in it stands for that folder.
        again: what a user does after the kill.
        at: from the number of changes to those at which to kill.
    """
    whole, broken = tmp_path / "whole" / "out", tmp_path / "broken" / "out"
    start = tmp_path / "start" / "out"
    for folder in (whole, broken, start):
        folder.parent.mkdir()
    before(start)

    def filled(words: list[str]) -> list[str]:
        return [word.replace("OUT", "out") for word in words]

    def here(folder: Path, words: list[str], kill_at: int | None = None) -> tuple[int, int]:
        shutil.rmtree(folder.parent)
        shutil.copytree(start.parent, folder.parent, symlinks=True)
        return there(folder, words, kill_at)

    def there(folder: Path, words: list[str], kill_at: int | None = None) -> tuple[int, int]:
        def action() -> int:
            os.chdir(folder.parent)
            return run(filled(words))

        return in_a_process(action, below=folder, kill_at=kill_at)

    status, changes = here(whole, command)
    assert status == 0
    expected = content(whole.parent)
    assert changes > 10
    for place in at(changes):
        status, _ = here(broken, command, kill_at=place)
        assert status == -9, f"the process was not killed at change {place} of {changes}"
        status, _ = there(broken, again)
        assert status == 0, f"after a kill at change {place} of {changes}"
        assert content(broken.parent) == expected, f"after a kill at change {place} of {changes}"


def some(changes: int) -> range:
    return range(changes // 4, changes, changes // 2)


EVERY = pytest.param(range, marks=pytest.mark.slow, id="every")
SOME = pytest.param(some, id="some")


@pytest.mark.parametrize("at", [SOME, EVERY])
def test_train(tmp_path, at):
    command = [*TRAIN.split(), "--out", "OUT"]
    kills(tmp_path, lambda out: None, command, [*command, "--resume"], at)


@pytest.mark.parametrize("at", [SOME, EVERY])
def test_train_over_a_finished_run(tmp_path, at):
    """The run that is replaced had the same settings: then --resume may go on from either."""
    command = [*TRAIN.split(), "--out", "OUT"]
    again = [*command, "--resume"]
    kills(tmp_path, finished(command), [*command, "--overwrite"], again, at)


@pytest.mark.parametrize("at", [SOME, EVERY])
def test_train_over_a_finished_run_of_other_settings(tmp_path, at):
    command = [*TRAIN.split(), "--out", "OUT", "--overwrite"]
    kills(tmp_path, finished([*TRAIN.split(), "--out", "OUT", "--seed", "5"]), command, command, at)


@pytest.mark.parametrize("at", [SOME, EVERY])
def test_compare_over_another_comparison(tmp_path, at):
    def before(out: Path) -> None:
        finished([*TRAIN.split(), "--out", "a"])(out)
        shutil.copytree(out.parent / "a", out.parent / "b")
        finished(["compare", "b", "--out", "OUT"])(out)

    command = ["compare", "a", "--out", "OUT", "--overwrite"]
    kills(tmp_path, before, command, command, at)


def finished(command: list[str]) -> Callable[[Path], None]:
    def before(out: Path) -> None:
        def action() -> int:
            os.chdir(out.parent)
            return run([word.replace("OUT", "out") for word in command])

        assert in_a_process(action, below=out)[0] == 0

    return before


@dataclass(frozen=True, kw_only=True)
class Toy(Experiment):
    """Three runs and a preparation, which cost nothing."""

    name: ClassVar[str] = "toy"
    shows: ClassVar[str] = "nothing"
    core_seconds: ClassVar[tuple[float, float]] = (2.0, 1.0)

    def quick(self):
        return self

    def study(self):
        return Study(name=self.name, title=self.shows, tasks={"a": Count(1), "b": Count(2)}, seeds=self.all_seeds)


class Other(Toy):
    name: ClassVar[str] = "other"


@dataclass(frozen=True)
class Count:
    size: int

    def run(self, seed, place):
        return Outcome({"r2": seed + self.size / 7, "cpu_seconds": 0.0}, {})


class InThisProcess(ProcessPoolExecutor):
    """A pool that runs what it is given at once, since a fork with a pool in it is slow to start."""

    def __init__(self, *_, **__):
        pass

    def submit(self, function, /, *arguments, **_):
        future = Future()
        future.set_result(function(*arguments))
        return future

    def shutdown(self, wait=True, *, cancel_futures=False):
        pass


@pytest.fixture
def toys(monkeypatch):
    monkeypatch.setattr(experiments, "EXPERIMENTS", {"toy": Toy, "other": Other})
    monkeypatch.setattr(report.study, "FIGURES", dict.fromkeys(("toy", "other"), lambda results, out: []))
    monkeypatch.setattr(studies, "ProcessPoolExecutor", InThisProcess)


@pytest.mark.parametrize("at", [SOME, EVERY])
@pytest.mark.parametrize("names", [["toy"], ["toy", "other"]])
def test_reproduce(tmp_path, toys, names, at):
    command = ["reproduce", *names, "--seeds", "2", "--out", "OUT"]
    kills(tmp_path, lambda out: None, command, [*command, "--resume"], at)


@pytest.mark.parametrize("at", [SOME, EVERY])
@pytest.mark.parametrize("names", [["toy"], ["toy", "other"]])
def test_reproduce_over_finished_runs(tmp_path, toys, names, at):
    command = ["reproduce", *names, "--seeds", "2", "--out", "OUT"]
    kills(tmp_path, finished(command), [*command, "--overwrite"], [*command, "--resume"], at)
