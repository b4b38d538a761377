"""Readouts while the encoder still trains, on few images, without leaving a trace in the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from aninfonce.data import Augmentation
from aninfonce.training.config import TrainConfig
from aninfonce.training.module import ContrastiveTask
from aninfonce.training.readouts import Labelled, read_out, reasons, subset

__all__ = ["OnlineReadouts"]

# As many images as keep a readout at seconds for a small backbone, but a linear readout needs some of every class.
_IMAGES, _PER_CLASS = 2000, 10


class OnlineReadouts:
    """What backbone and projector hold of classes and augmentation parameters, every so many epochs.

    To be passed to `fit` as `examine`. The numbers are those of `aninfonce.training.readouts`, with the same draw of
    augmentations at every epoch, but fitted on at most 2000 images (10 a class, if that is more; never more than
    `config.readout_images`) and scored on as many: less exact than the ones at the end of the run.

    Arguments:
        config: the settings; `readout_every` says after which epochs, the last one always being among them.
        train: images (uint8) and labels (or None) to fit the readouts on.
        test: images and labels to score them on.
        on_warning: called with a line for what cannot be read out, once for every reason.

    Raises:
        ValueError: if `config.readout_every` is 0.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: Labelled,
        test: Labelled,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        if config.readout_every < 1:
            raise ValueError(f"readout_every must be at least 1 epoch, got {config.readout_every}")
        labels = train[1]
        classes = 0 if labels is None or not len(labels) else int(labels.max()) + 1
        few = max(_IMAGES, _PER_CLASS * classes)
        self._train, self._test = subset(train, min(few, config.readout_images)), subset(test, few)
        channels, image_size = train[0].shape[1], min(train[0].shape[2:])
        self._augment = Augmentation(config.augmentations, channels=channels, image_size=image_size)
        self._every, self._epochs = config.readout_every, config.epochs
        self._warn, self._told = on_warning, set[str]()

    def __call__(self, task: ContrastiveTask, epoch: int) -> dict[str, float]:
        """The readouts after an epoch, counted from 1: LAYER/MEASURE -> number; empty between the chosen epochs."""
        if epoch % self._every and epoch != self._epochs:
            return {}
        with untouched(task.model):
            found = read_out(task.model, self._train, self._test, self._augment)
        for line in reasons(found.not_measured):
            if self._warn is not None and line not in self._told:
                self._warn(f"readouts after epoch {epoch}: {line}")
            self._told.add(line)
        return found.scores


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Around what looks at a model: the modes of the model's parts and torch's global generators are then as before."""
    modes = [(part, part.training) for part in model.modules()]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            for part, training in modes:
                part.training = training
