"""The training loop: shuffled images, two augmented views of each, checkpoints from which it goes on bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from aninfonce import metrics
from aninfonce._extras import require
from aninfonce._runs import write_lines
from aninfonce.data import Augmentation, Images, StoredImages, read_batches
from aninfonce.objectives import AnInfoNCE
from aninfonce.training.checkpoint import restore, state_of
from aninfonce.training.config import TrainConfig
from aninfonce.training.module import ContrastiveTask, build_task
from aninfonce.training.optimizers import learning_rate_factor, make_optimizer
from aninfonce.training.randomness import generator_at
from aninfonce.training.stopping import PreemptedError
from aninfonce.training.store import CheckpointStore

__all__ = ["CHECKPOINTS", "LOG", "EpochRecord", "fit", "make_task"]

CHECKPOINTS, LOG = "checkpoints", "log.jsonl"


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
    sample = _sample(images).float() / 255
    deviation = sample.std((0, 2, 3)).clamp_min(1e-3)  # images of one colour
    return build_task(config, images.shape[1], min(images.shape[2:]), sample.mean((0, 2, 3)), deviation)


def _sample(images: Images) -> Tensor:
    """Images to take mean and deviation from; fewer if each must be decoded first."""
    n = len(images)
    few = min(n, 1000)
    places = torch.arange(min(n, 10_000)) if isinstance(images, Tensor) else torch.arange(few) * n // few
    return next(read_batches(images, [places], torch.device("cpu")))[1]


@dataclass
class _Progress:
    """How far a run is, as its checkpoints say.

    Attributes:
        step: optimiser steps done, over all epochs.
        losses: of the epoch's steps so far.
        history: of the whole epochs.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[EpochRecord] = field(default_factory=list)


def fit(
    config: TrainConfig,
    images: Images,
    folder: Path,
    *,
    on_step: Callable[[int, int, float], None] | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> tuple[ContrastiveTask, list[EpochRecord]]:
    """Train, from the folder's newest whole checkpoint if there is one: on a CPU bit for bit as if never interrupted.

    Arguments:
        config: the settings.
        images: the training images, uint8, shape (n, channels, height, width), in memory or in files.
        folder: existing folder of the run; the checkpoints go to `checkpoints` in it, and `log.jsonl` gets a line an
            epoch: its record, and the step.
        on_step: called after every step with (step, steps, loss).
        on_epoch: called after every epoch.
        on_warning: called with a line for every damaged checkpoint that was passed over.
        stop: asked after every step whether to stop there.

    Returns:
        The trained network and objective, in evaluation mode, and a record of every epoch.

    Raises:
        ValueError: if there are fewer images than one batch holds, no two of a batch can be read, or all checkpoints
            are damaged or belong to another network.
        FloatingPointError: if the loss is no longer finite; the checkpoint before stays.
        PreemptedError: if `stop` said so; a checkpoint of that step is written.
        OSError: if a checkpoint cannot be written; the one before stays.
        MissingExtraError: if lightning-fabric is not installed.
    """
    if len(images) < config.batch_size:
        raise ValueError(f"a batch of {config.batch_size} needs as many training images, got {len(images)}")
    fabric = require("lightning_fabric", "app").Fabric(accelerator=config.device, devices=1, precision=config.precision)
    task = make_task(config, images)
    optimizer = make_optimizer(task, config)
    wrapped, optimizer = fabric.setup(task, optimizer)
    if isinstance(images, Tensor):
        images = images.to(fabric.device)
    augment = Augmentation(config.augmentations, channels=images.shape[1], image_size=min(images.shape[2:]))
    steps_per_epoch = len(images) // config.batch_size
    steps = config.epochs * steps_per_epoch
    store, progress = CheckpointStore(folder / CHECKPOINTS), _Progress()
    # Layers that drop paths at random draw from the global generators: seeded here, and given back as they were.
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(config.seed)
        # After the weights went to their device: the optimiser's state is put where they are.
        found = store.latest()
        for reason in store.damaged.values():
            if on_warning is not None:
                on_warning(f"{reason}; going on from the checkpoint before")
        if found is not None:
            restore(found, task, optimizer)
            records = [EpochRecord(**record) for record in found.progress["history"]]
            progress = _Progress(found.step, list(found.progress["losses"]), records)
        saved_at = time.monotonic()

        def save() -> None:
            nonlocal saved_at
            content = {"losses": progress.losses, "history": [asdict(record) for record in progress.history]}
            store.save(progress.step, state_of(task, optimizer), content)
            saved_at = time.monotonic()

        while progress.step < steps:
            wrapped.train()
            epoch, first = divmod(progress.step, steps_per_epoch)
            started = time.perf_counter()
            order = torch.randperm(len(images), generator=generator_at(config.seed, "order", epoch))
            batches = torch.split(order, config.batch_size)[first:steps_per_epoch]
            for places, batch in read_batches(images, batches, fabric.device):
                if len(places) < 2:
                    raise ValueError("a batch has a single image that can be read, which has no negatives")
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * learning_rate_factor(progress.step, steps, config.warmup)
                views = two_views(batch, augment, generator_at(config.seed, "views", progress.step))
                loss, u, v = wrapped(views)
                if not math.isfinite(loss.item()):
                    raise FloatingPointError(_diverged(loss.item(), progress.step, images, places, store))
                optimizer.zero_grad()
                fabric.backward(loss)
                optimizer.step()
                progress.step += 1
                progress.losses.append(loss.item())
                if on_step is not None:
                    on_step(progress.step, steps, loss.item())
                last = progress.step % steps_per_epoch == 0
                if last:
                    seconds = time.perf_counter() - started
                    record = EpochRecord(
                        epoch=epoch + 1,
                        loss=sum(progress.losses) / steps_per_epoch,
                        hit_at_1=metrics.hit_at_k(u.detach().float(), v.detach().float(), 1),
                        effective_rank=metrics.effective_rank(u.detach().float()),
                        images_per_second=len(batches) * config.batch_size / seconds,
                        concentration=concentration_of(task),
                    )
                    progress.history.append(record)
                    progress.losses = []
                    lines = [{"step": r.epoch * steps_per_epoch, **asdict(r)} for r in progress.history]
                    write_lines(folder / LOG, lines)
                stopping = stop is not None and stop() and progress.step < steps
                if last or stopping or time.monotonic() - saved_at >= 60 * config.checkpoint_minutes:
                    save()
                if stopping:
                    raise PreemptedError(f"stopped after step {progress.step} of {steps}, where its checkpoint is")
                if last and on_epoch is not None:
                    on_epoch(record)
    return task.eval(), progress.history


def _diverged(loss: float, step: int, images: Images, places: Tensor, store: CheckpointStore) -> str:
    """What is known about a loss that is not finite."""
    files = ""
    if isinstance(images, StoredImages):
        names = [str(images.path(place)) for place in places[:5].tolist()]
        files = f" The batch: {', '.join(names)}{' …' if len(places) > len(names) else ''}."
    kept = f"the checkpoint of step {store.steps[-1]} is in {store.folder}" if store.steps else "there is no checkpoint"
    return (
        f"the loss is {loss} at step {step}; {kept}.{files} A smaller --rate or --concentration-rate may help, or "
        "--precision 32-true."
    )


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
