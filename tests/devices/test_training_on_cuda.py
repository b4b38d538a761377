"""`aninfonce train` and the experiments on images stay on a (pretended) graphics card, readouts included."""

import math
from dataclasses import replace

import pytest
import torch
from pretend_cuda import CUDA, pretend_cuda
from pretend_training import on_the_card
from small_tasks import small_tasks

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
