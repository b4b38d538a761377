"""Readouts during the training: they leave no trace in it, and they are the readouts of the end."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from tiny_run import TINY, same

from aninfonce.data import load_images
from aninfonce.training import PreemptedError, TrainConfig, fit, readouts
from aninfonce.training.loop import make_task
from aninfonce.training.neighbours import knn_accuracy
from aninfonce.training.online import OnlineReadouts, untouched
from aninfonce.training.readouts import subset
from aninfonce.training.run import splits

CONFIG = dataclasses.replace(TINY, epochs=5, readout_every=2)


@pytest.fixture(scope="module")
def data():
    return splits(CONFIG, load_images("digits"))


@pytest.fixture(scope="module")
def watched(data, tmp_path_factory):
    return fit(CONFIG, data[0][0], tmp_path_factory.mktemp("watched"), examine=OnlineReadouts(CONFIG, *data))


def test_every_so_many_epochs_and_after_the_last(watched, data):
    task, history = watched
    assert [bool(record.readouts) for record in history] == [False, True, False, True, True]
    for layer in ("backbone", "projector"):
        for measure in ("class_accuracy", "knn_accuracy", "augmentation_r2", "augmentation_accuracy", "r2/crop_x"):
            assert f"{layer}/{measure}" in history[-1].readouts
    augment = OnlineReadouts(CONFIG, *data)._augment
    assert history[-1].readouts == readouts(task.model, *data, augment), "few images: those of the end"


def test_the_training_ends_with_the_weights_of_one_that_nobody_watched(tmp_path, watched, data, monkeypatch):
    """Also where layers draw from the global generator."""
    from aninfonce.models import Projector

    assert same(fit(CONFIG, data[0][0], tmp_path)[0], watched[0])

    class Dropping(Projector):
        def forward(self, x):
            return super().forward(torch.dropout(x, 0.3, self.training))

    monkeypatch.setattr("aninfonce.training.module.Projector", Dropping)
    ends = []
    for name, examine in (("alone", None), ("watched", Disturbing(CONFIG, *data))):
        (tmp_path / name).mkdir()
        ends.append(fit(CONFIG, data[0][0], tmp_path / name, examine=examine)[0])
    assert same(*ends)


class Disturbing(OnlineReadouts):
    """Draws from the global generator where the readouts would."""

    def __call__(self, task, epoch):
        with untouched(task.model):
            torch.rand(epoch)
            task.model.eval()
            return super().__call__(task, epoch)


def test_a_continued_run_has_the_readouts_of_an_unbroken_one(tmp_path, watched, data):
    examine, steps = OnlineReadouts(CONFIG, *data), []
    with pytest.raises(PreemptedError):
        fit(
            CONFIG,
            data[0][0],
            tmp_path,
            examine=examine,
            on_step=lambda now: steps.append(now.step),
            stop=lambda: steps[-1] == 10,
        )
    task, history = fit(CONFIG, data[0][0], tmp_path, examine=examine)
    assert same(task, watched[0])
    assert [record.readouts for record in history] == [record.readouts for record in watched[1]]


def test_frozen_parts_stay_in_their_mode(data):
    """A part that its user put into evaluation mode is not put into training mode by being looked at."""
    task = make_task(CONFIG, data[0][0]).train()
    frozen = next(part for part in task.model.modules() if isinstance(part, torch.nn.BatchNorm2d)).eval()
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    OnlineReadouts(CONFIG, *data)(task, 2)
    assert not frozen.training
    assert task.model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in task.state_dict().items())


def test_images_without_labels_have_no_readout_of_classes(data):
    (images, _), (test_images, _) = data
    found = OnlineReadouts(CONFIG, (images, None), (test_images, None))(make_task(CONFIG, images), 2)
    assert "backbone/augmentation_r2" in found
    assert not [name for name in found if "class" in name or "knn" in name]


def test_few_images_are_enough_images_for_many_classes():
    labels = torch.arange(6000) % 500
    images = torch.zeros(6000, 1, 2, 2, dtype=torch.uint8)
    config = dataclasses.replace(CONFIG, readout_images=5500)
    many = OnlineReadouts(config, (images, labels), (images, labels))
    assert (len(many._train[0]), len(many._test[0])) == (5000, 5000)
    few = OnlineReadouts(config, (images, labels % 10), (images, labels % 10))
    assert (len(few._train[0]), len(few._test[0])) == (2000, 2000)
    assert len(OnlineReadouts(CONFIG, *[subset((images, labels), 30)] * 2)._train[0]) == 30


def test_the_neighbours_vote_as_in_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 1600)
    # ties of the votes go to the smallest class in both
    features = rng.normal(size=(1600, 5)) + np.eye(5)[labels]
    fitted, scored = slice(0, 900), slice(900, None)
    theirs = KNeighborsClassifier(20, metric="cosine").fit(features[fitted], labels[fitted])
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    ours = knn_accuracy(x[fitted], y[fitted], x[scored], y[scored], device=torch.device("cpu"))
    assert ours == pytest.approx(theirs.score(features[scored], labels[scored]), abs=1e-12)
    assert 0.4 < ours < 0.9
    with pytest.raises(ValueError, match="between 1 and the 10 training rows, got 20"):
        knn_accuracy(x[:10], y[:10], x, y, device=torch.device("cpu"))


def test_a_negative_interval_is_refused(data):
    with pytest.raises(ValueError, match="readout_every must be a number of epochs"):
        TrainConfig(readout_every=-1)
    with pytest.raises(ValueError, match="at least 1 epoch, got 0"):
        OnlineReadouts(dataclasses.replace(CONFIG, readout_every=0), *data)
