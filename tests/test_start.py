"""How little is loaded before it is needed: modules are counted, not seconds."""

import json
import subprocess
import sys
from importlib import import_module

import pytest

from aninfonce._lazy import lazily

HEAVY = (
    *("torch", "torch._dynamo", "sklearn", "scipy", "sympy"),
    *("torchvision", "timm", "kornia", "matplotlib", "lightning_fabric", "datasets", "PIL"),
)
COMMANDS = ("train", "compare", "reproduce", "embed", "export", "watch", "shards", "verify")
ROOMS = (
    "data",
    "distributions",
    "experiments",
    "metrics",
    "models",
    "objectives",
    "report",
    "training",
    "verification",
)


def loaded_by(code):
    """Which of the heavy packages a fresh interpreter has loaded after running the code."""
    tell = f"import json, sys; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]), file=sys.__stderr__)"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{tell}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.strip().splitlines()[-1]), done.stdout + done.stderr


def loaded_by_command(arguments, code):
    """The same for a command, whose exit code is checked."""
    return loaded_by(
        "from aninfonce.cli import main\n"
        f"try:\n    main({arguments!r})\n"
        f"except SystemExit as end:\n    assert (end.code or 0) == {code}, end.code"
    )


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_help_loads_no_torch(command):
    heavy, printed = loaded_by_command([*command, "--help"], 0)
    assert heavy == []
    assert "usage: aninfonce" in printed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trian"], "trian"),
        (["train", "--epoch", "3"], "--epoch"),
        (["train", "--epochs", "three"], "three"),
        (["train", "--epochs", "0"], "epochs must be at least 1"),
        (["train", "--objective", "simclr"], "simclr"),
        (["train", "--background", "#12345"], "#12345"),
        (["train", "--augmentations", "simcrl"], "simcrl"),
        (["embed", "nowhere"], "required"),
        (["compare", "nowhere"], "no run at nowhere"),
        (["compare"], "name at least one folder"),
        (["reproduce"], "--list shows them"),
        (["watch"], "name at least one folder"),
        (["watch", "run", "--every", "0"], "positive number of seconds"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_of_usage_loads_no_torch(arguments, told):
    heavy, printed = loaded_by_command(arguments, 2)
    assert set(heavy) <= {"PIL"}, "colours of CSS are Pillow's"
    assert told in printed


def test_watch_loads_no_torch(tmp_path):
    line = {"step": 8, "epoch": 1, "loss": 2.5, "hit_at_1": 0.5, "effective_rank": 3.0, "images_per_second": 100.0}
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n")
    heavy, printed = loaded_by_command(["watch", str(tmp_path), "--once"], 0)
    assert heavy == []
    assert "loss 2.5" in printed


def test_the_package_loads_nothing_and_the_losses_little_beyond_torch():
    assert loaded_by("import aninfonce")[0] == []
    assert set(loaded_by("import aninfonce; aninfonce.__version__, dir(aninfonce)")[0]) == set()
    use = "import torch; from aninfonce import AnInfoNCE, AnisotropicSpherical, metrics; u = torch.eye(2); "
    use += "AnInfoNCE(2)(u, u).backward()"
    assert loaded_by(use)[0] == ["torch"], "a loss compiles nothing and fits nothing"


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_room_loads_at_most_torch(room):
    assert set(loaded_by(f"import aninfonce.{room}")[0]) <= {"torch"}


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_every_name_of_a_room_is_there(room):
    module = import_module(f"aninfonce.{room}".rstrip("."))
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None
    found = {}
    exec(f"from {module.__name__} import *", found)  # noqa: S102 (what a user may write)
    assert set(module.__all__) <= found.keys()
    with pytest.raises(AttributeError, match="has no attribute 'nothing_like_it'"):
        _ = module.nothing_like_it


@pytest.mark.parametrize("order", ["file first", "name first"])
def test_a_function_is_not_hidden_by_the_file_of_its_name(tmp_path, monkeypatch, order):
    package = tmp_path / f"toy_room_{order[:4]}"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from aninfonce._lazy import lazily\nlazily(__name__, {'reading': ['reading'], '_hidden': ['value']})\n"
    )
    (package / "reading.py").write_text("def reading():\n    return 'read'\nother = 1\n")
    (package / "_hidden.py").write_text("value = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    if order == "file first":
        import_module(f"{package.name}.reading")
    room = import_module(package.name)
    assert room.reading() == "read"
    import_module(f"{package.name}.reading")
    assert room.reading() == "read"
    assert room.value == 3
    assert room._hidden.value == 3, "a file is an attribute of its package, loaded or not"
    assert "value" in dir(room)


def test_a_name_from_two_files_is_an_error():
    with pytest.raises(ValueError, match=r"name comes from two files: aninfonce.one and aninfonce.two"):
        lazily("aninfonce", {"one": ["name"], "two": ["name"]})
