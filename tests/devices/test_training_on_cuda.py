"""`aninfonce train` and the experiments on images stay on a (pretended) graphics card, readouts included."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from pretend_cuda import CUDA, MPS, pretend_cuda
from pretend_training import on_the_card
from small_tasks import small_tasks

from aninfonce.cli import run
from aninfonce.data import StoredImages, load_images, read_batches
from aninfonce.experiments import Place
from aninfonce.training import TrainConfig, train

SMALL = TrainConfig(
    data="digits",
    objective="aninfonce",
    backbone="small:4",
    projector_dim=8,
    projector_hidden=16,
    epochs=2,
    batch_size=64,
    limit=128,
    readout_images=128,
    device="cuda",
)
SETTINGS = {
    "aninfonce": SMALL,
    "infonce": replace(SMALL, objective="infonce", trainable_temperature=True, negatives_from="positives"),
    "averaged": replace(SMALL, ema=0.9, readout_every=1),
    "in pieces": replace(SMALL, accumulate=2),
    "lars": replace(SMALL, optimizer="lars"),
    "sgd": replace(SMALL, optimizer="sgd", validation=0.1),
}
TRAININGS = {name: task for name, task in small_tasks() if type(task).__name__ == "TrainingTask"}


@pytest.fixture(autouse=True)
def _card(monkeypatch):
    on_the_card(monkeypatch)


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_training_stays_on_its_device_and_its_weights_are_saved(config, tmp_path):
    with pretend_cuda() as labels:
        found = train(config, tmp_path)
    assert labels.operators > 1000
    assert math.isfinite(found.metrics["loss"])
    assert 0 < found.metrics["backbone/class_accuracy"] <= 1
    assert (tmp_path / "results.json").exists()


def test_a_training_goes_on_from_its_checkpoint(tmp_path):
    with pretend_cuda():
        train(replace(SMALL, epochs=1, warmup_epochs=0.0), tmp_path)
        with pytest.raises(ValueError, match="belong"):
            train(replace(SMALL, projector_dim=16), tmp_path)
        again = train(replace(SMALL, epochs=3, warmup_epochs=0.0), tmp_path)
    assert len(again.history) == 3


def test_a_saved_encoder_embeds_on_the_card(tmp_path):
    from aninfonce import load

    with pretend_cuda():
        train(SMALL, tmp_path)
        encoder = load(tmp_path, "cuda")
        assert next(encoder.parameters()).device == CUDA
        images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8, device="cuda")
        assert encoder(images).device == CUDA


@pytest.mark.parametrize("task", TRAININGS.values(), ids=TRAININGS.keys())
def test_experiments_on_images_stay_on_their_device(task, tmp_path):
    with pretend_cuda() as labels:
        assert task.run(1000, Place("cuda", tmp_path)).metrics
    assert labels.operators > 1000


def test_a_training_needs_no_double_precision_on_the_device(tmp_path, monkeypatch):
    """Lightning's "auto" takes Apple's MPS where it is, which knows no float64."""
    on_the_card(monkeypatch, MPS)
    with pretend_cuda(MPS) as labels:
        found = train(replace(SMALL, device="auto", ema=0.9, readout_every=1), tmp_path)
    assert labels.operators > 1000
    assert math.isfinite(found.metrics["loss"])


def test_images_that_are_decoded_on_demand(tmp_path):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        folder = tmp_path / "images" / label
        folder.mkdir(parents=True)
        for i in range(20):
            Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    images = load_images(f"files:{tmp_path / 'images'}", image_size=12).train.images
    assert isinstance(images, StoredImages)
    with pretend_cuda():
        batches = list(read_batches(images, [torch.arange(4), torch.arange(4, 8)], CUDA))
        assert [(len(places), batch.device) for places, batch in batches] == [(4, CUDA)] * 2


def test_embedding_on_the_card(tmp_path):
    with pretend_cuda() as labels:
        train(SMALL, tmp_path)
        before = labels.operators
        assert run(["embed", str(tmp_path), str(tmp_path / "features.npz"), "--device", "cuda"]) == 0
    assert labels.operators > before
    assert np.isfinite(np.load(tmp_path / "features.npz")["test_backbone"]).all()
