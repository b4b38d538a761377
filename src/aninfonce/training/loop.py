"""The training loop: shuffled images, two augmented views of each, checkpoints from which it continues bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aninfonce.data import Augmentation, Images
from aninfonce.models import check_coverage
from aninfonce.training.agreement import agree, check_images, check_settings
from aninfonce.training.batches import Batch, epoch_batches, views_of_pieces
from aninfonce.training.checkpoint import restore, state_of, weights_of
from aninfonce.training.clock import Clock
from aninfonce.training.config import TrainConfig
from aninfonce.training.divergence import DIVERGED, check_weights, how_it_diverged
from aninfonce.training.gradient_cache import cached_backward, has_batch_norm
from aninfonce.training.journal import Journal
from aninfonce.training.loggers import finalized, make_loggers, scalars
from aninfonce.training.module import ContrastiveTask, build_task
from aninfonce.training.optimizers import learning_rate_factor, make_optimizer
from aninfonce.training.processes import Processes
from aninfonce.training.randomness import generator_at
from aninfonce.training.records import EpochRecord, Meter, StepRecord, concentration_of
from aninfonce.training.statistics import channel_statistics
from aninfonce.training.stopping import PreemptedError, breaking_off
from aninfonce.training.store import CheckpointStore
from aninfonce.training.sync_batch_norm import synchronize_batch_norm
from aninfonce.training.weight_average import WeightAverage

__all__ = ["CHECKPOINTS", "fit", "make_task"]

CHECKPOINTS = "checkpoints"


def make_task(config: TrainConfig, images: Images) -> ContrastiveTask:
    """Network and objective of a run, with weights drawn from its seed; the images give mean and deviation."""
    mean, deviation = channel_statistics(images, generator_at(config.seed, "mean and deviation", 0))
    channels, height, width = images.shape[1:]
    task = build_task(config, channels, min(height, width), mean, deviation)
    if height != width:  # square ones were tried when the backbone was built
        backbone: Any = task.model.backbone
        check_coverage(backbone, f"the backbone {config.backbone}", channels, height, width)
    return task


@dataclass
class _Progress:
    """How far a run is, as its checkpoints say.

    Attributes:
        step: optimiser steps done, over all epochs.
        losses: the losses of the epoch's steps so far.
        history: the history of the whole epochs.
        unexamined: whether the run was broken off in the last epoch's readouts, which are still to be made.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[EpochRecord] = field(default_factory=list)
    unexamined: bool = False


