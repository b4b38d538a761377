"""The README is true: its code runs, its links lead somewhere, its make targets exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_code_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    assert "tensor(" in capsys.readouterr().out


def test_links_and_pictures_are_there():
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert len(targets) > 4
    for target in targets:
        assert (ROOT / target).is_file(), target


def test_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert {"demo", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
