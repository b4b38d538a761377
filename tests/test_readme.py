"""The README and the docs are true: their code runs, their links lead somewhere, their make targets exist."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from aninfonce.cli import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The package index shows the README without the rest of the repository: there only whole addresses lead anywhere.
HOME = PROJECT["urls"]["Homepage"]
PAGE, RAW = f"{HOME}/blob/main/", f"{HOME.replace('//github.com', '//raw.githubusercontent.com')}/main/"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


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
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        own = next((target.removeprefix(start) for start in (PAGE, RAW) if target.startswith(start)), None)
        assert own is not None or not target.startswith(HOME), f"{target} is neither a page nor a raw file"
        if own is not None or not target.startswith("http"):
            assert (page.parent / target if own is None else ROOT / own).is_file(), target


def test_the_readme_is_short_and_stands_alone():
    assert len(README.split()) <= 900
    pictures, links = re.findall(r"!\[[^]]*\]\(([^)]+)\)", README), re.findall(r"(?<!!)\[[^]]*\]\(([^)]+)\)", README)
    assert pictures
    assert all(picture.startswith(RAW) for picture in pictures)
    assert len(links) > 10
    assert all(link.startswith("https://") for link in links)


def test_the_projects_addresses_are_of_files_that_are_there():
    assert set(PROJECT["urls"]) >= {"Homepage", "Documentation", "Changelog", "Issues"}
    for address in PROJECT["urls"].values():
        assert address.startswith(HOME)
        place = re.fullmatch(rf"{re.escape(HOME)}/(?:blob|tree)/main/(.+)", address)
        assert place is None or (ROOT / place[1]).exists(), address


def readme_code(marker):
    """What a block of the README leaves behind and prints."""
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if marker in code]
    names = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102
    return names


def test_the_loss_at_a_glance_is_the_fast_one(capsys):
    names = readme_code("cross_entropy")
    dense, fast = (float(number) for number in capsys.readouterr().out.split())
    assert dense == pytest.approx(names["dense"].item())
    assert fast == pytest.approx(dense, rel=1e-5)


def test_the_loop_of_the_readme_finds_what_it_says():
    names = readme_code("param_groups")
    found = names["loss"].concentration.detach()
    for entry, true in zip(sorted(found.tolist()), sorted(names["Λ"].tolist()), strict=True):
        assert entry == pytest.approx(true, rel=0.15)
    z = names["z"]
    embedding = names["nn"].functional.normalize(names["encoder"](names["observe"](z))).detach()
    r2 = names["metrics"].linear_r2(z, embedding, groups=names["groups"])
    assert min(r2.values()) > 0.99


def test_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)", page.read_text())}
    named |= set(re.findall(r"^make ([a-z-]+)", README, flags=re.MULTILINE))
    assert {"demo", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_make_help_shows_every_target():
    makefile = (ROOT / "Makefile").read_text()
    (listed,) = re.findall(r"^\.PHONY: (.*)$", makefile, flags=re.MULTILINE)
    shown = subprocess.run(["make", "help"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert re.findall(r"^make ([a-z-]+) +\S", shown, flags=re.MULTILINE) == re.findall(
        r"^([a-z-]+):.* ## ", makefile, flags=re.MULTILINE
    )
    assert set(re.findall(r"^make ([a-z-]+)", shown, flags=re.MULTILINE)) == set(listed.split())


def test_every_file_that_the_maintainers_pages_name_is_there():
    places = [ROOT, ROOT / "benchmarks", ROOT / "src" / "aninfonce"]
    rooms = [room for room in (ROOT / "src" / "aninfonce").iterdir() if room.is_dir()]
    for page in ("CONTRIBUTING.md", "docs/architecture.md"):
        named = set(re.findall(r"`([a-z_/]+\.py)`", (ROOT / page).read_text()))
        assert len(named) > 10
        for name in named:
            assert any((place / name).is_file() for place in [*places, *rooms]), f"{page} names {name}"


def test_architecture_names_every_private_module_at_the_foot():
    text = (ROOT / "docs" / "architecture.md").read_text()
    for module in (ROOT / "src" / "aninfonce").glob("_[a-z]*.py"):
        assert f"`{module.stem}`" in text, module.stem


def test_the_hooks_run_what_make_lint_runs():
    """The same tools with the same arguments, so that a commit that passes the hooks passes `make lint`."""
    hooks = re.findall(r"entry: \.venv/bin/(.+)", (ROOT / ".pre-commit-config.yaml").read_text())
    makefile = (ROOT / "Makefile").read_text()
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE)[1]
    commands = [line.removesuffix(" .") for line in re.findall(r"\$\(BIN\)/(.+)", lint)]
    assert [hook.removesuffix(" --force-exclude") for hook in hooks] == commands
