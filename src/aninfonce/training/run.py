"""One training run, from its settings to `results.json`: data, training, readouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aninfonce._runs import write_results
from aninfonce.data import NO_LABEL, Augmentation, ImageDataset, load_images, summary_of
from aninfonce.training.agreement import check_dataset, check_settings
from aninfonce.training.clock import Clock
from aninfonce.training.config import TrainConfig
from aninfonce.training.encoder import save_model
from aninfonce.training.loop import fit
from aninfonce.training.online import OnlineReadouts
from aninfonce.training.processes import Processes
from aninfonce.training.readouts import Labelled, labelled, read_out, reasons, select, subset
from aninfonce.training.records import EpochRecord, StepRecord
from aninfonce.training.seen import Told, remarks_of, share_what_was_seen, unreadable
from aninfonce.training.stopping import breaking_off

__all__ = ["TrainResult", "numbers_of_images", "train"]


@dataclass(frozen=True)
class TrainResult:
    """A finished run.

    Attributes:
        metrics: the readouts (see `aninfonce.training.readouts`), and how the training ended.
        not_measured: LAYER/MEASURE -> why this readout could not be made; it is not among the metrics.
        history: a record of every epoch.
        skipped: images that could not be read, with the reason.
        remarks: how many images have what their owner may not expect, see `aninfonce.data.REMARKS`; of images on
            demand, of those that were read.
        data: what was found of the data set, and what was not, see `aninfonce.data.summary_of`.
    """

    config: TrainConfig
    metrics: dict[str, float]
    history: list[EpochRecord]
    seconds: float
    cpu_seconds: float
    skipped: tuple[tuple[Path, str], ...] = ()
    remarks: Mapping[str, int] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    not_measured: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The content of `results.json`; a metric that could not be measured is null there."""
        metrics = {**self.metrics, **dict.fromkeys(self.not_measured)}
        return {
            "name": "train",
            "method": self.config.method,
            "config": asdict(self.config),
            "seed": self.config.seed,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "metrics": metrics,
            "per_seed": {name: [value] for name, value in metrics.items()},
            "not_measured": self.not_measured,
            "history": [asdict(record) for record in self.history],
            "skipped": [{"file": path, "reason": reason} for path, reason in self.skipped],
            "remarks": dict(self.remarks),
            "data": self.data,
        }


