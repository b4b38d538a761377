"""A readout that cannot be made: the others are, its reason is told, and the run is finished."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import TINY

from aninfonce import report
from aninfonce.cli import run
from aninfonce.data import Augmentation, ImageDataset, ImageSplit, load_images
from aninfonce.experiments import Place
from aninfonce.experiments.image_training import TrainingTask
from aninfonce.training import TrainConfig, encode, readouts, train
from aninfonce.training.online import OnlineReadouts
from aninfonce.training.readouts import LAYERS, read_out

CLASSES = {f"{layer}/{name}" for layer in LAYERS for name in ("class_accuracy", "knn_accuracy")}
AUGMENT = Augmentation("crop-flip", channels=1, image_size=8)


class Pixels(torch.nn.Module):
    """The pixels are the features; those of images that begin with 255 are not finite."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, images):
        h = images.flatten(1)[:, :16] * self.weight
        h = torch.where(images[:, :1, 0, 0] == 1, math.nan, h)
        return h, h


def split(n, labels, seed=0):
    rng = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 250, (n, 1, 8, 8), dtype=torch.uint8, generator=rng)
    return images, None if labels is None else torch.as_tensor(labels)[:n]


TWO = torch.arange(200) % 2


@pytest.mark.parametrize(
    ("train_split", "test_split", "reason"),
    [
        (split(120, torch.zeros(200, dtype=torch.int64)), split(60, TWO, 1), "all training images are of one class"),
        (split(120, torch.arange(200)), split(60, TWO, 1), "120 training images are of 120 classes"),
        (split(120, torch.full((200,), -1)), split(60, TWO, 1), "no training image has a label"),
        (split(120, TWO), split(60, torch.full((200,), -1), 1), "no test image has a label"),
        (split(120, None), split(60, None, 1), "the images have no classes"),
    ],
)
def test_classes_that_cannot_be_read_leave_the_other_readouts(train_split, test_split, reason):
    found = read_out(Pixels(), train_split, test_split, AUGMENT)
    assert found.not_measured.keys() == CLASSES
    assert all(reason in text for text in found.not_measured.values())
    whole = read_out(Pixels(), (train_split[0], TWO[:120]), (test_split[0], TWO[:60]), AUGMENT)
    assert not whole.not_measured
    assert found.scores == {name: score for name, score in whole.scores.items() if name not in CLASSES}
    assert readouts(Pixels(), train_split, test_split, AUGMENT) == found.scores


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_test_images(rows):
    found = read_out(Pixels(), split(120, TWO), split(rows, TWO, 1), AUGMENT)
    for layer in LAYERS:
        for name in ("r2/crop_x", "accuracy/flip"):
            assert f"{layer}/{name}" in found.not_measured
    assert all(math.isfinite(score) for score in found.scores.values())
    if rows == 0:
        assert not found.scores
        assert set(found.not_measured.values()) == {"there are no test images", "no test image has a label"}


def test_features_that_are_not_finite_are_no_zeros():
    train_split, test_split = split(120, TWO), split(60, TWO, 1)
    train_split[0][3, :, 0, 0] = 255
    still = Augmentation("crop-flip", channels=1, image_size=8)
    found = read_out(Pixels(), train_split, test_split, still)
    assert found.not_measured.keys() >= CLASSES
    assert found.not_measured["projector/knn_accuracy"] == "the features of 1 of 120 training images are not finite"


def test_a_parameter_that_is_the_same_for_all_images_leaves_the_means_of_the_others(monkeypatch):
    train_split, test_split = split(120, TWO), split(60, TWO, 1)
    whole = read_out(Pixels(), train_split, test_split, AUGMENT)
    draw = Augmentation.draw

    def constant(self, n, generator=None):
        drawn = draw(self, n, generator=generator)
        values = {**drawn.values, "crop_x": torch.zeros(n), "flip": torch.zeros(n, dtype=torch.bool)}
        return dataclasses.replace(drawn, values=values)

    monkeypatch.setattr(Augmentation, "draw", constant)
    found = read_out(Pixels(), train_split, test_split, AUGMENT)
    for layer in LAYERS:
        assert "constant" in found.not_measured[f"{layer}/r2/crop_x"]
        assert f"{layer}/accuracy/flip" in found.not_measured
        kept = [name for name in whole.scores if name.startswith(f"{layer}/r2/") and not name.endswith("crop_x")]
        assert kept
        mean = sum(found.scores[name] for name in kept) / len(kept)
        assert found.scores[f"{layer}/augmentation_r2"] == pytest.approx(mean)
        assert math.isfinite(found.scores[f"{layer}/augmentation_accuracy"])


