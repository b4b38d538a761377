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
A readout that cannot be made of the images at hand (they are all of one class, a parameter is the same for all of
them) is left out, and its reason is kept; the means are then over what can be read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aninfonce import metrics
from aninfonce.data import NO_LABEL, NUMBER_PARAMETERS, Augmentation, AugmentationParameters, Images, read_batches
from aninfonce.training.class_readout import class_accuracy
from aninfonce.training.neighbours import NEIGHBOURS, knn_accuracy
from aninfonce.training.outputs import LAYERS
from aninfonce.training.randomness import generator_at, spread

__all__ = [
    "LAYERS",
    "Labelled",
    "Readings",
    "encode",
    "labelled",
    "read_out",
    "readouts",
    "reasons",
    "select",
    "subset",
]

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
    if not len(images):  # one empty batch, for the shapes of the features
        images = torch.empty(images.shape, dtype=torch.uint8)
    try:
        for places, batch in read_batches(images, torch.split(torch.arange(len(images)), batch_size), device):
            h, p = model(batch.float() / 255 if augment is None else augment(batch, places))
            features["backbone"].append(h.float().cpu())
            features["projector"].append(F.normalize(p.float(), dim=1).cpu())
            features["places"].append(places)
    finally:
        model.train(was_training)
    return {name: torch.cat(parts) for name, parts in features.items()}


@dataclass(frozen=True)
class Readings:
    """What was read out, and what could not be.

    Attributes:
        scores: LAYER/MEASURE -> a finite number, as `readouts` gives it.
        not_measured: LAYER/MEASURE -> why there is none.
    """

    scores: dict[str, float]
    not_measured: dict[str, str]

    def __or__(self, other: Readings) -> Readings:
        """Both together."""
        return Readings(self.scores | other.scores, self.not_measured | other.not_measured)

    def below(self, layer: str) -> Readings:
        """The same with the layer before each name."""
        scores = {f"{layer}/{name}": score for name, score in self.scores.items()}
        return Readings(scores, {f"{layer}/{name}": reason for name, reason in self.not_measured.items()})


def reasons(not_measured: Mapping[str, str]) -> list[str]:
    """What could not be measured and why, a line a reason; without the layer where it is so at every layer.

    Arguments:
        not_measured: LAYER/MEASURE -> reason.

    Example:
        >>> reasons({"backbone/knn_accuracy": "one class", "projector/knn_accuracy": "one class"})
        ['knn_accuracy not measured: one class']
    """
    names: dict[str, list[str]] = {}
    for name, reason in not_measured.items():
        names.setdefault(reason, []).append(name)
    lines = []
    for reason, found in names.items():
        measures = {name: name.partition("/")[2] for name in found}
        everywhere = {m for m in measures.values() if all(f"{layer}/{m}" in found for layer in LAYERS)}
        told = dict.fromkeys(m if m in everywhere else name for name, m in measures.items())
        lines.append(f"{', '.join(told)} not measured: {reason}")
    return lines


def readouts(
    model: nn.Module,
    train: Labelled,
    test: Labelled,
    augment: Augmentation,
    seed: int = 0,
    class_train: Labelled | None = None,
) -> dict[str, float]:
    """Every readout of every layer that can be made.

    Arguments:
        model: the trained network, as for `encode`.
        train: images (uint8) and labels (or None) to fit the readouts on.
        test: images and labels to score them on.
        augment: the augmentations whose parameters are read.
        seed: the seed of the draw of the parameters; not the training's, so that encoders are compared on the same
            draw.
        class_train: images and labels to fit the readout of classes on; default: `train`. Images without a label
            (`NO_LABEL`) are left out of this readout, and without any label it is not made.

    Returns:
        `LAYER/class_accuracy`, `LAYER/knn_accuracy`, `LAYER/augmentation_r2`, `LAYER/augmentation_accuracy`,
        `LAYER/r2/NAME`, `LAYER/accuracy/NAME` and `LAYER/effective_rank`, without those that cannot be made of these
        images; `read_out` says why.
    """
    return read_out(model, train, test, augment, seed, class_train).scores


def read_out(
    model: nn.Module,
    train: Labelled,
    test: Labelled,
    augment: Augmentation,
    seed: int = 0,
    class_train: Labelled | None = None,
) -> Readings:
    """As `readouts`, with the reasons of those that cannot be made: a single class, a parameter that does not vary."""
    return _augmentation_readings(model, train[0], test[0], augment, seed) | _class_readings(
        model, class_train or train, test, neighbours_from=len(train[0])
    )


