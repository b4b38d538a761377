"""A finished run gives its encoder back in one line, and that encoder is the one that was trained."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

import aninfonce
from aninfonce.cli import run
from aninfonce.data import load_images
from aninfonce.training import TrainConfig, encode, train
from aninfonce.training.checkpoint import load_weights
from aninfonce.training.checksums import digest
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

    def write(**changed):
        body = {**content, "config": {**content["config"], **changed}}
        del body["digest"]
        (tmp_path / MODEL).write_text(json.dumps({**body, "digest": digest(body)}))

    write(unheard_of=1)
    with pytest.raises(ValueError, match="unheard_of"):
        aninfonce.load(tmp_path)
    write(backbone="small:8")
    with pytest.raises(ValueError, match="belongs to another network"):
        aninfonce.load(tmp_path)
    write(projector_hidden=10**12)
    with pytest.raises(ValueError, match=rf"{MODEL} does not describe .*cannot build the network"):
        aninfonce.load(tmp_path)
    (tmp_path / MODEL).write_text(json.dumps({**content, "image_size": 17}))
    with pytest.raises(ValueError, match=rf"{MODEL} was changed or damaged"):
        aninfonce.load(tmp_path)
    write()
    aninfonce.load(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=rf"{WEIGHTS} is damaged"):
        aninfonce.load(tmp_path)


def test_runs_from_before_the_checksums_are_read(trained, tmp_path):
    content = json.loads((trained / MODEL).read_text())
    older = {name: content[name] for name in ("config", "channels", "image_size")}
    (tmp_path / MODEL).write_text(json.dumps(older))
    (tmp_path / WEIGHTS).write_bytes((trained / WEIGHTS).read_bytes())
    images = load_images("digits").test.in_memory[:20]
    assert torch.equal(aninfonce.load(tmp_path)(images), aninfonce.load(trained)(images))
    (tmp_path / WEIGHTS).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        aninfonce.load(tmp_path)


@pytest.mark.parametrize("objective", ["infonce", "aninfonce"])
@pytest.mark.parametrize("layers", [0, 1, 3])
def test_the_projectors_shape(tmp_path, objective, layers):
    train(dataclasses.replace(CONFIG, projector_layers=layers, projector_hidden=16, objective=objective), tmp_path)
    encoder = aninfonce.load(tmp_path)
    linear = [module for module in encoder.task.model.projector.modules() if isinstance(module, torch.nn.Linear)]
    assert len(linear) == layers
    images = load_images("digits").test.in_memory[:20]
    projected = encoder(images, "projector")
    assert projected.shape == (20, encoder.embedding_dim) == (20, 8 if layers else encoder.feature_dim)
    if not layers:
        torch.testing.assert_close(projected, torch.nn.functional.normalize(encoder(images), dim=1))
    if objective == "aninfonce":
        assert encoder.task.objective.concentration.shape == (encoder.embedding_dim,)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_run_starts_from_the_weights_of_another_and_is_loaded_without_them(trained, tmp_path, suffix):
    file = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        file.write_bytes((trained / WEIGHTS).read_bytes())
    else:
        torch.save({"state_dict": aninfonce.load(trained).task.state_dict()}, file)
    config = dataclasses.replace(CONFIG, pretrained=file, seed=1, projector_layers=1)
    images = load_images("digits").train.in_memory
    backbone = make_task(config, images).model.backbone
    expected = aninfonce.load(trained).task.model.backbone
    assert all(torch.equal(t, expected.state_dict()[n]) for n, t in backbone.state_dict().items())
    drawn = make_task(dataclasses.replace(config, pretrained=None), images)
    assert not torch.equal(drawn.model.backbone.convolutions[0].weight, expected.convolutions[0].weight)
    (tmp_path / "run").mkdir()
    train(config, tmp_path / "run")
    assert str(file) in json.loads((tmp_path / "run" / "results.json").read_text())["config"]["pretrained"]
    file.unlink()
    assert aninfonce.load(tmp_path / "run").config == config
    with pytest.raises(ValueError, match=f"no pretrained weights at {file}"):
        make_task(config, images)


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
        (["{run}", "{tmp}/features.csv"], "must end in .npz or .parquet"),
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
