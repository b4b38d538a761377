"""A training that is no longer finite stops with all that is known, and leaves a checkpoint that is finite."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import TINY, same

from aninfonce.data import load_images, shuffled_order
from aninfonce.training import fit
from aninfonce.training.divergence import DIVERGED
from aninfonce.training.loop import CHECKPOINTS
from aninfonce.training.randomness import generator_at
from aninfonce.training.store import CheckpointStore

CONFIG = dataclasses.replace(TINY, batch_size=8, checkpoint_minutes=0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(rng.integers(256, size=(16, 16, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return load_images(f"files:{folder}", image_size=16).train.images


class SpoilingSGD(torch.optim.SGD):
    """Of the third step it makes something else than numbers."""

    steps = 0

    def step(self, closure=None):
        super().step(closure)
        self.steps += 1
        if self.steps == 3:
            self.param_groups[0]["params"][0].data.view(-1)[1] = float("inf")


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_not_finite_stops_with_step_files_and_checkpoint(tmp_path, files, accumulate):
    with pytest.raises(FloatingPointError, match="loss is nan") as caught:
        fit(dataclasses.replace(CONFIG, rate=1e20, accumulate=accumulate), files, tmp_path)
    step = int(re.search(r"at step (\d+)", str(caught.value))[1])
    order = shuffled_order(files, generator_at(CONFIG.seed, "order", 0))
    places = torch.split(order, 8)[step].tolist()
    names = [str(files.path(place)) for place in places]
    assert str(caught.value) == (
        f"the loss is nan at step {step}; the checkpoint of step {step} is in {tmp_path / CHECKPOINTS}. The batch has "
        f"8 images: {', '.join(names[:5])} … (all are in {tmp_path / DIVERGED}). A smaller --rate or "
        "--concentration-rate may help, or --precision 32."
    )
    written = json.loads((tmp_path / DIVERGED).read_text())
    assert written == {"step": step, "loss": "nan", "places": places, "files": names}
    latest = CheckpointStore(tmp_path / CHECKPOINTS).latest()
    assert latest.step == step
    assert all(torch.isfinite(tensor).all() for tensor in latest.tensors.values())


def test_images_in_memory_have_places_only(tmp_path, images):
    with pytest.raises(FloatingPointError, match=r"there is no checkpoint. The batch has 64 images \(all are in"):
        fit(dataclasses.replace(TINY, rate=1e20), images, tmp_path)
    written = json.loads((tmp_path / DIVERGED).read_text())
    assert written["files"] is None
    assert len(set(written["places"])) == 64


def test_weights_that_are_not_finite_are_not_saved_and_the_run_goes_on_from_those_before(tmp_path, images, monkeypatch):
    config = dataclasses.replace(CONFIG, epochs=1, optimizer="sgd", rate=0.05)
    (tmp_path / "unbroken").mkdir()
    (tmp_path / "run").mkdir()
    unbroken, _ = fit(config, images, tmp_path / "unbroken")
    with monkeypatch.context() as patch:
        make = "aninfonce.training.loop.make_optimizer"
        from aninfonce.training.optimizers import make_optimizer

        def spoiling(task, config):
            optimizer = make_optimizer(task, config)
            optimizer.__class__ = SpoilingSGD
            return optimizer

        patch.setattr(make, spoiling)
        with pytest.raises(FloatingPointError, match=r"no longer finite after step 3; the checkpoint of step 2 is in"):
            fit(config, images, tmp_path / "run")
    assert CheckpointStore(tmp_path / "run" / CHECKPOINTS).latest().step == 2
    (tmp_path / "run" / DIVERGED).write_text("{}")
    continued, _ = fit(config, images, tmp_path / "run")
    assert same(continued, unbroken)
    assert not (tmp_path / "run" / DIVERGED).exists(), "no word of a trouble that is over"


def test_a_full_disk_does_not_hide_it(tmp_path, images, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("aninfonce.training.divergence.write_json", full)
    with pytest.raises(FloatingPointError, match=r"loss is nan.*could not be written: No space left on device"):
        fit(dataclasses.replace(TINY, rate=1e20), images, tmp_path)
