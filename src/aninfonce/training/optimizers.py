"""The optimiser that trains network and objective, and the schedule of its learning rates."""

from __future__ import annotations

import math
from typing import Any

import torch

from aninfonce._extras import require
from aninfonce.training.config import TrainConfig
from aninfonce.training.module import ContrastiveTask

__all__ = ["learning_rate_factor", "make_optimizer"]


def make_optimizer(task: ContrastiveTask, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser that the settings name.

    Weight decay (and the layer-wise rates of LARS) on matrices and filters only, as in SimCLR: biases, the parameters
    of normalisations and Λ̂ (or τ), which has a learning rate of its own, are trained without either. Every group of
    parameters holds its peak learning rate under "peak".

    Raises:
        MissingExtraError: if LARS is asked for and timm, which has it, is not installed.

    References:
        You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", arXiv 1708.03888 (LARS).
        Chen, Kornblith, Norouzi, Hinton, ICML 2020 (LARS for contrastive learning, trust coefficient 0.001).
    """
    weights = list(task.model.parameters())
    rate = config.peak_rate
    groups: list[dict[str, Any]] = [
        {"params": [p for p in weights if p.ndim > 1], "lr": rate, "weight_decay": config.weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "lr": rate, "weight_decay": 0.0},
        *task.objective.param_groups(config.concentration_rate),
    ]
    if config.optimizer == "lars":
        groups[0]["always_adapt"] = True  # also without weight decay
    groups = [group for group in groups if group["params"]]
    for group in groups:
        group["peak"] = group["lr"]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum)
    lars: torch.optim.Optimizer = require("timm.optim", "vision").Lars(groups, momentum=config.momentum)
    return lars


def learning_rate_factor(step: int, steps: int, warmup: float = 0.1) -> float:
    """The factor on every learning rate: linear warm-up over a share of the steps, then a cosine to zero."""
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
