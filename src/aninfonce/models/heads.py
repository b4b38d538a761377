"""The projector, and the model that contrastive learning trains: normalisation, backbone, projector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["ContrastiveModel", "Projector"]


class Projector(nn.Sequential):
    """A multilayer perceptron with batch normalisation and ReLU between its layers.

    Its output is not normalised: the losses do that.

    Arguments:
        in_dim: dimension of the features.
        hidden_dim: dimension of the hidden layers.
        out_dim: dimension of the embedding.
        layers: number of linear layers, at least 1; with 1 it is a linear map without `hidden_dim`.

    Raises:
        ValueError: if a dimension or `layers` is less than 1.

    Example:
        >>> Projector(192, 256, 64)(torch.rand(5, 192)).shape
        torch.Size([5, 64])
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int, layers: int = 2) -> None:
        if min(in_dim, hidden_dim, out_dim, layers) < 1:
            raise ValueError(
                "in_dim, hidden_dim, out_dim and layers must be at least 1, "
                f"got {in_dim}, {hidden_dim}, {out_dim} and {layers}"
            )
        modules: list[nn.Module] = []
        for dim in [in_dim, *[hidden_dim] * (layers - 2)] if layers > 1 else []:
            modules += [nn.Linear(dim, hidden_dim, bias=False), nn.BatchNorm1d(hidden_dim), nn.ReLU()]
        modules.append(nn.Linear(hidden_dim if layers > 1 else in_dim, out_dim))
        super().__init__(*modules)
        self.in_dim = in_dim
        self.out_dim = out_dim


class ContrastiveModel(nn.Module):
    """Images in [0, 1] to the backbone's features and the projector's embedding.

    Arguments:
        backbone: maps normalised images to features of shape (batch, feature_dim); has the attribute `feature_dim`.
        projector: maps features to embeddings; `nn.Identity()` for none.
        mean: mean of each channel over the training images, subtracted first.
        std: standard deviation of each channel, above 0, divided by.

    Attributes:
        mean: buffer of shape (channels, 1, 1), saved with the weights.
        std: buffer of the same shape, the standard deviation of each channel.

    Raises:
        ValueError: if `mean` and `std` differ in length, or a `std` is not above 0.

    Example:
        >>> from aninfonce.models import SmallConvNet
        >>> model = ContrastiveModel(SmallConvNet(1, width=4), Projector(64, 128, 32), mean=[0.29], std=[0.35])
        >>> features, embedding = model(torch.rand(5, 1, 28, 28))
        >>> features.shape, embedding.shape
        (torch.Size([5, 64]), torch.Size([5, 32]))
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, projector: nn.Module, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector
        mean = torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1, 1)
        std = torch.as_tensor(std, dtype=torch.float32).reshape(-1, 1, 1)
        if len(mean) != len(std):
            raise ValueError(f"mean and std must have one number a channel, got {len(mean)} and {len(std)}")
        if not bool((std > 0).all()):
            raise ValueError(f"std must be above 0, got {std.flatten().tolist()}")
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(features, embedding), not normalised, of images of shape (batch, channels, height, width) in [0, 1]."""
        features = self.features(images)
        return features, self.projector(features)

    def features(self, images: Tensor) -> Tensor:
        """The backbone's features only, shape (batch, feature_dim)."""
        features: Tensor = self.backbone((images - self.mean) / self.std)
        return features
