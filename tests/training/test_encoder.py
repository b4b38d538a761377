"""A finished run gives its encoder back in one line, and that encoder is the one that was trained."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import aninfonce
from aninfonce.cli import run
from aninfonce.data import load_images
from aninfonce.training import TrainConfig, encode, train
from aninfonce.training.checkpoint import load_weights
from aninfonce.training.encoder import MODEL, WEIGHTS
from aninfonce.training.loop import make_task

CONFIG = TrainConfig(
    data="digits", objective="aninfonce", backbone="small:4", projector_dim=8, epochs=1, limit=256, device="cpu"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(CONFIG, folder)
    return folder


def test_the_loaded_encoder_is_the_trained_one(trained):
    encoder = aninfonce.load(trained)
    images = load_images("digits").test.in_memory[:20]
    task = make_task(CONFIG, images)  # another mean and deviation, until the weights are loaded
    load_weights(trained / WEIGHTS, task)
    expected = encode(task.model, images)
    for layer in ("backbone", "projector"):
        torch.testing.assert_close(encoder(images, layer), expected[layer])
    torch.testing.assert_close(encoder(images), encoder(images.float() / 255))
    assert (encoder.feature_dim, encoder.embedding_dim) == (encoder(images).shape[1], 8)
    torch.testing.assert_close(encoder.task.objective.concentration, task.objective.concentration)
    assert not encoder.training
    assert not encoder(images).requires_grad


def test_wrong_images_and_layers_are_refused(trained):
    encoder = aninfonce.load(str(trained))
    with pytest.raises(ValueError, match=r"shape \(batch, 1, height, width\), got \(2, 3, 16, 16\)"):
        encoder(torch.zeros(2, 3, 16, 16))
    with pytest.raises(ValueError, match="did you mean 'backbone'"):
        encoder(torch.zeros(2, 1, 16, 16), layer="backbon")


def test_a_folder_without_a_whole_run_is_refused(trained, tmp_path):
    with pytest.raises(ValueError, match="no finished training run"):
        aninfonce.load(tmp_path)
    for name in (MODEL, WEIGHTS):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    content = json.loads((tmp_path / MODEL).read_text())
    (tmp_path / MODEL).write_text(json.dumps({**content, "config": {**content["config"], "unheard_of": 1}}))
    with pytest.raises(ValueError, match="unheard_of"):
        aninfonce.load(tmp_path)
    (tmp_path / MODEL).write_text(json.dumps({**content, "config": {**content["config"], "backbone": "small:8"}}))
    with pytest.raises(ValueError, match="belongs to another network"):
        aninfonce.load(tmp_path)
    (tmp_path / MODEL).write_text(json.dumps(content))
    (tmp_path / WEIGHTS).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        aninfonce.load(tmp_path)


def test_features_are_written_with_labels(trained, tmp_path, capsys):
    out = tmp_path / "features.npz"
    assert run(["embed", str(trained), str(out)]) == 0
    assert "test_backbone: 359 × 64" in capsys.readouterr().out
    digits = load_images("digits")
    with np.load(out, allow_pickle=False) as found:
        names = {f"{s}_{n}" for s in ("train", "test") for n in ("backbone", "projector", "places", "labels")}
        assert set(found.files) == names
        np.testing.assert_array_equal(found["test_labels"], digits.test.labels.numpy())
        expected = aninfonce.load(trained)(digits.test.in_memory, "projector").numpy()
        np.testing.assert_allclose(found["test_projector"], expected, atol=1e-5)
    assert run(["embed", str(trained), str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert run(["embed", str(trained), str(out), "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}", "{tmp}/features.csv"], "must end in .npz"),
        (["{run}", "{tmp}/no/features.npz"], "does not exist"),
        (["{tmp}", "{tmp}/features.npz"], "no finished training run"),
        (["{run}", "{tmp}/features.npz", "--data", "digit"], "did you mean 'digits'"),
        (["{run}", "{tmp}/features.npz", "--data", "folder:{tmp}"], "holds no image"),
    ],
)
def test_bad_input_to_embed_is_one_clear_line(trained, tmp_path, capsys, arguments, message):
    assert run(["embed", *(a.format(run=trained, tmp=tmp_path) for a in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*.npz"))
