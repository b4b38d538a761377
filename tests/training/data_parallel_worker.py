"""What the processes of `test_data_parallel` run: training runs whose losses and weights they leave in files."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch

from aninfonce.training import Processes, TrainConfig, fit
from aninfonce.training.checkpoint import save_weights
from aninfonce.training.loop import make_task

ROWS = 256


def images():
    """Noise: pictures have flat grounds, where one rounding error moves many pixels over a ReLU's kink at once."""
    return torch.randint(0, 256, (ROWS, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def losses_of(config: TrainConfig, folder: Path, processes: Processes | None = None, **options) -> list[float]:
    """The loss of every step; the first process leaves the weights in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    losses: list[float] = []
    task, _ = fit(config, images(), folder, processes=processes, on_step=lambda now: losses.append(now.loss), **options)
    if processes is None or processes.rank == 0:
        save_weights(folder / "model.safetensors", task)
    return losses


def diverging(config: TrainConfig, folder: Path, processes: Processes) -> str:
    """How a run ends in which the embeddings of the last process alone are no numbers, from the second step on."""
    calls = []

    def spoil(module, inputs, outputs):
        calls.append(None)
        if len(calls) == 2 and processes.rank == processes.world - 1:
            return outputs[0], outputs[1] * torch.nan
        return outputs

    def spoiled(*arguments):
        task = make_task(*arguments)
        task.model.register_forward_hook(spoil)
        return task

    folder.mkdir(parents=True, exist_ok=True)
    with mock.patch("aninfonce.training.loop.make_task", spoiled):
        try:
            fit(config, images(), folder, processes=processes)
        except FloatingPointError as error:
            return str(error)
    return "finite"


def run(
    rank: int, world: int, port: int, folder: Path, cases: dict[str, TrainConfig], result: Callable = losses_of
) -> None:
    """One process of a run: every case in a folder of its own."""
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
    }
    try:
        found = {}
        for name, config in cases.items():
            processes = Processes(config)
            assert (processes.rank, processes.world) == (rank, world)
            found[name] = result(config, folder / name, processes)
        (folder / f"found-{rank}.json").write_text(json.dumps(found))
    except BaseException:
        (folder / f"error-{rank}").write_text(traceback.format_exc())
        raise
