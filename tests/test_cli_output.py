"""Printing never ends a work, whatever the terminal can show and whoever reads; and no name reaches it raw."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from aninfonce._progress import Progress
from aninfonce._text import printable, without_math
from aninfonce.cli import run
from aninfonce.cli._common import show
from aninfonce.cli._output import safe_output, say
from aninfonce.report._table import add_row, new_table

HOSTILE = "a\x1b[31m\n\r\x07\x9b\u202e\u2066\u2028\udcff[/y][old]{x}%s"
HARMLESS = r"a\x1b[31m\n\r\x07\x9b\u202e\u2066\u2028\udcff[/y][old]{x}%s"


def test_names_are_shown_in_one_line_without_anything_a_terminal_obeys():
    assert printable(HOSTILE) == HARMLESS
    for text in ("Λ̂ ± τ … 猫 кот", "قطة", "می\u200cخواهم", "👩\u200d🔬"):
        assert printable(text) == text, "writing of any kind stays as it is"
    assert printable(Path("a/b\n")) == r"a/b\n"
    for number in [*range(32), *range(127, 160)]:
        assert printable(chr(number)).isascii()
    assert without_math("$x^{$") == r"\$x^{\$"


def written(monkeypatch, encoding, action):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    with safe_output():
        action()
    assert sys.stdout.errors == "strict", "as it was before"
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437", "utf-8"])
def test_every_encoding_takes_every_text(monkeypatch, encoding):
    def action():
        print("τ = 0.2, Λ̂ ±1, 猫 \udcff")
        say(HOSTILE)
        table = new_table("τ \udcff")
        table.add_column("Λ̂")
        add_row(table, HOSTILE)
        show(table)
        with Progress(HOSTILE, total=1) as progress:
            progress.say(HOSTILE)
            progress.step(1, HOSTILE)

    text = written(monkeypatch, encoding, action)
    first = {"utf-8": "τ = 0.2, Λ̂ ±1, 猫 \\udcff", "cp437": "τ = 0.2, Lambda^ ±1, \\u732b \\udcff"}
    ascii_only = "tau = 0.2, Lambda^ +-1, \\u732b \\udcff"
    others = ascii_only if encoding == "ascii" else ascii_only.replace("+-", "±")
    assert text.splitlines()[0] == first.get(encoding, others)
    assert text.count(HARMLESS) == 5, "said, cell; title, line and step of the progress"
    assert not set(text) & set("\x1b\r\x07\x9b\u202e\u2066\u2028")


def test_cells_of_tables_are_texts():
    table = new_table("title [old] [/y]", ["note [old] \x1b[31m"])
    table.add_column("x")
    add_row(table, "[red]no markup[/red] [/y]")
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    shown = console.file.getvalue()
    for text in ("title [old] [/y]", r"note [old] \x1b[31m", "[red]no markup[/red] [/y]"):
        assert text in shown


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_told_once_and_the_work_goes_on(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Full())
    with safe_output():
        print("one")
        print("two")
    error = capsys.readouterr().err
    assert error == "the output cannot be written (No space left on device); the command continues without it\n"


def test_without_any_output_it_goes_on_too(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with safe_output():
        say("one")
        with Progress("two", total=1) as progress:
            progress.step(1, "three")
        table = new_table("four")
        show(table)
    assert sys.stdout is None


def test_a_reader_that_has_gone_is_no_error(monkeypatch, capfd):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with safe_output():
            for _ in range(3):
                say("x" * 100_000)
        pipe.write("what comes later is dropped")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("arguments", [["watch", "RUN", "--once"], ["train", "--help"]])
def test_head_takes_one_line_and_nobody_complains(tmp_path, arguments):
    (tmp_path / "run").mkdir()
    arguments = [str(tmp_path / "run") if a == "RUN" else a for a in arguments]
    command = [sys.executable, "-m", "aninfonce", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_features_are_written_whether_or_not_anybody_reads(tmp_path):
    small = ["--backbone", "small:4", "--projector-dim", "8", "--projector-hidden", "16", "--device", "cpu"]
    assert run(["train", "--limit", "128", "--epochs", "1", *small, "--out", str(tmp_path / "run")]) == 0
    for closed in ("stdout", "both"):
        out = tmp_path / f"{closed}.npz"
        reading, writing = os.pipe()
        os.close(reading)
        ends = subprocess.run(
            [sys.executable, "-m", "aninfonce", "embed", str(tmp_path / "run"), str(out)],
            stdout=writing,
            stderr=writing if closed == "both" else subprocess.PIPE,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )
        os.close(writing)
        assert ends.returncode == 0
        assert not ends.stderr
        assert out.stat().st_size > 1000


def test_an_error_shows_names_escaped_and_in_one_line(capsys, tmp_path):
    assert run(["compare", f"{tmp_path}/{HOSTILE[:-2]}"]) == 2
    error = capsys.readouterr().err
    assert HARMLESS[:-2] in error
    assert error.count("\n") == 1