def train(
    config: TrainConfig,
    out: Path,
    *,
    processes: Processes | None = None,
    on_data: Callable[[ImageDataset], None] | None = None,
    on_start: Callable[[], None] | None = None,
    on_step: Callable[[StepRecord], None] | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> TrainResult:
    """Train one encoder, read it out, and write weights and `results.json` to the folder.

    Arguments:
        config: the settings.
        out: existing folder of the run; a checkpoint in it is continued from.
        processes: this one and the others; default: those that the settings name are started.
        on_data: called with the loaded data set.
        on_start: called by the first process when the data and the settings are known to be right, before anything is
            written to the folder.
        on_step: called after every step.
        on_epoch: called after every epoch.
        on_warning: called with what was mended by itself, see `fit`.
        stop: asked after every step whether to stop there. A `Stop` also breaks off what comes before and after the
            training (loading the data, readouts), which is done again when the run is continued.

    Returns:
        The result; in other processes than the first one without metrics, since they read nothing out.

    Raises:
        ValueError: if the data cannot be loaded, the processes' data or settings differ, or the training fails (see
            `fit`, also for the other errors). A readout that cannot be made is not an error; see
            `TrainResult.not_measured`.
        MissingExtraError: if a package of an extra is missing.
    """
    clock = Clock()
    processes = Processes(config) if processes is None else processes
    check_settings(processes, config)
    # One after the other: the first may have to download what the others then find.
    with breaking_off(stop, "stopped while the data were loaded"):
        loaded = processes.first(lambda: _load(config))
        dataset = processes.together(lambda: _load(config) if loaded is None else loaded)
    check_dataset(processes, dataset)
    if on_data is not None:
        on_data(dataset)
    fitting, scoring = splits(config, dataset)
    images = fitting[0]
    if len(images) < config.batch_size:
        raise ValueError(f"a batch of {config.batch_size} needs as many training images, got {len(images)}")
    processes.first(lambda: None if on_start is None else on_start())
    told = Told(dataset, config.background, on_warning if processes.rank == 0 else None)
    task, history = fit(
        config,
        images,
        out,
        processes=processes,
        examine=OnlineReadouts(config, fitting, scoring, on_warning) if config.readout_every else None,
        on_step=on_step,
        on_epoch=told.after_epoch(on_epoch),
        on_warning=on_warning,
        stop=stop,
        clock=clock,
    )
    share_what_was_seen(processes, images)
    if processes.rank:
        return TrainResult(config, {}, history, clock.seconds, clock.cpu_seconds, dataset.skipped)
    save_model(out, task, config, images.shape[1], min(images.shape[2:]))
    augment = Augmentation(config.augmentations, channels=images.shape[1], image_size=min(images.shape[2:]))
    scoring = subset(scoring, config.test_images)
    with breaking_off(stop, f"stopped in the readouts; the training is finished, its weights are in {out}"):
        found = read_out(
            task.model,
            subset(fitting, config.readout_images),
            scoring,
            augment,
            class_train=subset(class_images(config, dataset, fitting), config.class_images or config.readout_images),
        )
    told.tell()
    if on_warning is not None:
        for line in reasons(found.not_measured):
            on_warning(line)
    last = history[-1]
    result = TrainResult(
        config=config,
        metrics={
            **found.scores,
            "loss": last.loss,
            "hit_at_1": last.hit_at_1,
            "images_per_second": sum(record.images_per_second for record in history) / len(history),
            "concentration_min": last.concentration[0],
            "concentration_max": last.concentration[-1],
            # InfoNCE's own parameter, so that one sees where a trainable one ended.
            **({"temperature": 0.5 / last.concentration[0]} if config.objective == "infonce" else {}),
            "train_images": float(len(images)),
            "test_images": float(len(scoring[0])),
        },
        history=history,
        seconds=clock.seconds,
        cpu_seconds=clock.cpu_seconds,
        skipped=tuple(unreadable(dataset).items()),
        remarks=remarks_of(dataset),
        data=summary_of(dataset),
        not_measured=found.not_measured,
    )
    write_results(out, result.as_json())
    return result


def _load(config: TrainConfig) -> ImageDataset:
    return load_images(
        config.data,
        config.data_root,
        image_size=config.image_size,
        decode_workers=config.decode_workers,
        max_corrupt=config.max_corrupt,
        background=config.background,
    )


def splits(config: TrainConfig, dataset: ImageDataset) -> tuple[Labelled, Labelled]:
    """What to train on and what to score on: the test images, or a validation share of the training images."""
    train = (dataset.train.images, dataset.train.labels)
    scoring = (dataset.test.images, dataset.test.labels)
    order, held_out = _training_places(config, len(train[0]))
    if config.validation:
        scoring = select(train, held_out)
    if config.limit is not None:
        if config.limit > len(order):
            raise ValueError(f"limit asks for {config.limit} training images, {config.data} has {len(order)}")
        order = order[: config.limit]
    return select(train, order.sort().values), scoring


def numbers_of_images(config: TrainConfig, n: int) -> tuple[int, int]:
    """Of n training images: how many are trained on, and how many are held out for validation."""
    order, held_out = _training_places(config, n)
    return min(len(order), config.limit or len(order)), len(held_out)


def _training_places(config: TrainConfig, n: int) -> tuple[Tensor, Tensor]:
    """Places of the training images and of those held out for validation; the same for every objective of one seed."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(config.seed))
    held_out = max(1, round(config.validation * n)) if config.validation else 0
    return order[held_out:], order[:held_out]


def class_images(config: TrainConfig, dataset: ImageDataset, fitting: Labelled) -> Labelled:
    """What to fit the readout of classes on: the images trained on.

    Where some images have no label (`NO_LABEL`), those that have one, whatever the limit says: of a few images trained
    on hardly any may have one.
    """
    labels = dataset.train.labels
    if labels is None or bool((labels != NO_LABEL).all()):
        return fitting
    places, _ = _training_places(config, len(labels))
    return labelled(select((dataset.train.images, labels), places.sort().values))
