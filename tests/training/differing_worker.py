"""One process of `test_agreement`: its rank's own data or settings, and how each run ends, in a file."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import torch
from tiny_run import TINY

from aninfonce.data import load_images
from aninfonce.training import ElsewhereError, Processes, fit, train

CONFIG = dataclasses.replace(TINY, limit=None, epochs=1, devices=2, backbone="small:2")


def images_of(case: str, rank: int) -> torch.Tensor:
    """The training images of a rank: 1,438 digits, or in rank 1 others."""
    images = load_images("digits").train.images
    if rank == 0 or case == "same":
        return images
    if case == "fewer":
        return images[:700]
    if case == "one fewer":
        return images[:-1]
    changed = images.clone()
    changed[-1, 0, 0, 0] ^= 1  # one bit of one pixel
    return changed


def settings_of(case: str, rank: int, folder: Path):
    """Settings of a rank, for a run from its settings alone."""
    options = {
        "seed": {"seed": rank},
        "rate": {"rate": 1e-3 * (1 + rank)},
        "batch size": {"batch_size": 64 + 2 * rank},
        "own settings": {"log_every": 10 + rank, "decode_workers": rank},
        "digits or a folder": {"data": ("digits", f"folder:{folder / 'data-0'}")[rank], "image_size": 16},
    }
    data = f"{case.partition(':')[0]}:{folder / case.partition(':')[2] / f'data-{rank}'}"
    place = {"data": data, "image_size": 8, "batch_size": 8}
    return dataclasses.replace(CONFIG, **options.get(case, place))


def end_of(case: str, rank: int, folder: Path, processes: Processes) -> str:
    """How a run ends."""
    (folder / "out" / case).mkdir(parents=True, exist_ok=True)
    try:
        if case in ("same", "fewer", "one fewer", "one bit"):
            fit(CONFIG, images_of(case, rank), folder / "out" / case, processes=processes)
        else:
            train(settings_of(case, rank, folder), folder / "out" / case, processes=processes)
    except (ValueError, ElsewhereError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def main(rank: int, port: int, folder: Path, cases: list[str]) -> None:
    """Every case, one after the other, and how it ended in `said-RANK.json`."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    os.environ["LOCAL_RANK"] = str(rank)
    processes = Processes(CONFIG)
    assert (processes.rank, processes.world) == (rank, 2)
    said = {case: end_of(case, rank, folder, processes) for case in cases}
    (folder / f"said-{rank}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
