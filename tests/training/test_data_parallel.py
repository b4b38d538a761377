"""Several processes train what one process trains, by gloo on the CPU: losses, weights, checkpoints."""

from __future__ import annotations

import dataclasses
import functools
import json
import multiprocessing
import socket

import pytest
import torch
from data_parallel_worker import diverging, losses_of, run

from aninfonce._tensors import read_tensors
from aninfonce.training import TrainConfig
from aninfonce.training.loop import CHECKPOINTS
from aninfonce.training.store import CheckpointStore

# The convolutional network in double precision, since in single the two differ by more than rounding: one activation in
# a million lies so near a ReLU's kink that it falls on the other side, and AdamW makes a full step of the smallest
# gradient. A smooth network stays within rounding in single precision, too.
CONFIG = TrainConfig(
    data="digits",  # not read: the worker has its own images
    objective="aninfonce",
    backbone="small:4",
    projector_dim=8,
    projector_hidden=16,
    batch_size=256,
    epochs=50,  # of one step each: 256 images
    checkpoint_minutes=1000,
    precision="64",
    device="cpu",
)
SHORT = dataclasses.replace(CONFIG, epochs=8)
SMOOTH = dataclasses.replace(CONFIG, backbone="timm:test_vit", projector_layers=1, precision="32")
CASES = {
    "aninfonce": CONFIG,
    "trainable temperature": dataclasses.replace(SHORT, objective="infonce", trainable_temperature=True),
    "sgd, average": dataclasses.replace(SHORT, optimizer="sgd", rate=0.1, ema=0.9),
    "single precision": SMOOTH,
    "pieces": dataclasses.replace(SMOOTH, accumulate=2, epochs=3),
    "fsdp": dataclasses.replace(SMOOTH, strategy="fsdp", ema=0.9, epochs=8),
}
# Of weights. A softmax does not see the keys' biases, whose gradient is rounding alone: AdamW makes steps of it.
TOLERANCE = {"64": 1e-5, "32": 1e-3}
IN_THREE = ("aninfonce",)  # parts of 86, 85 and 85 images


def launched(world, folder, cases, result=losses_of):
    """Run the cases in so many processes; what each process found, the losses of every step if nothing else."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    cases = {name: dataclasses.replace(config, devices=world) for name, config in cases.items()}
    started = [spawn.Process(target=run, args=(rank, world, port, folder, cases, result)) for rank in range(world)]
    for process in started:
        process.start()
    for process in started:
        process.join(timeout=240)
    errors = [path.read_text() for path in folder.glob("error-*")]
    assert not errors, errors[0]
    assert [process.exitcode for process in started] == [0] * world
    return [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(world)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return folder, {name: losses_of(dataclasses.replace(c, strategy="ddp"), folder / name) for name, c in CASES.items()}


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """World -> the folder, and the losses of each process."""

    @functools.cache
    def of(world):
        folder = tmp_path_factory.mktemp(f"{world}-processes")
        return folder, launched(world, folder, CASES if world == 2 else {name: CASES[name] for name in IN_THREE})

    return of


PLACES = [*((2, name) for name in CASES), *(pytest.param(3, name, marks=pytest.mark.slow) for name in IN_THREE)]


@pytest.mark.parametrize(("world", "name"), PLACES)
def test_the_losses_are_those_of_one_process(alone, together, world, name):
    assert len(together(world)[1]) == world
    for found in together(world)[1]:
        assert len(found[name]) == CASES[name].epochs
        torch.testing.assert_close(torch.tensor(found[name]), torch.tensor(alone[1][name]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("world", "name"), PLACES)
def test_so_are_the_weights(alone, together, world, name):
    one, several = (read_tensors(folder / name / "model.safetensors")[0] for folder in (alone[0], together(world)[0]))
    assert one.keys() == several.keys()
    assert any("concentration" in key or "temperature" in key for key in one), "Λ̂ or the temperature is among them"
    for key, value in one.items():
        torch.testing.assert_close(
            several[key], value, rtol=1e-4, atol=TOLERANCE[CASES[name].precision], msg=lambda m, key=key: f"{key}: {m}"
        )


@pytest.mark.parametrize("name", ["aninfonce", "fsdp"])
def test_a_checkpoint_of_several_processes_is_one_of_one(alone, together, name):
    """Whole tensors under the module's own names: a run may go on with another number of processes."""
    one, several = (CheckpointStore(f / name / CHECKPOINTS).latest() for f in (alone[0], together(2)[0]))
    assert one.tensors.keys() == several.tensors.keys()
    for key, value in one.tensors.items():
        torch.testing.assert_close(
            several.tensors[key],
            value,
            rtol=1e-3,
            atol=TOLERANCE[CASES[name].precision],
            msg=lambda m, key=key: f"{key}: {m}",
        )
    assert one.progress["losses"] == several.progress["losses"] == []


def test_what_several_began_one_goes_on_with(alone, together):
    config = dataclasses.replace(CASES["fsdp"], epochs=SHORT.epochs + 1, strategy="ddp")
    found = losses_of(config, together(2)[0] / "fsdp")
    assert len(found) == 1
    assert found[0] == pytest.approx(alone[1]["fsdp"][-1], abs=0.5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_is_no_number_in_one_process_ends_all(tmp_path, accumulate):
    """None waits for the others for ever."""
    first, second = launched(
        2, tmp_path, {"run": dataclasses.replace(SMOOTH, accumulate=accumulate, epochs=3)}, diverging
    )
    assert first["run"].startswith("the loss is nan at step ")
    assert second["run"] == "the first process says more"
