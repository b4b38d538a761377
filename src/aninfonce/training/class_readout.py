"""The readout of classes: the minimum of one convex loss, found by scikit-learn, or on the device if it is large."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from aninfonce import metrics
from aninfonce._typing import Float, Int

__all__ = ["check_classes", "class_accuracy", "fit_logistic"]

# rows × features × classes: above this, scikit-learn's solver takes hours on one core (ImageNet: 3e12).
_LARGE = 10**10
_CHUNK = 65_536  # rows at a time: the logits of 1000 classes take 260 MB


def class_accuracy(
    features: Float[Tensor, "rows dim"],
    labels: Int[Tensor, " rows"],
    test_features: Float[Tensor, "test_rows dim"],
    test_labels: Int[Tensor, " test_rows"],
    *,
    device: torch.device,
) -> float:
    """Accuracy, in [0, 1], of multinomial logistic regression (see `aninfonce.metrics.readout`) on the test rows.

    Raises:
        ValueError: as `check_classes` and `aninfonce.metrics.readout` do.
    """
    check_classes(labels)
    classes = int(labels.max()) + 1
    if features.numel() * classes < _LARGE:
        return metrics.readout(features, labels, test_features=test_features, test_targets=test_labels)
    mean, deviation = features.mean(0), features.std(0, correction=0)
    scale = torch.where(deviation > 0, deviation, 1.0)  # as scikit-learn's StandardScaler has it
    weight, bias = fit_logistic((features - mean) / scale, labels, classes, device=device)
    right = 0
    for x, y in zip(torch.split(test_features, _CHUNK), torch.split(test_labels, _CHUNK), strict=True):
        logits = ((x - mean) / scale).to(device) @ weight + bias
        right += int((logits.argmax(1).cpu() == y).sum())
    return right / len(test_labels)


def check_classes(labels: Int[Tensor, " rows"]) -> None:
    """Check that a readout of classes can be fitted on images with these labels.

    Raises:
        ValueError: if they are all of one class, or less than two images come on a class.
    """
    classes = len(torch.unique(labels))
    if classes < 2:
        raise ValueError("at least 2 classes are needed, all training images are of one class")
    if classes > len(labels) / 2:
        raise ValueError(
            f"at least 2 images a class are needed, {len(labels)} training images are of {classes} classes"
        )


def fit_logistic(
    features: Float[Tensor, "rows dim"],
    labels: Int[Tensor, " rows"],
    classes: int,
    *,
    device: torch.device,
    steps: int = 300,
) -> tuple[Float[Tensor, "dim classes"], Float[Tensor, " classes"]]:
    """Multinomial logistic regression with scikit-learn's penalty at C = 1, by L-BFGS.

    Minimises Σ_rows cross-entropy + |W|²/2; the biases are not penalised.

    Arguments:
        features: standardised; they may stay on the CPU, the device sees a chunk at a time.
        labels: from 0 to classes - 1.
        classes: their number.
        device: where to compute.
        steps: L-BFGS iterations at most.

    Returns:
        (weights, biases), on the device.
    """
    weight = torch.zeros(features.shape[1], classes, device=device, requires_grad=True)
    bias = torch.zeros(classes, device=device, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=steps,
        tolerance_grad=1e-7,
        tolerance_change=1e-10,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    rows = len(features)

    @torch.enable_grad()
    def loss() -> Tensor:
        optimizer.zero_grad()
        penalty = weight.square().sum() / (2 * rows)  # everything by the rows, so that tolerances mean the same
        penalty.backward()  # type: ignore[no-untyped-call]
        total = penalty.detach()
        for x, y in zip(torch.split(features, _CHUNK), torch.split(labels, _CHUNK), strict=True):
            part = F.cross_entropy(x.to(device) @ weight + bias, y.to(device), reduction="sum") / rows
            part.backward()  # type: ignore[no-untyped-call]
            total = total + part.detach()
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
