"""What is seen of the images while a run reads them is said and counted, in one process and in two."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import TINY

import aninfonce
from aninfonce.cli import run
from aninfonce.training import train

CONFIG = dataclasses.replace(TINY, limit=None, batch_size=16, epochs=1, image_size=8, backbone="small:2")


def write_pictures(root, n=40):
    """Every fourth is transparent on its right half, with red hidden there; one file is no image."""
    for i in range(n):
        picture = np.full((8, 8, 4), 255, np.uint8)
        picture[:, :, :3] = 6 * i % 200
        if i % 4 == 0:
            picture[:, 4:] = (255, 0, 0, 0)
        root.mkdir(exist_ok=True)
        Image.fromarray(picture).save(root / f"{i:02d}.png")
    (root / "no.png").write_bytes(b"broken")


@pytest.mark.parametrize("kind", ["folder", "files"])
def test_a_run_says_what_it_composed_and_what_it_skipped(tmp_path, kind):
    write_pictures(tmp_path / "data")
    (tmp_path / "out").mkdir()
    config = dataclasses.replace(CONFIG, data=f"{kind}:{tmp_path / 'data'}", background="#00ff00", max_corrupt=0.1)
    said, loaded = [], []
    result = train(config, tmp_path / "out", on_data=loaded.append, on_warning=said.append)
    said = [line for line in said if "not measured" not in line]  # of pictures without classes
    saved = json.loads((tmp_path / "out" / "results.json").read_text())
    assert result.remarks == saved["remarks"] == {"transparent": 10}
    assert [line["reason"] for line in saved["skipped"]] == [result.skipped[0][1]]
    assert saved["config"]["background"] == "#00ff00"
    if kind == "folder":
        assert loaded[0].remarks == {"transparent": 10}, "known at loading, where the command line says it"
        assert said == []
    else:
        assert said[-1].startswith(("10 images with transparent parts, which show the background #00ff00", "1 image"))
        assert any(line.startswith("1 image(s) skipped as unreadable") and "no.png" in line for line in said)
        assert len(said) <= 3, "not after every epoch"


def test_the_command_line_says_it_and_embed_uses_the_same_background(tmp_path, capsys):
    write_pictures(tmp_path / "data")
    flags = f"train --data folder:{tmp_path / 'data'} --image-size 8 --backbone small:2 --epochs 1 --batch-size 16"
    flags += (
        f" --projector-dim 4 --projector-hidden 8 --device cpu --max-corrupt .1 --background 0 --out {tmp_path / 'o'}"
    )
    assert run(flags.split()) == 0
    assert "10 images with transparent parts, which show the background 0" in capsys.readouterr().out
    assert run(["embed", str(tmp_path / "o"), str(tmp_path / "f.npz"), "--layer", "backbone"]) == 0
    assert "10 images with transparent parts, which show the background 0" in capsys.readouterr().out
    encoder = aninfonce.load(tmp_path / "o")
    black = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)  # the first picture: black, and the background is black, too
    with np.load(tmp_path / "f.npz") as found:
        features = np.concatenate([found["train_backbone"], found["test_backbone"]])
    assert np.abs(features - encoder(black).numpy()).max(1).min() < 1e-5


def test_an_encoder_takes_no_alpha_channel_and_no_other_scale(tmp_path):
    (tmp_path / "out").mkdir()
    train(dataclasses.replace(TINY, epochs=1, limit=64), tmp_path / "out")
    encoder = aninfonce.load(tmp_path / "out")
    with pytest.raises(ValueError, match=r"\(batch, 1, height, width\), got \(2, 4, 16, 16\): compose the alpha"):
        encoder(torch.zeros(2, 4, 16, 16))
    with pytest.raises(TypeError, match="must be uint8, or floating point in"):
        encoder(torch.full((2, 1, 16, 16), 65_535))
    with pytest.raises(ValueError, match="got values from 0 to 255"):
        encoder(torch.tensor([0.0, 255.0]).repeat(1, 1, 16, 8))
    with pytest.raises(ValueError, match="got values from nan to nan"):
        encoder(torch.full((2, 1, 16, 16), torch.nan))
