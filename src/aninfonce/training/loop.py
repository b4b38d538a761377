"""The training loop: shuffled images, two augmented views of each, a checkpoint an epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aninfonce import metrics
from aninfonce._extras import require
from aninfonce.data import Augmentation, Images, read_batches
from aninfonce.models import ContrastiveModel, Projector, make_backbone
from aninfonce.objectives import AnInfoNCE
from aninfonce.training.checkpoint import load_checkpoint, save_checkpoint
from aninfonce.training.config import TrainConfig
from aninfonce.training.module import ContrastiveTask, make_objective
from aninfonce.training.optimizers import learning_rate_factor, make_optimizer

__all__ = ["EpochRecord", "fit", "make_task"]


@dataclass(frozen=True)
class EpochRecord:
    """How one epoch went.

    Attributes:
        epoch: counted from 1.
        loss: mean over the epoch's steps, nats.
        hit_at_1: share of the last batch's anchors whose positive is the nearest of the other views.
        effective_rank: of the last batch's embeddings (RankMe).
        images_per_second: images (not views) through the epoch, wall clock.
        concentration: Λ̂, sorted; for InfoNCE the one number 1/(2τ).
    """

    epoch: int
    loss: float
    hit_at_1: float
    effective_rank: float
    images_per_second: float
    concentration: list[float]


def make_task(config: TrainConfig, images: Images) -> ContrastiveTask:
    """Network and objective of a run, with weights drawn from its seed; the images give mean and deviation."""
    channels, size = images.shape[1], min(images.shape[2:])
    sample = _sample(images).float() / 255
    # The libraries' initialisers know the global generator only: seed it here, and give it back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        backbone = make_backbone(config.backbone, channels=channels, image_size=size)
        projector = Projector(backbone.feature_dim, config.projector_hidden, config.projector_dim)
        deviation = sample.std((0, 2, 3)).clamp_min(1e-3)  # images of one colour
        model = ContrastiveModel(backbone, projector, sample.mean((0, 2, 3)), deviation)
        return ContrastiveTask(model, make_objective(config))


def _sample(images: Images) -> Tensor:
    """Images to take mean and deviation from; fewer if each must be decoded first."""
    n = len(images)
    few = min(n, 1000)
    places = torch.arange(min(n, 10_000)) if isinstance(images, Tensor) else torch.arange(few) * n // few
    return next(read_batches(images, [places], torch.device("cpu")))[1]


def fit(
    config: TrainConfig,
    images: Images,
    folder: Path,
    *,
    on_step: Callable[[int, int, float], None] | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> tuple[ContrastiveTask, list[EpochRecord]]:
    """Train, from the folder's checkpoint if there is one.

    Arguments:
        config: the settings.
        images: the training images, uint8, shape (n, channels, height, width), in memory or in files.
        folder: existing folder for the checkpoints.
        on_step: called after every step with (step, steps, loss).
        on_epoch: called after every epoch.

    Returns:
        The trained network and objective, in evaluation mode, and a record of every epoch.

    Raises:
        ValueError: if there are fewer images than one batch holds, or no two of a batch can be read.
        FloatingPointError: if the loss is no longer finite; the checkpoint of the epoch before stays.
        MissingExtraError: if lightning-fabric is not installed.
    """
    if len(images) < config.batch_size:
        raise ValueError(f"a batch of {config.batch_size} needs as many training images, got {len(images)}")
    fabric = require("lightning_fabric", "app").Fabric(accelerator=config.device, devices=1, precision=config.precision)
    task = make_task(config, images)
    optimizer = make_optimizer(task, config)
    # Draws are made on the CPU, so that a seed gives the same views on every device.
    generator = torch.Generator().manual_seed(config.seed)
    wrapped, optimizer = fabric.setup(task, optimizer)
    # After the weights went to their device: the optimiser's state is put where they are.
    progress = load_checkpoint(folder, task, optimizer, generator) or {"epoch": 0, "history": []}
    history = [EpochRecord(**record) for record in progress["history"]]
    if isinstance(images, Tensor):
        images = images.to(fabric.device)
    augment = Augmentation(config.augmentations, channels=images.shape[1], image_size=min(images.shape[2:]))
    steps_per_epoch = len(images) // config.batch_size
    steps = config.epochs * steps_per_epoch
    for epoch in range(progress["epoch"], config.epochs):
        wrapped.train()
        started = time.perf_counter()
        losses = torch.zeros(steps_per_epoch)
        order = torch.randperm(len(images), generator=generator)
        batches = torch.split(order, config.batch_size)[:steps_per_epoch]
        for i, (places, batch) in enumerate(read_batches(images, batches, fabric.device)):
            if len(places) < 2:
                raise ValueError("a batch has a single image that can be read, which has no negatives")
            step = epoch * steps_per_epoch + i
            views = two_views(batch, augment, generator)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * learning_rate_factor(step, steps, config.warmup)
            loss, u, v = wrapped(views)
            if not math.isfinite(loss.item()):
                raise FloatingPointError(
                    f"the loss is {loss.item()} at step {step} (epoch {epoch + 1}); the checkpoint of epoch {epoch} "
                    "is in the output folder. A smaller --rate or --concentration-rate may help."
                )
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            losses[i] = loss.detach()
            if on_step is not None:
                on_step(step + 1, steps, loss.item())
        seconds = time.perf_counter() - started
        record = EpochRecord(
            epoch=epoch + 1,
            loss=float(losses.mean()),
            hit_at_1=metrics.hit_at_k(u.detach().float(), v.detach().float(), 1),
            effective_rank=metrics.effective_rank(u.detach().float()),
            images_per_second=steps_per_epoch * config.batch_size / seconds,
            concentration=concentration_of(task),
        )
        history.append(record)
        state: dict[str, Any] = {"epoch": epoch + 1, "history": [asdict(r) for r in history]}
        save_checkpoint(folder, task, optimizer, generator, state)
        if on_epoch is not None:
            on_epoch(record)
    return task.eval(), history


def two_views(images: Tensor, augment: Augmentation, generator: torch.Generator) -> Tensor:
    """Two independently augmented views, shape (2n, …): the first views, then the second ones."""
    parameters = augment.draw(2 * len(images), generator=generator).to(images.device)
    return augment.apply(torch.cat([images, images]), parameters)


def concentration_of(task: ContrastiveTask) -> list[float]:
    """Λ̂ in ascending order, or InfoNCE's one number 1/(2τ)."""
    objective = task.objective
    if isinstance(objective, AnInfoNCE):
        ordered: list[float] = objective.concentration.detach().cpu().sort().values.tolist()
        return ordered
    return [0.5 / objective.temperature.item()]
