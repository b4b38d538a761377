"""What the processes of `test_data_parallel` run: training runs whose losses and weights they leave in files."""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path

import torch

from aninfonce.training import Processes, TrainConfig, fit
from aninfonce.training.checkpoint import save_weights

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


def run(rank: int, world: int, port: int, folder: Path, cases: dict[str, TrainConfig]) -> None:
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
            found[name] = losses_of(config, folder / name, processes)
        (folder / f"losses-{rank}.json").write_text(json.dumps(found))
    except BaseException:
        (folder / f"error-{rank}").write_text(traceback.format_exc())
        raise
