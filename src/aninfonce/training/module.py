"""The network and its objective as one module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aninfonce.models import ContrastiveModel, Projector, load_pretrained, make_backbone
from aninfonce.objectives import AnInfoNCE, InfoNCE
from aninfonce.training.config import TrainConfig
from aninfonce.training.divergence import finite_everywhere

__all__ = ["ContrastiveTask", "build_task", "make_objective"]


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
        u, v = self.embed(views).chunk(2)
        return self.contrast(u, v), u, v

    def embed(self, views: Tensor) -> Tensor:
        """The projections of a batch, in single precision at least."""
        projection: Tensor = self.model(views)[1]
        return projection.to(torch.promote_types(projection.dtype, torch.float32))

    def contrast(self, u: Tensor, v: Tensor) -> Tensor:
        """The loss of two views' projections; NaN if one is not finite, which the objective would refuse.

        That may happen in a single process. Then all of them return NaN, and none waits for an exchange that another
        never begins.
        """
        if not finite_everywhere(u, v):
            return torch.nan * (u.sum() + v.sum())
        loss: Tensor = self.objective(u, v)
        return loss

    def surrogate(self, views: Tensor, gradient: Tensor) -> Tensor:
        """A scalar whose gradient by the weights is that of any loss with this gradient by the projections."""
        carried = (self.embed(views) * gradient).sum()
        # The objective's own gradient is there already, but data parallelism wants to see every parameter.
        return carried + sum(0.0 * p.sum() for p in self.objective.parameters())


def make_objective(config: TrainConfig, dim: int) -> InfoNCE | AnInfoNCE:
    """The objective that the settings name, of embeddings of that dimension."""
    if config.objective == "aninfonce":
        return AnInfoNCE(dim, init=config.concentration, negatives_from=config.negatives_from)
    return InfoNCE(config.temperature, learnable=config.trainable_temperature, negatives_from=config.negatives_from)


def build_task(config: TrainConfig, channels: int, image_size: int, mean: Tensor, deviation: Tensor) -> ContrastiveTask:
    """Network and objective of a run, with weights drawn from its seed or, the backbone's, read from `pretrained`.

    Arguments:
        config: the settings; without `pretrained` for whom the weights come later.
        channels: number of channels of the images.
        image_size: their side in pixels.
        mean: the mean of each channel over the images in [0, 1], shape (channels,).
        deviation: standard deviation of each channel, > 0.

    Raises:
        ValueError: if the backbone is unknown or cannot take such images, or the pretrained weights are not its own.
    """
    # The libraries' initialisers know the global generator only: seed it here, and give it back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        try:
            backbone = make_backbone(config.backbone, channels=channels, image_size=image_size)
            dim = config.projector_dim if config.projector_layers else backbone.feature_dim
            projector = _projector(config, backbone.feature_dim, dim)
            objective = make_objective(config, dim)
        except (RuntimeError, MemoryError, OverflowError) as error:  # a network too large for the memory
            raise ValueError(
                f"cannot build the network of {config.backbone} and a projector of {config.projector_layers} layers of "
                f"{config.projector_hidden} and {config.projector_dim} units: {error}"
            ) from error
    if config.pretrained is not None:
        load_pretrained(backbone, config.pretrained)
    return ContrastiveTask(ContrastiveModel(backbone, projector, mean, deviation), objective)


def _projector(config: TrainConfig, in_dim: int, dim: int) -> nn.Module:
    if not config.projector_layers:
        return nn.Identity()
    return Projector(in_dim, config.projector_hidden, dim, config.projector_layers)
