"""A run that was broken off and continued ends with the very weights of an unbroken one, however it ended."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal

import pytest
import torch
from saving_processes import train_in_a_process
from tiny_run import TINY, same

from aninfonce.training import PreemptedError, fit
from aninfonce.training.checkpoint import restore, state_of
from aninfonce.training.clock import Clock
from aninfonce.training.journal import LOG
from aninfonce.training.loop import CHECKPOINTS, make_task
from aninfonce.training.optimizers import make_optimizer
from aninfonce.training.randomness import generator_at
from aninfonce.training.store import CheckpointStore

CONFIG = dataclasses.replace(TINY, checkpoint_minutes=0, ema=0.9, log_every=5)


@pytest.fixture(scope="module")
def unbroken(images, tmp_path_factory):
    return fit(CONFIG, images, tmp_path_factory.mktemp("unbroken"))


def timeless(history):
    return [dataclasses.replace(record, images_per_second=0.0) for record in history]


@pytest.mark.parametrize("step", [1, 3, 4, 6, 11])
def test_stopped_at_any_step_and_continued(tmp_path, images, unbroken, step):
    seen = []
    with pytest.raises(PreemptedError, match=f"stopped after step {step} of 12"):
        fit(CONFIG, images, tmp_path, on_step=lambda record: seen.append(record.step), stop=lambda: seen[-1] == step)
    task, history = fit(CONFIG, images, tmp_path, on_step=lambda record: seen.append(record.step))
    assert seen == list(range(1, 13)), "no step is done twice, none is left out"
    assert same(task, unbroken[0])
    assert timeless(history) == timeless(unbroken[1])
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    epochs = [line for line in lines if "epoch" in line]
    assert [(line["epoch"], line["step"]) for line in epochs] == [(1, 4), (2, 8), (3, 12)], "no line twice"
    assert [line["loss"] for line in epochs] == [record.loss for record in history]
    assert [line["step"] for line in lines if "epoch" not in line] == [5, 10]


def test_an_error_in_the_middle_costs_nothing_either(tmp_path, images, unbroken):
    def fail(record):
        if record.step == 7:
            raise RuntimeError("the machine is gone")

    with pytest.raises(RuntimeError, match="gone"):
        fit(CONFIG, images, tmp_path, on_step=fail)
    assert same(fit(CONFIG, images, tmp_path)[0], unbroken[0])


def test_layers_that_draw_are_continued_too(tmp_path, images, monkeypatch):
    """Dropout draws from the global generator, which every step seeds anew."""
    from aninfonce.models import Projector

    class Dropping(Projector):
        def forward(self, x):
            return super().forward(torch.dropout(x, 0.3, self.training))

    monkeypatch.setattr("aninfonce.training.module.Projector", Dropping)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, _ = fit(CONFIG, images, tmp_path / "a")
    with pytest.raises(PreemptedError):
        fit(CONFIG, images, tmp_path / "b", stop=lambda: len(CheckpointStore(tmp_path / "b" / CHECKPOINTS).steps) > 1)
    torch.manual_seed(99)
    assert same(fit(CONFIG, images, tmp_path / "b")[0], whole)


def test_a_finished_run_is_not_trained_again(tmp_path, images, unbroken):
    fit(CONFIG, images, tmp_path)
    steps = []
    task, history = fit(CONFIG, images, tmp_path, on_step=lambda record: steps.append(record.step))
    assert not steps
    assert same(task, unbroken[0])
    assert len(history) == CONFIG.epochs


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(tmp_path, images, unbroken):
    with pytest.raises(PreemptedError):
        fit(CONFIG, images, tmp_path, stop=lambda: CheckpointStore(tmp_path / CHECKPOINTS).steps[-1:] == [6])
    newest = sorted((tmp_path / CHECKPOINTS).glob("*.safetensors"))[-1]
    newest.write_bytes(newest.read_bytes()[:-7])
    warnings = []
    task, _ = fit(CONFIG, images, tmp_path, on_warning=warnings.append)
    assert len(warnings) == 1
    assert newest.name in warnings[0]
    assert same(task, unbroken[0])
    for path in (tmp_path / CHECKPOINTS).glob("*.json"):
        path.write_text("{}")
    with pytest.raises(ValueError, match="every checkpoint"):
        fit(CONFIG, images, tmp_path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path, images):
    fit(dataclasses.replace(CONFIG, epochs=1), images, tmp_path)
    with pytest.raises(ValueError, match="belongs to another network"):
        fit(dataclasses.replace(CONFIG, backbone="small:8"), images, tmp_path)


def test_the_state_is_everything_the_next_step_depends_on(tmp_path, images):
    task = make_task(CONFIG, images)
    optimizer = make_optimizer(task, CONFIG)
    sum(p.square().sum() for p in task.parameters()).backward()
    optimizer.step()
    store = CheckpointStore(tmp_path)
    store.save(1, state_of(task, optimizer), {})
    task.zero_grad()
    other = make_optimizer(task, CONFIG)
    restore(store.latest(), task, other)
    ours, theirs = optimizer.state_dict()["state"], other.state_dict()["state"]
    assert ours.keys() == theirs.keys()
    for index, state in ours.items():
        assert state.keys() == theirs[index].keys()
        assert all(torch.equal(torch.as_tensor(state[k]), torch.as_tensor(theirs[index][k])) for k in state)


def test_draws_follow_from_seed_purpose_and_place():
    draws = [
        torch.rand(4, generator=generator_at(seed, purpose, place))
        for seed in (0, 1)
        for purpose in ("order", "views")
        for place in (0, 1)
    ]
    assert len({tuple(draw.tolist()) for draw in draws}) == 8
    assert torch.equal(draws[0], torch.rand(4, generator=generator_at(0, "order", 0)))


def killed_until_done(folder, context, kills, generator):
    """Start the training again and again, SIGKILL it at random moments, then let it end; returns how often it died."""
    died = 0
    while True:
        process = context.Process(target=train_in_a_process, args=(CONFIG, folder))
        process.start()
        if died < kills:
            process.join(timeout=0.1 + 1.0 * torch.rand((), generator=generator).item())
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                died += 1
                continue
        process.join(timeout=120)
        assert process.exitcode == 0
        if died >= kills or (folder / "model.safetensors").exists():
            return died


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path, kills):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["aninfonce.training"])
    generator = torch.Generator().manual_seed(kills)
    (tmp_path / "whole").mkdir()
    killed_until_done(tmp_path / "whole", context, 0, generator)
    expected = (tmp_path / "whole" / "model.safetensors").read_bytes()
    died = rounds = 0
    while died < kills:  # a run may end before it is killed
        folder = tmp_path / str(rounds)
        folder.mkdir()
        died += killed_until_done(folder, context, kills - died, generator)
        rounds += 1
        assert rounds < 200
        assert (folder / "model.safetensors").read_bytes() == expected
        assert not list((folder / CHECKPOINTS).glob(".*")), "nothing half written is left lying"
    assert died == kills


def test_the_time_of_a_continued_run_is_that_of_all_its_parts(tmp_path, images):
    """A run in two parts must not look cheaper than one in one."""
    for name in ("short", "run"):
        (tmp_path / name).mkdir()
    fit(dataclasses.replace(CONFIG, epochs=1), images, tmp_path / "short")
    path = max((tmp_path / "short" / CHECKPOINTS).glob("*.json"))
    taken = json.loads(path.read_text())["progress"]
    assert 0 < taken["cpu_seconds"] < 100
    clock = Clock()
    clock.add({"seconds": 1000.0, "cpu_seconds": 2000.0})
    assert 1000 < clock.seconds < 1100
    with pytest.raises(PreemptedError):
        fit(CONFIG, images, tmp_path / "run", stop=lambda: True, clock=clock)
    again = Clock()
    fit(CONFIG, images, tmp_path / "run", clock=again)
    assert again.seconds > 1000
    assert again.cpu_seconds > 2000
