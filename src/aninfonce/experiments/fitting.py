"""The training loop of the controlled experiments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from aninfonce.experiments.recipe import Recipe, RecoveryModel, make_optimizers, schedule

__all__ = ["fit_encoder"]


def fit_encoder(
    model: RecoveryModel,
    recipe: Recipe,
    batches: Iterator[Sequence[Tensor]],
    after_step: Callable[[int, Tensor, RecoveryModel], None] | None = None,
) -> RecoveryModel:
    """Train `model` in place by a recipe; return the moving average of its weights.

    Arguments:
        model: encoder and objective; called with a batch's tensors it returns the loss.
        recipe: number of steps, rates, decay of the moving average.
        batches: endless; the tensors the model is called with, at least (x, x⁺).
        after_step: called with (step, loss, averaged model), steps counted from 1.
    """
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging))  # type: ignore[no-untyped-call]
    averaged = cast("RecoveryModel", average.module)
    optimizers = make_optimizers(model, recipe)
    schedulers = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(step, recipe.steps))
        for optimizer in optimizers
    ]
    model.centring = recipe.centring
    for step in range(1, recipe.steps + 1):
        model.uniformity_weight = recipe.uniformity_at(step)
        loss = model(*next(batches))
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
        average.update_parameters(model)
        if after_step is not None:
            after_step(step, loss.detach(), averaged)
    return averaged