def fit(
    config: TrainConfig,
    images: Images,
    folder: Path,
    *,
    processes: Processes | None = None,
    examine: Callable[[ContrastiveTask, int], dict[str, float]] | None = None,
    on_step: Callable[[StepRecord], None] | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
    clock: Clock | None = None,
) -> tuple[ContrastiveTask, list[EpochRecord]]:
    """Train, from the folder's newest whole checkpoint if there is one: on a CPU bit for bit as if never interrupted.

    Several processes compute what one would, each a part of every batch; the network's and the objective's gradients
    are those of the whole batch. Only the first one writes; all must see the folder.

    Arguments:
        config: the settings.
        images: the training images, uint8, shape (n, channels, height, width), in memory or in files.
        folder: existing folder of the run; the checkpoints go to `checkpoints` in it, and `log.jsonl` gets a line an
            epoch (its record, and the step) and lines in between.
        processes: this one and the others; default: those that the settings name are started.
        examine: called by the first process after every epoch with (the encoder as it would be saved, the epoch);
            what it returns becomes part of the record. It must leave the global random state as it is.
        on_step: called after every step.
        on_epoch: called after every epoch.
        on_warning: called with a line for every damaged checkpoint that was passed over, and the like.
        stop: asked after every step whether to stop there. A `Stop` also breaks off `examine`, which is called again
            when the run goes on.
        clock: of the run; what earlier calls have taken is added to it.

    Returns:
        The trained network and objective, in evaluation mode (with `ema` the averaged weights), and a record of every
        epoch.

    Raises:
        ValueError: if the processes' images or settings differ, there are fewer images than one batch holds, no two of
            a batch can be read, the backbone would not see the whole of them, or all checkpoints are damaged or belong
            to another network.
        FloatingPointError: if the loss or, when a checkpoint is due, a weight is no longer finite; the checkpoint
            before stays.
        PreemptedError: if `stop` said so, in any process; a checkpoint of that step is written.
        ElsewhereError: if another process has failed.
        OSError: if a checkpoint cannot be written; the one before stays.
        MissingExtraError: if lightning-fabric is not installed.
    """
    if len(images) < config.batch_size:
        raise ValueError(f"a batch of {config.batch_size} needs as many training images, got {len(images)}")
    processes = Processes(config) if processes is None else processes
    fabric = processes.fabric
    store, progress = CheckpointStore(folder / CHECKPOINTS), _Progress()
    clock = Clock() if clock is None else clock
    processes.first(store.sweep)
    check_settings(processes, config)
    check_images(processes, images)
    found = processes.together(store.latest)
    agree(processes, {"step of the newest checkpoint": "none" if found is None else str(found.step)})
    start = config if found is None else replace(config, pretrained=None)  # whose weights are in the checkpoint
    task = processes.together(lambda: make_task(start, images))
    if processes.world > 1 and config.sync_batch_norm:
        synchronize_batch_norm(task, processes.device)
    wrapped = fabric.setup_module(task)
    for name in ("embed", "contrast", "surrogate"):
        wrapped.mark_forward_method(name)
    optimizer = make_optimizer(task, config)
    stepper = fabric.setup_optimizers(optimizer)
    average = WeightAverage(task, config.ema) if config.ema else None
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    if isinstance(images, Tensor):
        images = images.to(processes.device)
    augment = Augmentation(config.augmentations, channels=images.shape[1], image_size=min(images.shape[2:]))
    steps_per_epoch = len(images) // config.batch_size
    steps = config.epochs * steps_per_epoch
    warn = on_warning if on_warning is not None else lambda line: None
    if config.accumulate > 1 and has_batch_norm(task):
        warn("with --accumulate, batch normalisation takes its statistics from each piece, not from the whole batch")

    for reason in store.damaged.values():
        warn(f"{reason}; going on from the checkpoint before")
    if found is not None:
        restore(found, task, optimizer, average, scaler)
        records = [EpochRecord(**record) for record in found.progress["history"]]
        pending = bool(found.progress.get("unexamined"))
        progress = _Progress(found.step, list(found.progress["losses"]), records, pending)
        clock.add(found.progress)

    def examined(epoch: int) -> dict[str, float]:
        """The readouts after an epoch; none if they were broken off, which the first process then remembers."""
        scores = _examined(config, images, processes, task, average, examine, epoch, stop)
        progress.unexamined = scores is None
        return scores or {}

    if progress.unexamined:
        progress.history[-1] = replace(progress.history[-1], readouts=examined(progress.history[-1].epoch))
        if processes.any(progress.unexamined)[0]:
            raise PreemptedError(f"stopped in the readouts; the checkpoint of step {progress.step} is as it was")
    journal = _journal(folder, progress, steps_per_epoch) if processes.rank == 0 else None
    loggers = make_loggers(config, folder) if processes.rank == 0 else []
    saved_at = time.monotonic()
    meter = Meter(config.batch_size)

    def save() -> None:
        nonlocal saved_at
        content = {
            "losses": progress.losses,
            "history": [asdict(record) for record in progress.history],
            "unexamined": progress.unexamined,
            **clock.state(),
        }
        tensors = state_of(task, optimizer, average, scaler)
        processes.first(lambda: check_weights(tensors, progress.step, store))
        processes.first(lambda: store.save(progress.step, tensors, content))
        saved_at = time.monotonic()

    def write(line: dict[str, Any]) -> None:
        if journal is not None:
            journal.write(line)
        for logger in loggers:
            logger.log_metrics(scalars(line), line["step"])

    # Layers that drop paths at random draw from the global generators: seeded here, and given back as they were.
    with finalized(loggers), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        while progress.step < steps:
            wrapped.train()
            epoch, first = divmod(progress.step, steps_per_epoch)
            meter.restart()
            for batch in epoch_batches(config, images, processes, epoch, first):
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * learning_rate_factor(progress.step, steps, config.warmup)
                stepper.zero_grad()
                loss, u, v = _backward(config, processes, wrapped, augment, batch, progress.step)
                value = loss.item()
                if not math.isfinite(value):
                    raise FloatingPointError(
                        how_it_diverged(value, progress.step, images, batch.asked, store, folder)
                        if processes.rank == 0
                        else "the first process says more"
                    )
                stepper.step()
                if average is not None:
                    average.update()
                progress.step += 1
                progress.losses.append(value)
                last = progress.step % steps_per_epoch == 0
                meter.step(u, v, exact=last)
                now = StepRecord(
                    progress.step,
                    steps,
                    value,
                    optimizer.param_groups[0]["lr"],
                    meter.images_per_second,
                    meter.hit_at_1,
                    meter.effective_rank,
                )
                if on_step is not None:
                    on_step(now)
                if progress.step % config.log_every == 0:
                    names = ("step", "steps", "loss", "learning_rate", "images_per_second")
                    write({name: getattr(now, name) for name in names})
                if last:
                    record = EpochRecord(
                        epoch=epoch + 1,
                        loss=sum(progress.losses) / steps_per_epoch,
                        hit_at_1=meter.hit_at_1,
                        effective_rank=meter.effective_rank,
                        images_per_second=meter.images_per_second,
                        concentration=concentration_of(task),
                        readouts=examined(epoch + 1),
                    )
                    progress.history.append(record)
                    progress.losses = []
                    write({"step": progress.step, **asdict(record)})
                due = processes.rank == 0 and time.monotonic() - saved_at >= 60 * config.checkpoint_minutes
                stopping, due, pending = processes.any(stop is not None and stop(), due, progress.unexamined)
                stopping = stopping and (progress.step < steps or pending)
                if last or stopping or due:
                    save()
                if stopping:
                    raise PreemptedError(f"stopped after step {progress.step} of {steps}, where its checkpoint is")
                if last and on_epoch is not None:
                    on_epoch(record)
    if average is not None:
        average.apply()
    return _whole(config, images, task).eval(), progress.history


