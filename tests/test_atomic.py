"""A file is there as a whole or not at all, until then under a secret name, and never behind a link."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from aninfonce._atomic import atomically, sweep
from aninfonce._runs import write_json
from aninfonce._tensors import write_tensors


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError, match="cannot write object"):
        write_json(path, {"a": object()})
    with pytest.raises(RuntimeError, match="broken"), atomically(path) as file:  # noqa: PT012 - what it leaves is tested
        file.write_text("half of")
        raise RuntimeError("broken")
    assert "1" in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_the_name_keeps_its_ending_and_the_place_is_the_owners(tmp_path):
    places = set()
    for _ in range(3):
        with atomically(tmp_path / "x.onnx") as file:
            assert file.name == "x.onnx"
            assert file.parent.stat().st_mode & 0o777 == 0o700
            assert str(os.getpid()) not in file.parent.name.removeprefix(".aninfonce-")
            places.add(file.parent)
            file.write_text("x")
    assert len(places) == 3


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


@pytest.mark.parametrize("target", ["precious", "nothing"])
def test_a_link_is_neither_followed_nor_replaced(tmp_path, target):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "x.json").symlink_to(tmp_path / target)
    with pytest.raises(ValueError, match="is a symbolic link"):
        write_json(tmp_path / "x.json", {})
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "x.json").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_link_that_appears_in_the_meantime(tmp_path):
    (tmp_path / "precious").write_text("precious")
    with pytest.raises(ValueError, match="is a symbolic link"), atomically(tmp_path / "x") as file:  # noqa: PT012 - what it leaves is tested
        file.write_text("new")
        (tmp_path / "x").symlink_to(tmp_path / "precious")
    assert (tmp_path / "precious").read_text() == "precious"


def test_what_a_killed_process_left_goes_with_the_next_file(tmp_path):
    """Of a process that lives, it stays."""
    script = (
        "import os, signal, sys; from pathlib import Path; from aninfonce._atomic import atomically\n"
        "with atomically(Path(sys.argv[1])) as file:\n"
        "    file.write_text('half of'); (file.parent / '.tmpAbc123').write_text('safetensors writes there')\n"
        "    print(flush=True); sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "x")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        write_json(tmp_path / "y", {})
        (half,) = (path for path in tmp_path.iterdir() if path.name != "y")
        assert (half / "x").read_text() == "half of", "its process lives"
        process.kill()
        process.wait()
    write_json(tmp_path / "y", {})
    assert [path.name for path in tmp_path.iterdir()] == ["y"]


def test_only_our_own_are_swept(tmp_path):
    for name in (".aninfonce-notours.partial", "aninfonce-0123456789abcdef.partial", ".partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("x")
    (tmp_path / ".aninfonce-0123456789abcdef.partial").symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".aninfonce-1123456789abcdef.partial").write_text("a file")
    before = sorted(tmp_path.rglob("*"))
    sweep(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
