"""What can be read from a trained encoder: the classes, and the parameters of the augmentations.

Definitions (they stand in docs/readouts.md too):
- Classes: accuracy on images without augmentation, from the network in evaluation mode: of a linear classifier, and of
  the majority among the 20 nearest training images (cosine; at most as many training images as for the parameters).
- Augmentation parameters: every image is augmented once, with one fixed draw of parameters that are the same for every
  encoder. A number is read by ridge regression: R² (a skipped augmentation counts with its identity value). A yes/no
  is read by a linear classifier: balanced accuracy.
- `augmentation_r2`: the mean R² of the numbers.
- `augmentation_accuracy`: the mean balanced accuracy over all parameters, a number counting as the question whether it
  lies above its median over the readout's training images. Chance is 50 %. This is the counterpart of the paper's
  "augmentations, %".
Everything is fitted on training images and scored on images that neither the encoder nor the readout has seen.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aninfonce import metrics
from aninfonce.data import NO_LABEL, NUMBER_PARAMETERS, Augmentation, AugmentationParameters, Images, read_batches
from aninfonce.training.class_readout import class_accuracy
from aninfonce.training.neighbours import NEIGHBOURS, knn_accuracy
from aninfonce.training.randomness import generator_at, spread

__all__ = ["LAYERS", "Labelled", "encode", "labelled", "readouts", "select", "subset"]

LAYERS = ("backbone", "projector")
Labelled = tuple[Images, Tensor | None]
"""Images with their labels, if they have any."""


def labelled(data: Labelled) -> Labelled:
    """Those of the images that have a label (`NO_LABEL` says that one has none)."""
    images, labels = data
    if labels is None or bool((labels != NO_LABEL).all()):
        return data
    places = torch.nonzero(labels != NO_LABEL).flatten()
    return images[places], labels[places]


@torch.no_grad()
def encode(
    model: nn.Module,
    images: Images,
    augment: Callable[[Tensor, Tensor], Tensor] | None = None,
    batch_size: int = 500,
) -> dict[str, Tensor]:
    """Features of images, layer by layer, on the CPU.

    Arguments:
        model: float images to (features, projection), both of shape (n, …); used in evaluation mode, left in its own.
        images: uint8, shape (n, channels, height, width), in memory or in files.
        augment: maps a batch and the places of its images among all to float images; None: the images as they are.
        batch_size: images at a time.

    Returns:
        backbone: shape (n, feature_dim). projector: shape (n, dim), on the unit sphere, as the objective sees it.
        places: shape (n,), the place of each row's image; 0, 1, … without those whose files cannot be read.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    features: dict[str, list[Tensor]] = {name: [] for name in (*LAYERS, "places")}
    for places, batch in read_batches(images, torch.split(torch.arange(len(images)), batch_size), device):
        h, p = model(batch.float() / 255 if augment is None else augment(batch, places))
        features["backbone"].append(h.float().cpu())
        features["projector"].append(F.normalize(p.float(), dim=1).cpu())
        features["places"].append(places)
    model.train(was_training)
    return {name: torch.cat(parts) for name, parts in features.items()}


def readouts(
    model: nn.Module,
    train: Labelled,
    test: Labelled,
    augment: Augmentation,
    seed: int = 0,
    class_train: Labelled | None = None,
) -> dict[str, float]:
    """Every readout of every layer.

    Arguments:
        model: the trained network, as for `encode`.
        train: images (uint8) and labels (or None) to fit the readouts on.
        test: images and labels to score them on.
        augment: the augmentations whose parameters are read.
        seed: of the draw of the parameters; not the training's, so that encoders are compared on the same draw.
        class_train: images and labels to fit the readout of classes on; default: `train`. Images without a label
            (`NO_LABEL`) are left out of this readout, and without any label it is not made.

    Returns:
        `LAYER/class_accuracy`, `LAYER/knn_accuracy`, `LAYER/augmentation_r2`, `LAYER/augmentation_accuracy`,
        `LAYER/r2/NAME`, `LAYER/accuracy/NAME` and `LAYER/effective_rank`.
    """
    rng = torch.Generator().manual_seed(seed)
    parameters = [augment.draw(len(images), generator=rng) for images, _ in (train, test)]
    augmented = [
        encode(model, images, _fixed(augment, drawn))
        for (images, _), drawn in zip((train, test), parameters, strict=True)
    ]
    known, asked = (drawn[found["places"]] for drawn, found in zip(parameters, augmented, strict=True))
    scores: dict[str, float] = {}
    for layer in LAYERS:
        found = augmentation_scores(augmented[0][layer], known, augmented[1][layer], asked)
        scores |= {f"{layer}/{name}": score for name, score in found.items()}
        scores[f"{layer}/effective_rank"] = metrics.effective_rank(augmented[1][layer])
    (images, labels), (test_images, test_labels) = labelled(class_train or train), labelled(test)
    if labels is not None and test_labels is not None and len(labels) and len(test_labels):
        plain, test_plain = encode(model, images), encode(model, test_images)
        known_labels, asked_labels = labels[plain["places"]], test_labels[test_plain["places"]]
        device = next(model.parameters()).device
        few = _some(len(known_labels), len(train[0]))  # all pairs of images are compared
        for layer in LAYERS:
            h, test_h = plain[layer], test_plain[layer]
            scores[f"{layer}/class_accuracy"] = class_accuracy(h, known_labels, test_h, asked_labels, device=device)
            scores[f"{layer}/knn_accuracy"] = knn_accuracy(
                h[few], known_labels[few], test_h, asked_labels, neighbours=min(NEIGHBOURS, len(few)), device=device
            )
    return scores


def _fixed(augment: Augmentation, parameters: AugmentationParameters) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda batch, places: augment.apply(batch, parameters[places].to(batch.device))


def augmentation_scores(
    features: Tensor, parameters: AugmentationParameters, test_features: Tensor, test_parameters: AugmentationParameters
) -> dict[str, float]:
    """R² or balanced accuracy of every parameter, and their two means, from features of shape (n, …) and (m, …)."""

    def read(targets: Tensor, test_targets: Tensor, balanced: bool = False) -> float:
        return metrics.readout(
            features, targets, test_features=test_features, test_targets=test_targets, balanced=balanced
        )

    scores: dict[str, float] = {}
    accuracies: list[float] = []
    for name in parameters.names:
        values, test_values = parameters.values[name], test_parameters.values[name]
        if name in NUMBER_PARAMETERS:
            scores[f"r2/{name}"] = read(values, test_values)
            median = values.median()
            accuracies.append(read(values > median, test_values > median, balanced=True))
        else:
            scores[f"accuracy/{name}"] = read(values, test_values, balanced=True)
            accuracies.append(scores[f"accuracy/{name}"])
    scores["augmentation_r2"] = _mean([score for name, score in scores.items() if name.startswith("r2/")])
    scores["augmentation_accuracy"] = _mean(accuracies)
    return scores


def select(data: Labelled, index: Tensor) -> Labelled:
    """Some of the images with their labels."""
    images, labels = data
    return images[index], None if labels is None else labels[index]


def subset(data: Labelled, n: int | None) -> Labelled:
    """n images spread over the data, the same ones for every encoder; None: all."""
    size = len(data[0])
    return data if n is None or size <= n else select(data, _some(size, n))


def _some(size: int, n: int) -> Tensor:
    return spread(size, n, generator_at(0, "images of a readout", size))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
