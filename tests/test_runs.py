"""A run's folder: nothing is overwritten unasked, nothing is half written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from aninfonce._runs import read_results, write_results
from aninfonce._tensors import pack_images, read_tensors, unpack_images, write_tensors


def test_results_round_trip_with_versions(tmp_path):
    numbers = {"a/r2": 0.5, "nan": float("nan")}
    write_results(tmp_path, {"name": "x", "metrics": numbers, "list": torch.tensor([1.0, 2.0]), "path": Path("p")})
    results = read_results(tmp_path)
    assert results["metrics"] == {"a/r2": 0.5, "nan": None}
    assert results["list"] == [1.0, 2.0]
    assert torch.__version__.startswith(results["versions"]["torch"])
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no run at"), ("{", "not readable JSON"), ("[]", "must hold a JSON object"), ("{}", "has no metrics")],
)
def test_what_is_no_run_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_results(tmp_path)


def test_packed_images_come_back_to_within_half_a_grey_level():
    images = torch.rand(3, 2, 1, 4, 5)
    packed = json.loads(json.dumps(pack_images(images)))
    assert packed["shape"] == [3, 2, 1, 4, 5]
    assert np.abs(unpack_images(packed) - images.numpy()).max() <= 0.5 / 255 + 1e-6


def test_tensors_come_back_with_what_was_said_about_them(tmp_path):
    base = torch.arange(6.0)
    tensors = {"a": base.reshape(2, 3).T, "b": base}
    write_tensors(tmp_path / "x.safetensors", tensors, {"from": "here"})
    found, said = read_tensors(tmp_path / "x.safetensors")
    assert said == {"from": "here"}
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    write_tensors(tmp_path / "x.safetensors", tensors)
    assert read_tensors(tmp_path / "x.safetensors")[1] == {}
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]
