"""The network and its objective as one module, and the optimiser that trains both."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from aninfonce.objectives import AnInfoNCE, InfoNCE
from aninfonce.training.config import TrainConfig

__all__ = ["ContrastiveTask", "learning_rate_factor", "make_objective", "make_optimizer"]


class ContrastiveTask(nn.Module):
    """Encoder and objective together, so that whatever wraps, saves or synchronises the module includes Λ̂.

    Arguments:
        model: images (n, channels, height, width) to (features, projection), each of shape (n, …).
        objective: the loss of two views' projections.
    """

    def __init__(self, model: nn.Module, objective: InfoNCE | AnInfoNCE) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of a batch whose first half holds the first views, and the two halves' projections."""
        _, projection = self.model(views)
        u, v = projection.chunk(2)
        return self.objective(u, v), u, v


def make_objective(config: TrainConfig) -> InfoNCE | AnInfoNCE:
    """The objective that the settings name."""
    if config.objective == "aninfonce":
        return AnInfoNCE(config.projector_dim, init=config.concentration, negatives_from=config.negatives_from)
    return InfoNCE(config.temperature, learnable=config.trainable_temperature, negatives_from=config.negatives_from)


def make_optimizer(task: ContrastiveTask, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW: weight decay on matrices and filters only, and a learning rate of its own for Λ̂ (or τ)."""
    weights = list(task.model.parameters())
    groups = [
        {"params": [p for p in weights if p.ndim > 1], "lr": config.rate, "weight_decay": config.weight_decay},
        {"params": [p for p in weights if p.ndim <= 1], "lr": config.rate, "weight_decay": 0.0},
        {"params": list(task.objective.parameters()), "lr": config.concentration_rate, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    for group in groups:
        group["peak"] = group["lr"]
    return torch.optim.AdamW(groups)


def learning_rate_factor(step: int, steps: int, warmup: float = 0.1) -> float:
    """The factor on every learning rate: linear warm-up over a tenth of the steps, then a cosine to zero."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
