"""With a limit only the images that are trained on and scored are decoded."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from aninfonce.cli import run
from aninfonce.data import stored

FLAGS = ["--backbone", "small:2", "--projector-dim", "4", "--projector-hidden", "4", "--epochs", "1", "--device", "cpu"]


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for split, n in (("train", 60), ("test", 20)):
        for kind in ("cat", "dog"):
            (tmp_path / "pictures" / split / kind).mkdir(parents=True)
            for i in range(n // 2):
                pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pictures" / split / kind / f"{i}.png")
    return tmp_path / "pictures"


@pytest.mark.parametrize("kind", ["files", "shards"])
def test_images_on_demand_are_decoded_only_if_needed(pictures, tmp_path, monkeypatch, capsys, kind):
    place = pictures
    if kind == "shards":
        place = tmp_path / "packed"
        assert run(["shards", f"files:{pictures}", str(place), "--per-shard", "10"]) == 0
    decoded = set()
    decode = stored.decode_image

    def counting(source, size, background, name):
        decoded.add(name)
        return decode(source, size, background, name)

    monkeypatch.setattr(stored, "decode_image", counting)
    arguments = ["--data", f"{kind}:{place}", "--image-size", "16", "--batch-size", "8", "--limit", "16"]
    arguments += ["--test-images", "12", "--out", str(tmp_path / "out"), *FLAGS]
    assert run(["train", *arguments]) == 0, capsys.readouterr().err
    assert "trained on 16 of the 60 training images" in capsys.readouterr().out
    assert len({name for name in decoded if "train" in name.removeprefix(str(tmp_path))}) == 16
    assert len({name for name in decoded if "test" in name.removeprefix(str(tmp_path))}) == 12


def test_a_folder_says_that_it_decodes_all(pictures, tmp_path, capsys):
    arguments = ["--data", f"folder:{pictures}", "--batch-size", "8", "--limit", "16", "--out", str(tmp_path / "out")]
    assert run(["train", *arguments, *FLAGS]) == 0
    printed = capsys.readouterr().out
    assert "trained on 16 of the 60 training images" in printed
    assert "--data files:PATH --image-size 32 decodes only those" in printed
