"""What users import, and that the core stands without any extra."""

import subprocess
import sys

import pytest

import aninfonce
from aninfonce._extras import MissingExtraError, require


def test_public_names_are_there_and_documented():
    for name in aninfonce.__all__:
        assert getattr(aninfonce, name).__doc__, name
    for room in (aninfonce.distributions, aninfonce.metrics, aninfonce.objectives):
        for name in room.__all__:
            assert getattr(room, name).__doc__, name


def test_the_core_imports_no_extra():
    extras = [
        *("torchvision", "timm", "kornia", "tyro", "rich", "matplotlib", "lightning_fabric"),
        "datasets",
        *("jaxtyping", "beartype"),
    ]
    blocked = f"import sys; sys.modules.update(dict.fromkeys({extras!r}))"
    # jaxtyping is looked for with find_spec, which raises for a blocked module: hide it from the finders instead.
    hide = (
        "import importlib.util as u; find = u.find_spec; "
        "u.find_spec = lambda name, *a: None if name == 'jaxtyping' else find(name, *a)"
    )
    use = "import aninfonce, torch; print(aninfonce.AnInfoNCE(2)(torch.eye(2), torch.eye(2)).item())"
    code = f"{blocked}; {hide}; {use}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0


def test_a_missing_extra_is_named_and_a_broken_package_is_not_hidden(tmp_path, monkeypatch):
    with pytest.raises(MissingExtraError, match=r"needs notthere, .* pip install 'aninfonce\[vision\]'"):
        require("notthere.deep", "vision")
    (tmp_path / "brokenpackage.py").write_text("import alsonotthere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="alsonotthere"):
        require("brokenpackage", "vision")
