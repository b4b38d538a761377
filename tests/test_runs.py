"""A run's folder: nothing is overwritten unasked, nothing is half written."""

import json
from pathlib import Path

import pytest
import torch

from aninfonce._runs import prepare_folder, read_results, write_json, write_results


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
