"""The README and the docs are true: their code runs, their links lead somewhere, their make targets exist."""

import re
from pathlib import Path

import pytest

from aninfonce.cli import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def code_blocks():
    for page in PAGES:
        for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)):
            yield pytest.param(code, id=f"{page.name}-{number}")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Where the commands of docs/use.md were run, as small as can be."""
    folder = tmp_path_factory.mktemp("workplace")
    flags = "--objective aninfonce --backbone small:4 --epochs 1 --limit 256 --test-images 100 --readout-images 200"
    exports = [("onnx", "backbone", "encoder.onnx"), ("torch-export", "projector", "projector.pt2")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["train", "--data", "digits", *flags.split(), "--device", "cpu", "--out", "runs/digits"]) == 0
        for kind, layer, file in exports:
            assert run(["export", "runs/digits", "--format", kind, "--layer", layer, "--out", file]) == 0
    return folder


@pytest.mark.parametrize("code", list(code_blocks()))
def test_the_code_runs(code, capsys, request, monkeypatch):
    if "runs/digits" in code or "encoder.onnx" in code:
        monkeypatch.chdir(request.getfixturevalue("workplace"))
        capsys.readouterr()
    exec(compile(code, "docs", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page):
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text())
    assert len(targets) > 4 or page.name != "README.md"
    for target in targets:
        assert (page.parent / target).is_file(), target


def test_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert {"demo", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
