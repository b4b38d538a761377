"""What the parser says: versions, choices, defaults, and what a mistyped command or flag was meant to be."""

import re
import subprocess
import sys
from importlib.metadata import version
from typing import get_args, get_origin, get_type_hints

import pytest

import aninfonce
from aninfonce.cli import COMMANDS, run
from aninfonce.cli._flags import flags_of
from aninfonce.cli._suggestions import COMMANDS_ELSEWHERE, FLAGS_ELSEWHERE
from aninfonce.training import TrainConfig


def help_of(command, capsys):
    with pytest.raises(SystemExit) as leaving:
        run([*command, "--help"])
    assert leaving.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["train", "--version"]], ids=" ".join)
def test_the_version_is_that_of_the_metadata(arguments, capsys):
    assert run(arguments) == 0
    assert capsys.readouterr().out == f"aninfonce {version('aninfonce')}\n"
    assert aninfonce.__version__ == version("aninfonce")


def refused(arguments, capsys):
    """The one line that says what is wrong."""
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("trian", "train"), ("reprodce", "reproduce"), ("embedd", "embed"), ("fit", "train"), ("monitor", "watch")],
)
def test_a_mistyped_command_is_answered_with_the_nearest(typed, meant, capsys):
    error = refused([typed, "--epochs", "3"], capsys)
    assert f"unknown command {typed!r}; did you mean {meant!r}?" in error


def test_a_command_like_no_other_lists_all(capsys):
    error = refused(["xyzzy"], capsys)
    assert "did you mean" not in error
    assert all(name in error for name in COMMANDS)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("train --lr 0.1", "--rate"),
        ("train --lr=0.1", "--rate"),
        ("train -lr 0.1", "--rate"),
        ("train --learning_rate 0.1", "--rate"),
        ("train --epoch 3", "--epochs"),
        ("train --bs 64", "--batch-size"),
        ("train --wd 0", "--weight-decay"),
        ("train --arch resnet18", "--backbone"),
        ("train --num-workers 4", "--decode-workers"),
        ("train --dataset digits", "--data"),
        ("train --trainable-temprature", "--trainable-temperature"),
        ("train --no-sync-bn", "--sync-batch-norm"),
        ("reproduce content-style --num-workers 4", "--workers"),
        ("reproduce content-style --iterations 4", "--steps"),
        ("watch runs/a --interval 3", "--every"),
        ("export run --to onnx", "--format"),
        ("embed run out.npz --force", "--overwrite"),
        ("shards files:x y --pershard 3", "--per-shard"),
    ],
)
def test_a_flag_of_another_tool_or_a_mistyped_one_is_answered(typed, meant, capsys):
    error = refused(typed.split(), capsys)
    assert f"did you mean {meant}?" in error
    assert f"of 'aninfonce {typed.split()[0]}'" in error


def test_a_flag_of_another_command_says_whose_it_is(capsys):
    assert "it is one of aninfonce reproduce" in refused(["train", "--steps", "3"], capsys)
    assert "aninfonce verify --help shows all" in refused(["verify", "--xyzzy"], capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_flags_that_are_known_are_the_parsers(command, capsys):
    shown = set(re.findall(r"^. --([a-z][a-z-]*)", help_of([command], capsys), re.MULTILINE))
    assert shown == set(flags_of(COMMANDS[command]))


def test_the_tables_of_synonyms_lead_to_what_there_is():
    flags = {flag for command in COMMANDS.values() for flag in flags_of(command)}
    for other, ours in FLAGS_ELSEWHERE.items():
        assert set(ours) <= flags, other
        assert ours
    assert set(COMMANDS_ELSEWHERE.values()) <= COMMANDS.keys()
    assert not COMMANDS_ELSEWHERE.keys() & COMMANDS.keys()


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_has_no_default_that_is_none_or_empty(command, capsys):
    text = re.sub(r"[\s│]+", " ", help_of(command, capsys))
    assert "(default: None)" not in text
    assert "{None}" not in text
    assert "(default: )" not in text
    assert "(default: 40)" in text or command != ["train"]


def test_none_can_still_be_given(capsys):
    assert "epochs must be at least 1" in refused(["train", "--limit", "None", "--epochs", "0"], capsys)


CHOICES = [
    ("train", name, (get_args(hint)[0] if get_origin(hint) is tuple else hint).__metadata__[0].names)
    for name, hint in get_type_hints(TrainConfig, include_extras=True).items()
    if "OneOf" in str(hint)
] + [
    ("embed", "layer", ("both", "backbone", "projector")),
    ("export", "format", ("onnx", "torch-export")),
    ("export", "layer", ("backbone", "projector")),
    ("reproduce", "device", ("cpu", "cuda")),
]
REQUIRED = {"train": [], "embed": ["run", "out.npz"], "export": ["run"], "reproduce": ["content-style"]}


@pytest.mark.parametrize(("command", "name", "choices"), CHOICES, ids=lambda x: x if isinstance(x, str) else "")
def test_choices_are_shown_and_another_one_is_answered_with_the_nearest(command, name, choices, capsys):
    flag = f"--{name.replace('_', '-')}"
    assert f"{flag} {{{','.join(choices)}}}" in help_of([command], capsys).replace(f"{flag} [{{", f"{flag} {{")
    error = refused([command, *REQUIRED[command], flag, f"{choices[0]}x"], capsys)
    assert f"did you mean '{choices[0]}'" in error


def test_there_are_choices_to_show():
    names = {name for _, name, _ in CHOICES}
    assert names >= {"precision", "optimizer", "strategy", "negatives_from", "rate_rule", "loggers", "device", "layer"}


def test_settings_from_python_are_refused_with_the_nearest_name():
    for name, wrong in (("precision", "16-mix"), ("optimizer", "adam"), ("loggers", ("wandbb",)), ("device", "cuba")):
        with pytest.raises(ValueError, match="did you mean"):
            TrainConfig(**{name: wrong})
        with pytest.raises(TypeError, match=name):
            TrainConfig(**{name: 3})


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_commands_flags_and_choices(shell):
    arguments = [sys.executable, "-m", "aninfonce", "--tyro-print-completion", shell]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    for word in ("reproduce", "rate-rule", "bf16-mixed"):
        assert word in done.stdout, word