def test_an_empty_split_has_features_without_rows():
    found = encode(Pixels(), torch.zeros(0, 1, 8, 8, dtype=torch.uint8))
    assert {name: tuple(rows.shape) for name, rows in found.items()} == {
        "backbone": (0, 16),
        "projector": (0, 16),
        "places": (0,),
    }


def one_class():
    digits = load_images("digits")
    labels = torch.zeros_like(digits.train.labels)
    return ImageDataset("digits", ImageSplit(digits.train.images, labels), digits.test, digits.class_names)


def test_periodic_readouts_warn_once(monkeypatch, tmp_path):
    monkeypatch.setattr("aninfonce.training.run.load_images", lambda *_, **__: one_class())
    told = []
    config = dataclasses.replace(TINY, readout_every=1, epochs=2)
    result = train(config, tmp_path, on_warning=told.append)
    assert told == [
        "readouts after epoch 1: class_accuracy, knn_accuracy not measured: at least 2 classes are needed, all "
        "training images are of one class",
        "class_accuracy, knn_accuracy not measured: at least 2 classes are needed, all training images are of one "
        "class",
    ]
    assert result.not_measured.keys() == CLASSES
    for record in result.history:
        assert "backbone/augmentation_r2" in record.readouts
        assert not CLASSES & record.readouts.keys()


def test_the_outcome_of_an_image_experiment_has_the_reason(monkeypatch, tmp_path):
    monkeypatch.setattr("aninfonce.training.run.load_images", lambda *_, **__: one_class())
    outcome = TrainingTask(dataclasses.replace(TINY, epochs=1)).run(0, Place("cpu", tmp_path))
    assert math.isnan(outcome.metrics["backbone/class_accuracy"])
    assert outcome.metrics["backbone/augmentation_accuracy"] > 0
    assert outcome.details["not_measured"].keys() == CLASSES
    results = {
        "name": "cifar10",
        "config": {"methods": {"infonce": {}}},
        "per_seed": {f"infonce/{name}": [value, value] for name, value in outcome.metrics.items()},
        "published": {},
    }
    assert all(path.stat().st_size > 1000 for path in report.study.trade_off_figure(results, tmp_path))


def test_a_set_of_one_class_is_trained_finished_compared_and_embedded(tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "images" / "cat").mkdir(parents=True)
    for i in range(60):
        picture = Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8))
        picture.save(tmp_path / "images" / "cat" / f"{i}.png")
    out = tmp_path / "run"
    small = "--backbone small:4 --projector-dim 8 --projector-hidden 16 --epochs 1 --device cpu --image-size 12"
    command = ["train", "--data", f"folder:{tmp_path / 'images'}", "--batch-size", "16", *small.split()]
    assert run([*command, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "warning: class_accuracy, knn_accuracy not measured" in told
    results = json.loads((out / "results.json").read_text())
    assert results["not_measured"].keys() >= CLASSES
    for name in CLASSES:
        assert results["metrics"][name] is None
        assert results["per_seed"][name] == [None]
    page = (out / "report.html").read_text()
    assert "all training images are of one class" in page
    assert '<td>class_accuracy, %</td><td class="number">–</td><td class="number">–</td>' in page
    assert run([*command, "--out", str(out), "--resume"]) == 0, "a finished run goes on to the same end"
    assert run(["compare", str(out), "--out", str(tmp_path / "compare")]) == 0
    assert "not measured: at least 2 classes are needed" in " ".join(capsys.readouterr().out.split())
    compared = json.loads((tmp_path / "compare" / "results.json").read_text())
    assert compared["metrics"]["infonce-tau-0.2/backbone/class_accuracy"] is None
    assert compared["not_measured"] == [
        f"{out}: class_accuracy, knn_accuracy not measured: at least 2 classes are needed, all training images are of "
        "one class"
    ]
    assert run(["embed", str(out), str(tmp_path / "features.npz")]) == 0


def test_a_class_readout_on_the_device_refuses_what_the_other_does(monkeypatch):
    from aninfonce.training import class_readout

    monkeypatch.setattr(class_readout, "_LARGE", 0)
    found = read_out(Pixels(), split(120, torch.zeros(200, dtype=torch.int64)), split(60, TWO, 1), AUGMENT)
    assert found.not_measured.keys() == CLASSES


def test_no_labels_means_no_classes_for_the_periodic_readouts():
    config = TrainConfig(readout_every=1)
    empty = OnlineReadouts(config, split(40, None), split(0, None))
    assert len(empty._test[0]) == 0
