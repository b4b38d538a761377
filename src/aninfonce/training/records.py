"""What a training run says of its steps and epochs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from torch import Tensor
from torch.distributed.tensor import DTensor

from aninfonce import metrics
from aninfonce.objectives import AnInfoNCE
from aninfonce.training.module import ContrastiveTask

__all__ = ["EpochRecord", "Meter", "StepRecord", "concentration_of"]

# Rows for Hit@1 and the effective rank: all against all, and a singular value decomposition.
_ROWS = 2048


@dataclass(frozen=True)
class StepRecord:
    """How a run goes at one step.

    Attributes:
        step: optimiser steps done.
        steps: number of steps of the whole run.
        loss: the loss of this step, nats.
        learning_rate: the learning rate of the network's weights.
        images_per_second: images (not views) since the epoch's first step, or the resumption, wall clock.
        hit_at_1: as in `EpochRecord`, of a batch about a second old at most.
        effective_rank: as in `EpochRecord`, of the same batch.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    images_per_second: float
    hit_at_1: float
    effective_rank: float


@dataclass(frozen=True)
class EpochRecord:
    """How one epoch went.

    Attributes:
        epoch: counted from 1.
        loss: mean over the epoch's steps, nats.
        hit_at_1: share of the last batch's anchors whose positive is the nearest of the other views (of the first
            process's part, and 2048 rows at most).
        effective_rank: the effective rank of the last batch's embeddings (RankMe).
        images_per_second: images (not views) through the epoch, wall clock.
        concentration: Λ̂, sorted; for InfoNCE the one number 1/(2τ).
        readouts: what can be read out, where it was looked (see `TrainConfig.readout_every`).
    """

    epoch: int
    loss: float
    hit_at_1: float
    effective_rank: float
    images_per_second: float
    concentration: list[float]
    readouts: dict[str, float] = field(default_factory=dict)


class Meter:
    """Hit@1 and effective rank of the embeddings, at most once a second, and images a second.

    Arguments:
        batch_size: images a step, of all processes.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._started = time.perf_counter()
        self._measured_at = -1.0
        self._steps = 0
        self.hit_at_1 = self.effective_rank = 0.0

    def restart(self) -> None:
        """The speed counts from here on."""
        self._started, self._steps = time.perf_counter(), 0

    def step(self, u: Tensor, v: Tensor, *, exact: bool) -> None:
        """One more step is done, with these embeddings of shape (n, dim); `exact`: measure them in any case."""
        self._steps += 1
        now = time.perf_counter()
        if exact or now - self._measured_at >= 1:
            u, v = u[:_ROWS].detach().float(), v[:_ROWS].detach().float()
            self.hit_at_1 = metrics.hit_at_k(u, v, 1)
            self.effective_rank = metrics.effective_rank(u)
            self._measured_at = now

    @property
    def images_per_second(self) -> float:
        """Since the last restart."""
        return self._steps * self.batch_size / max(time.perf_counter() - self._started, 1e-9)


def concentration_of(task: ContrastiveTask) -> list[float]:
    """Λ̂ in ascending order, or InfoNCE's one number 1/(2τ)."""
    objective = task.objective
    found = objective.concentration if isinstance(objective, AnInfoNCE) else 0.5 / objective.temperature
    found = found.detach().reshape(-1)
    whole = found.full_tensor() if isinstance(found, DTensor) else found
    ordered: list[float] = whole.cpu().sort().values.tolist()
    return ordered
