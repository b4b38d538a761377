"""Features of images from files, with their paths, and of images of the other kind, converted."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from test_export import READERS, encoder_of, images

import aninfonce
from aninfonce.cli import run
from aninfonce.data import load_images, with_channels
from aninfonce.training import TrainConfig, export_encoder, path_text, train


@pytest.fixture(scope="module")
def grey_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(TrainConfig(backbone="small:4", projector_dim=8, epochs=1, limit=128, device="cpu", max_corrupt=0.5), folder)
    return folder


@pytest.fixture
def pictures(tmp_path):
    """Colour pictures in files, one of them damaged, one with a name that is no text."""
    rng = np.random.default_rng(0)
    for split, n in (("train", 5), ("test", 3)):
        (tmp_path / "pictures" / split / "cat").mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / split / "cat" / f"{i}.png")
    (tmp_path / "pictures" / "train" / "cat" / "2.png").write_bytes(b"not a picture")
    strange = os.fsencode(tmp_path / "pictures" / "test" / "cat") + b"/\xff.png"
    os.rename(tmp_path / "pictures" / "test" / "cat" / "0.png", strange)
    return tmp_path / "pictures"


def test_every_row_says_which_image_it_is_of(grey_run, pictures, tmp_path):
    for name in ("f.npz", "f.parquet"):
        arguments = ["embed", str(grey_run), str(tmp_path / name), "--data", f"files:{pictures}", "--convert"]
        assert run([*arguments, "--layer", "backbone"]) == 0
    encoder = aninfonce.load(grey_run)
    dataset = load_images(f"files:{pictures}", image_size=encoder.image_size)
    table = pq.read_table(tmp_path / "f.parquet")
    assert table.schema.names == ["split", "place", "path", "label", "class", "backbone"]
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        train_paths = [str(pictures / "train" / "cat" / f"{i}.png") for i in (0, 1, 3, 4)]
        assert arrays["train_paths"].tolist() == train_paths, "the damaged one has no row"
        test_paths = [str(pictures / "test" / "cat" / f"{name}.png") for name in ("1", "2", r"\udcff")]
        assert sorted(arrays["test_paths"].tolist()) == sorted(test_paths)
        assert table["path"].to_pylist() == [*arrays["train_paths"], *arrays["test_paths"]]
        for row, path in zip(arrays["train_backbone"], train_paths, strict=True):
            place = next(i for i in range(5) if str(dataset.train.images.path(i)) == path)
            (_, pixels), *_ = dataset.train.images.batches([torch.tensor([place])])
            expected = encoder(with_channels(pixels.float() / 255, 1))[0]
            np.testing.assert_allclose(row, expected.numpy(), atol=1e-5)


def test_images_in_memory_have_no_paths(grey_run, tmp_path):
    assert run(["embed", str(grey_run), str(tmp_path / "f.npz"), "--layer", "backbone"]) == 0
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        assert not [name for name in arrays.files if "paths" in name]


@pytest.mark.parametrize("kind", ["files", "folder"])
def test_the_other_kind_is_refused_and_the_remedy_named(grey_run, pictures, tmp_path, capsys, kind):
    arguments = ["embed", str(grey_run), str(tmp_path / "f.npz"), "--data", f"{kind}:{pictures}"]
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert "the encoder takes grey images" in error
    assert "pass --convert" in error
    assert run([*arguments, "--convert"]) == 0


def test_colour_becomes_what_pillow_makes_of_it():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    found = with_channels(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255, 1)
    expected = np.array(Image.fromarray(pixels).convert("L"))
    np.testing.assert_allclose(found[0, 0].numpy() * 255, expected, atol=1)
    assert with_channels(found, 1) is found
    grey = with_channels(found, 3)
    assert grey.shape == (1, 3, 12, 12)
    torch.testing.assert_close(with_channels(grey, 1), found)
    for images_, channels in ((found, 4), (found.expand(-1, 2, -1, -1), 1)):
        with pytest.raises(ValueError, match="must be 1 \\(grey\\) or 3"):
            with_channels(images_, channels)


@pytest.mark.parametrize("format", READERS)
@pytest.mark.parametrize(("own", "taken"), [(1, 3), (3, 1), (3, 3)])
def test_an_exported_file_converts_as_well(tmp_path, format, own, taken):
    encoder = encoder_of("small:4", own)
    path = tmp_path / ("encoder.onnx" if format == "onnx" else "encoder.pt2")
    export_encoder(encoder, path, format=format, channels=taken)
    for n in (1, 3):
        batch = images(n, taken)
        expected = encoder(with_channels(batch.float() / 255, own))
        torch.testing.assert_close(READERS[format](path)(batch), expected, rtol=0, atol=1e-5 * expected.abs().max())


def test_the_command_exports_for_the_other_kind(grey_run, tmp_path, capsys):
    out = str(tmp_path / "e.pt2")
    assert run(["export", str(grey_run), "--format", "torch-export", "--out", out, "--channels", "2"]) == 2
    assert "channels must be 1 (grey) or 3 (colour), got 2" in capsys.readouterr().err
    assert run(["export", str(grey_run), "--format", "torch-export", "--out", out, "--channels", "3"]) == 0
    assert torch.export.load(out).module()(images(2, 3)).shape == (2, 64)


def test_a_path_is_a_text_for_every_format():
    for name in ("a.png", "é ∞.png", os.fsdecode(b"\xff.png")):
        assert path_text(Path(name)).encode("utf-8")