def _backward(
    config: TrainConfig, processes: Processes, wrapped: Any, augment: Augmentation, batch: Batch, step: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of one batch's loss, added to the parameters'; the loss, and the embeddings of the two views."""
    views = views_of_pieces(batch, augment, generator_at(config.seed, "views", step), config.accumulate)

    def seeded(piece: int) -> Tensor:
        purpose = f"layers of process {processes.rank}, piece {piece}"
        torch.manual_seed(generator_at(config.seed, purpose, step).initial_seed())
        return views(piece)

    if config.accumulate > 1:
        return cached_backward(processes.fabric, wrapped, config.accumulate, seeded)
    loss, u, v = wrapped(seeded(0))
    if math.isfinite(loss.item()):
        processes.fabric.backward(loss)
    return loss, u, v


def _examined(
    config: TrainConfig,
    images: Images,
    processes: Processes,
    task: ContrastiveTask,
    average: WeightAverage | None,
    examine: Callable[[ContrastiveTask, int], dict[str, float]] | None,
    epoch: int,
    stop: Callable[[], bool] | None,
) -> dict[str, float] | None:
    """What `examine` says, in the first process; None if it was broken off there."""
    if examine is None:
        return {}

    def first(whole: ContrastiveTask) -> dict[str, float] | None:
        try:
            with breaking_off(stop, ""):
                return examine(whole, epoch)
        except PreemptedError:
            return None

    with nullcontext() if average is None else average.applied():
        whole = _whole(config, images, task)
        found = processes.first(lambda: first(whole))
    return found if processes.rank == 0 else {}


def _whole(config: TrainConfig, images: Images, task: ContrastiveTask) -> ContrastiveTask:
    """The task with whole parameters: itself, or if it is sharded a copy in every process."""
    if config.strategy != "fsdp" or config.devices * config.nodes == 1:
        return task
    weights = weights_of(task)
    copy = make_task(replace(config, pretrained=None), images)
    copy.load_state_dict(weights)
    return copy.to(next(iter(weights.values())).device)


def _journal(folder: Path, progress: _Progress, steps_per_epoch: int) -> Journal:
    (folder / DIVERGED).unlink(missing_ok=True)  # of the run that was broken off
    epochs = [{"step": record.epoch * steps_per_epoch, **asdict(record)} for record in progress.history]
    return Journal(folder, progress.step, epochs)