def _augmentation_readings(model: nn.Module, train: Images, test: Images, augment: Augmentation, seed: int) -> Readings:
    """The readouts of the augmentation parameters, and the effective rank of the augmented images' features."""
    rng = torch.Generator().manual_seed(seed)
    empty = next((f"there are no {part} images" for part, n in (("training", train), ("test", test)) if not len(n)), "")
    parameters = [augment.draw(max(1, len(images)), generator=rng) for images in (train, test)]
    names = [*_measures(parameters[0].names), "augmentation_r2", "augmentation_accuracy", "effective_rank"]
    every = [f"{layer}/{name}" for layer in LAYERS for name in names]
    if empty:
        return Readings({}, dict.fromkeys(every, empty))
    try:
        augmented = [
            encode(model, images, _fixed(augment, drawn))
            for images, drawn in zip((train, test), parameters, strict=True)
        ]
    except ValueError as error:  # too many images that cannot be read
        return Readings({}, dict.fromkeys(every, str(error)))
    found = Readings({}, {})
    known, asked = (drawn[rows["places"]] for drawn, rows in zip(parameters, augmented, strict=True))
    for layer in LAYERS:
        h, test_h = (rows[layer] for rows in augmented)
        reason = _unusable(h, "training") or _unusable(test_h, "test")
        if reason:
            found |= Readings({}, dict.fromkeys(names, reason)).below(layer)
            continue
        rank = _measured("effective_rank", partial(metrics.effective_rank, test_h))
        found |= (augmentation_scores(h, known, test_h, asked) | rank).below(layer)
    return found


def _class_readings(model: nn.Module, train: Labelled, test: Labelled, *, neighbours_from: int) -> Readings:
    """The readouts of the classes; the neighbours are sought among that many training images at most."""
    names = ("class_accuracy", "knn_accuracy")
    none = [f"{layer}/{name}" for layer in LAYERS for name in names]
    (images, labels), (test_images, test_labels) = labelled(train), labelled(test)
    if labels is None or test_labels is None:
        return Readings({}, dict.fromkeys(none, "the images have no classes"))
    for part, of_part in (("training", labels), ("test", test_labels)):
        if not len(of_part):
            return Readings({}, dict.fromkeys(none, f"no {part} image has a label"))
    try:
        plain, test_plain = encode(model, images), encode(model, test_images)
    except ValueError as error:
        return Readings({}, dict.fromkeys(none, str(error)))
    y, test_y = labels[plain["places"]], test_labels[test_plain["places"]]
    few = _some(len(y), neighbours_from)  # all pairs of images are compared
    device = next(model.parameters()).device
    found = Readings({}, {})
    for layer in LAYERS:
        h, test_h = plain[layer], test_plain[layer]
        reason = _unusable(h, "training") or _unusable(test_h, "test")
        if reason:
            found |= Readings({}, dict.fromkeys(names, reason)).below(layer)
            continue
        linear = partial(class_accuracy, h, y, test_h, test_y, device=device)
        near = partial(
            knn_accuracy, h[few], y[few], test_h, test_y, neighbours=min(NEIGHBOURS, len(few)), device=device
        )
        found |= (_measured("class_accuracy", linear) | _measured("knn_accuracy", near)).below(layer)
    return found


def _measured(name: str, measure: Callable[[], float]) -> Readings:
    """One number, or why it cannot be computed."""
    try:
        score = measure()
    except (ValueError, ArithmeticError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
        return Readings({}, {name: str(error)})
    if not math.isfinite(score):
        return Readings({}, {name: f"it is not finite: {score}"})
    return Readings({name: score}, {})


def _unusable(features: Tensor, part: str) -> str | None:
    """Why nothing can be read from these features, if that is so."""
    if not len(features):
        return f"there are no {part} images"
    bad = int((~torch.isfinite(features).all(1)).sum())
    return f"the features of {bad} of {len(features)} {part} images are not finite" if bad else None


def _fixed(augment: Augmentation, parameters: AugmentationParameters) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda batch, places: augment.apply(batch, parameters[places].to(batch.device))


def _measures(names: tuple[str, ...]) -> dict[str, str]:
    """The measure of every parameter -> the parameter."""
    return {f"{'r2' if name in NUMBER_PARAMETERS else 'accuracy'}/{name}": name for name in names}


def augmentation_scores(
    features: Tensor, parameters: AugmentationParameters, test_features: Tensor, test_parameters: AugmentationParameters
) -> Readings:
    """R² or balanced accuracy of every parameter, and their two means, from features of shape (n, …) and (m, …).

    The means are over the parameters that can be read.
    """

    def read(targets: Tensor, test_targets: Tensor, balanced: bool = False) -> float:
        if balanced and bool((test_targets == test_targets[0]).all()):
            raise ValueError("the test images show only one of the two answers")
        return metrics.readout(
            features, targets, test_features=test_features, test_targets=test_targets, balanced=balanced
        )

    found, accuracies = Readings({}, {}), Readings({}, {})
    for measure, name in _measures(parameters.names).items():
        values, test_values = parameters.values[name], test_parameters.values[name]
        if measure.startswith("r2/"):
            found |= _measured(measure, partial(read, values, test_values))
            median = values.median()
            above = partial(read, values > median, test_values > median, balanced=True)
            accuracies |= _measured(f"accuracy/{name}", above)
        else:
            answer = _measured(measure, partial(read, values, test_values, balanced=True))
            found, accuracies = found | answer, accuracies | answer
    r2 = [score for name, score in found.scores.items() if name.startswith("r2/")]
    return (
        Readings(found.scores, found.not_measured | accuracies.not_measured)
        | _measured("augmentation_r2", partial(_mean, r2))
        | _measured("augmentation_accuracy", partial(_mean, list(accuracies.scores.values())))
    )


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
    if not values:
        raise ValueError("none of the parameters that it is the mean of can be read")
    return sum(values) / len(values)
