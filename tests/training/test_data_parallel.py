"""Several processes train what one process trains, by gloo on the CPU: losses, weights, checkpoints, ends."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import socket

import pytest
import torch
from data_parallel_worker import losses_of, run

from aninfonce._runs import read_tensors
from aninfonce.training import TrainConfig

CONFIG = TrainConfig(
    data="digits",  # not read: the worker has its own
    objective="aninfonce",
    backbone="small:4",
    projector_dim=8,
    projector_hidden=16,
    batch_size=256,
    epochs=50,  # of one step each: 256 images
    checkpoint_minutes=1000,
    device="cpu",
)
CASES = {
    "aninfonce": CONFIG,
    "trainable temperature": dataclasses.replace(CONFIG, objective="infonce", trainable_temperature=True, epochs=10),
    "sgd, ema": dataclasses.replace(CONFIG, optimizer="sgd", rate=0.1, ema=0.9, epochs=10),
    "fsdp": dataclasses.replace(CONFIG, strategy="fsdp", epochs=10, ema=0.9),
}


def launched(world, folder, cases):
    """Run the cases in so many processes; the losses of each process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    cases = {name: dataclasses.replace(config, devices=world) for name, config in cases.items()}
    started = [spawn.Process(target=run, args=(rank, world, port, folder, cases)) for rank in range(world)]
    for process in started:
        process.start()
    for process in started:
        process.join(timeout=240)
    errors = [path.read_text() for path in folder.glob("error-*")]
    assert not errors, errors[0]
    assert [process.exitcode for process in started] == [0] * world
    return [json.loads((folder / f"losses-{rank}.json").read_text()) for rank in range(world)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return folder, {name: losses_of(dataclasses.replace(c, strategy="ddp"), folder / name) for name, c in CASES.items()}


@pytest.fixture(scope="module", params=[2, 3], ids=["2 processes", "3 processes"])
def together(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    return folder, launched(request.param, folder, CASES)


@pytest.mark.parametrize("name", CASES)
def test_the_losses_are_those_of_one_process(alone, together, name):
    for found in together[1]:
        assert len(found[name]) == CASES[name].epochs
        torch.testing.assert_close(torch.tensor(found[name]), torch.tensor(alone[1][name]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_so_are_the_weights(alone, together, name):
    one, several = (read_tensors(folder / name / "model.safetensors")[0] for folder in (alone[0], together[0]))
    assert one.keys() == several.keys()
    moved = 0
    for key, value in one.items():
        torch.testing.assert_close(several[key], value, rtol=2e-3, atol=2e-4, msg=lambda m, key=key: f"{key}: {m}")
        moved += "concentration" in key or "temperature" in key
    assert moved, "Λ̂ or the temperature is among them"
