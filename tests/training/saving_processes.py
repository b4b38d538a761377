"""What the checkpoint tests run in processes of their own: module-level functions, which travel by name."""

from __future__ import annotations

import resource
import signal
from pathlib import Path
from typing import Any

import torch

from aninfonce.data import load_images
from aninfonce.training import TrainConfig, fit
from aninfonce.training.checkpoint import save_weights
from aninfonce.training.store import CheckpointStore


def tensors(value, size=1000):
    return {"weight": torch.full((size,), float(value)), "order": torch.arange(5)}


def fill_up(folder: Path, queue: Any) -> None:
    """Files may grow to 20 kB only, as on a disk that is full."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    store = CheckpointStore(folder)
    try:
        store.save(30, tensors(30, size=1_000_000), {})
    except OSError as error:
        queue.put(str(error))
    else:
        queue.put("no error")


def save_forever(folder: Path) -> None:
    torch.set_num_threads(1)
    store = CheckpointStore(folder)
    for step in range(1, 10_000):
        store.save(step, tensors(step, size=200_000), {"epoch": step})


def train_in_a_process(config: TrainConfig, folder: Path) -> None:
    torch.set_num_threads(1)
    images = load_images("digits").train.images
    assert isinstance(images, torch.Tensor)
    task, _ = fit(config, images[:256], folder)
    save_weights(folder / "model.safetensors", task)
