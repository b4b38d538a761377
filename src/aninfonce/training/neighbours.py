"""The readout of classes that fits nothing: a vote of the nearest training images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from aninfonce._typing import Float, Int
from aninfonce.training.class_readout import check_classes

__all__ = ["NEIGHBOURS", "knn_accuracy"]

NEIGHBOURS = 20
_CHUNK = 512  # test rows at a time: their similarities to 10,000 training rows take 20 MB


@torch.no_grad()
def knn_accuracy(
    features: Float[Tensor, "rows dim"],
    labels: Int[Tensor, " rows"],
    test_features: Float[Tensor, "test_rows dim"],
    test_labels: Int[Tensor, " test_rows"],
    *,
    neighbours: int = NEIGHBOURS,
    device: torch.device,
) -> float:
    """Accuracy, in [0, 1], of the majority among the nearest training rows by cosine similarity.

    A matrix product and a top-k on the device: scikit-learn's `KNeighborsClassifier` does the same for the cosine,
    which no tree can speed up, but on the CPU only.

    Arguments:
        features: shape (rows, dim).
        labels: from 0; shape (rows,).
        test_features: rows to score on.
        test_labels: their labels.
        neighbours: how many vote; of classes with equally many votes the smallest number wins.
        device: where to compute.

    Raises:
        ValueError: if there are fewer rows than neighbours, or as `check_classes` does: the vote would mean nothing.
    """
    if not 1 <= neighbours <= len(features):
        raise ValueError(f"neighbours must be between 1 and the {len(features)} training rows, got {neighbours}")
    check_classes(labels)
    known, votes_of = F.normalize(features.to(device), dim=1), labels.to(device)
    classes = int(labels.max()) + 1
    right = 0
    for x, y in zip(torch.split(test_features, _CHUNK), torch.split(test_labels, _CHUNK), strict=True):
        nearest = (F.normalize(x.to(device), dim=1) @ known.T).topk(neighbours, dim=1).indices
        votes = F.one_hot(votes_of[nearest].long(), classes).sum(1)
        right += int((votes.argmax(1).cpu() == y).sum())
    return right / len(test_labels)
