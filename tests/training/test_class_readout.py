"""Two solvers of one convex problem agree, and labels stay with their images where files cannot be read."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from aninfonce.data import Augmentation, ImageFiles
from aninfonce.training import class_readout, encode, readouts
from aninfonce.training.class_readout import class_accuracy, fit_logistic

CPU = torch.device("cpu")


def clusters(n, classes=4, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centers = 1.2 * torch.randn(classes, dim, generator=torch.Generator().manual_seed(9))
    labels = torch.randint(classes, (n,), generator=generator)
    return centers[labels] + torch.randn(n, dim, generator=generator), labels


def test_both_solvers_find_the_same_minimum(monkeypatch):
    features, labels = clusters(400)
    monkeypatch.setattr(class_readout, "_CHUNK", 150)  # several, the last one shorter
    weight, bias = fit_logistic(features, labels, 4, device=CPU)
    theirs = LogisticRegression(C=1.0, max_iter=10_000, tol=1e-8).fit(features.numpy(), labels.numpy())
    np.testing.assert_allclose(weight.T.numpy(), theirs.coef_, atol=2e-3)
    ours = torch.softmax(features @ weight + bias, 1).numpy()
    np.testing.assert_allclose(ours, theirs.predict_proba(features.numpy()), atol=1e-3)


def test_the_accuracy_is_the_same_whichever_solver_is_taken(monkeypatch):
    (features, labels), (test_features, test_labels) = clusters(400), clusters(300, seed=1)
    features[:, 0], test_features[:, 0] = 1000 * features[:, 0] + 5e4, 1000 * test_features[:, 0] + 5e4
    features = torch.cat([features, torch.ones(400, 1)], 1)  # a dead feature
    test_features = torch.cat([test_features, torch.ones(300, 1)], 1)
    small = class_accuracy(features, labels, test_features, test_labels, device=CPU)
    monkeypatch.setattr(class_readout, "_LARGE", 1)
    monkeypatch.setattr(class_readout, "_CHUNK", 128)
    large = class_accuracy(features, labels, test_features, test_labels, device=CPU)
    assert 0.6 < small < 0.99
    assert large == pytest.approx(small, abs=0.004)


class Mean(torch.nn.Module):
    """The mean of each channel is all that it sees."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, images):
        h = images.mean((2, 3)) * self.weight
        return h, h


def test_labels_and_parameters_stay_with_their_images_when_files_cannot_be_read(tmp_path):
    """Classes are brightnesses: with every label in its place they are read without an error, otherwise not."""
    for i in range(120):
        level = 40 if i % 2 else 200
        Image.new("RGB", (20, 16), (level, level, level)).save(tmp_path / f"{i:03d}.png")
    for i in range(0, 30, 3):
        (tmp_path / f"{i:03d}.png").write_bytes(b"")
    files = ImageFiles(sorted(tmp_path.iterdir()), 16)
    labels = torch.arange(120) % 2
    part = torch.arange(80), torch.arange(20, 120)
    found = encode(Mean(), files, batch_size=50)
    assert found["places"].tolist() == [i for i in range(120) if i >= 30 or i % 3]
    assert len(found["backbone"]) == 110
    augment = Augmentation("crop-flip", channels=3, image_size=16)  # leaves the mean of these images as it is
    train, test = ((files[index], labels[index]) for index in part)
    scores = readouts(Mean(), train, test, augment)
    assert scores["backbone/class_accuracy"] == 1.0
    assert len(files.skipped) == 10
    other = readouts(
        Mean(), *((files[index], labels[index]) for index in part), augment, class_train=(files, 1 - labels)
    )
    assert other["backbone/class_accuracy"] == 0.0, "the readout of classes has training images of its own"


def test_augmentation_parameters_of_files_are_those_of_the_same_images_in_memory(tmp_path):
    """A brightness drawn for an image must be read from that image, also behind a gap."""
    for i in range(150):
        Image.new("RGB", (16, 16), (100, 100, 100)).save(tmp_path / f"{i:03d}.png")
    (tmp_path / "002.png").write_bytes(b"")
    files = ImageFiles(sorted(tmp_path.iterdir()), 16)
    augment = Augmentation("simclr", channels=3, image_size=16)
    half = torch.arange(150).split(75)
    scores = readouts(Mean(), (files[half[0]], None), (files[half[1]], None), augment)
    assert scores["backbone/r2/brightness"] > 0.9
    assert "backbone/class_accuracy" not in scores
