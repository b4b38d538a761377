"""A run's folder: nothing is overwritten unasked, nothing is half written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from aninfonce._runs import (
    pack_images,
    prepare_folder,
    read_results,
    read_tensors,
    unpack_images,
    write_json,
    write_results,
    write_tensors,
)


def test_a_folder_in_use_is_refused_to_other_processes(tmp_path):
    """Two processes in one folder would overwrite each other's results; the same process may come again."""
    prepare_folder(tmp_path / "run", {"a": 1})
    write_results(tmp_path / "run", {"metrics": {}})
    prepare_folder(tmp_path / "run", {"a": 1}, resume=True)
    script = "import sys; from pathlib import Path; from aninfonce._runs import prepare_folder as p; "
    for flag in ("resume", "overwrite"):
        other = [sys.executable, "-c", script + f"p(Path(sys.argv[1]), {{'a': 1}}, {flag}=True)", str(tmp_path / "run")]
        ended = subprocess.run(other, capture_output=True, text=True, check=False)
        assert "another process is running in the output folder" in ended.stderr
    assert (tmp_path / "run" / "results.json").is_file(), "refused, and nothing was deleted"


def test_a_new_folder_is_made_and_a_run_in_it_protected(tmp_path):
    out = tmp_path / "a" / "b"
    prepare_folder(out, {"steps": 3})
    (out / "kept.txt").write_text("x")
    with pytest.raises(ValueError, match="already holds a run; pass --overwrite or --resume"):
        prepare_folder(out, {"steps": 3})
    prepare_folder(out, {"steps": 3}, resume=True)
    assert (out / "kept.txt").exists()
    with pytest.raises(ValueError, match="other settings: steps 3, now 4"):
        prepare_folder(out, {"steps": 4}, resume=True)
    with pytest.raises(ValueError, match="exclude each other"):
        prepare_folder(out, {"steps": 3}, overwrite=True, resume=True)
    prepare_folder(out, {"steps": 4}, overwrite=True)
    assert not (out / "kept.txt").exists()


def test_a_folder_of_somebody_else_is_never_deleted(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for flags in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(ValueError, match="not empty and holds no aninfonce run"):
            prepare_folder(tmp_path, {}, **flags)
    assert (tmp_path / "thesis.tex").exists()


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        prepare_folder(tmp_path / "file", {})
    with pytest.raises(ValueError, match="cannot write"):
        prepare_folder(tmp_path / "file" / "below", {})


def test_results_round_trip_with_versions(tmp_path):
    numbers = {"a/r2": 0.5, "nan": float("nan")}
    write_results(tmp_path, {"name": "x", "metrics": numbers, "list": torch.tensor([1.0, 2.0]), "path": Path("p")})
    results = read_results(tmp_path)
    assert results["metrics"] == {"a/r2": 0.5, "nan": None}
    assert results["list"] == [1.0, 2.0]
    assert torch.__version__.startswith(results["versions"]["torch"])
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError, match="cannot write object"):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


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


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_are_as_readable_to_others_as_the_user_wants(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_tensors(tmp_path / "x.safetensors", {"x": torch.zeros(3)})
        write_json(tmp_path / "x.json", {"x": 1})
    finally:
        os.umask(before)
    for name in ("x.safetensors", "x.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask
