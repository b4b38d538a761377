"""Cached gradients are the gradients of the whole batch."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from data_parallel_worker import images, losses_of

from aninfonce._tensors import read_tensors
from aninfonce.training import TrainConfig
from aninfonce.training.gradient_cache import has_batch_norm
from aninfonce.training.loop import make_task

# A vision transformer and a linear projector: no layer looks at other images. Double precision: see test_data_parallel.
CONFIG = TrainConfig(
    data="digits",
    objective="aninfonce",
    backbone="timm:test_vit",
    projector_dim=8,
    projector_layers=1,
    batch_size=128,
    epochs=2,
    precision="64",
    augmentations="crop-flip",
    image_size=32,
    device="cpu",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, losses_of(CONFIG, folder)


@pytest.mark.parametrize("pieces", [2, 3])
def test_training_in_pieces_is_training_on_the_batch(tmp_path, whole, pieces):
    found = losses_of(dataclasses.replace(CONFIG, accumulate=pieces), tmp_path)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(whole[1]), rtol=0, atol=1e-9)
    one, other = (read_tensors(folder / "model.safetensors")[0] for folder in (whole[0], tmp_path))
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-6, atol=1e-9)


def test_small_batches_are_not(tmp_path, whole):
    """The loss of a quarter of the batch has a quarter of the negatives: the test above can fail."""
    found = losses_of(dataclasses.replace(CONFIG, batch_size=32), tmp_path)
    assert found[0] < whole[1][0] - 1


def test_a_network_with_batch_normalisation_is_told_of_it(tmp_path):
    config = dataclasses.replace(CONFIG, backbone="small:4", accumulate=2, epochs=1)
    said: list[str] = []
    losses_of(config, tmp_path, on_warning=said.append)
    assert len(said) == 1
    assert "each piece" in said[0]
    assert has_batch_norm(make_task(config, images()))
    assert not has_batch_norm(make_task(CONFIG, images()))


def test_running_statistics_move_once_a_piece(tmp_path):
    config = dataclasses.replace(CONFIG, backbone="small:4", accumulate=2, epochs=1)
    losses_of(config, tmp_path, on_warning=lambda line: None)
    counts = [
        v for name, v in read_tensors(tmp_path / "model.safetensors")[0].items() if name.endswith("num_batches_tracked")
    ]
    assert {int(count) for count in counts} == {2 * 2}  # two steps of two pieces
