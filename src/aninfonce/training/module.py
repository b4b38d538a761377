"""The network and its objective as one module."""

from __future__ import annotations

from torch import Tensor, nn

from aninfonce.objectives import AnInfoNCE, InfoNCE
from aninfonce.training.config import TrainConfig

__all__ = ["ContrastiveTask", "make_objective"]


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
