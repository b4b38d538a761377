"""Nothing that a run did not write is ever changed, and no finished run is lost to one that fails."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from aninfonce import _folder
from aninfonce._atomic import announce, atomically
from aninfonce._folder import claimed
from aninfonce._runs import read_results, write_json, write_results

COMPARE = {"command": "compare", "runs": ["a"]}
TRAIN = {"command": "train", "epochs": 3}


def make_run(out, config=COMPARE, value=1.0, **flags):
    """A run as commands make it: results, a picture, and files in a folder below."""
    with claimed(out, config, **flags) as folder:
        folder.begin()
        for number in (1, 2):
            (out / "checkpoints").mkdir(exist_ok=True)
            write_json(out / "checkpoints" / f"step-{number}.json", {"value": value})
        folder.commit()
        write_results(out, {"metrics": {"value": value}})
        with atomically(out / "picture.png") as file:
            file.write_bytes(b"picture %f" % value)


def seen(folder: Path) -> dict[str, object]:
    """Everything below a folder: contents, links and when they were last changed; not our locks."""
    entries = {}
    for path in sorted(folder.rglob("*")):
        if path.name == ".lock":
            continue
        state = path.lstat()
        kind = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else "folder"
        changed = None if path.is_dir() and not path.is_symlink() else state.st_mtime_ns
        entries[str(path.relative_to(folder))] = (kind, changed, stat.S_IFMT(state.st_mode))
    return entries


def precious(folder: Path) -> None:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "main.py").write_text("print()")
    (folder / "thesis.tex").write_text("years of work")


def project(out):
    precious(out)
    write_json(out / "run.json", {"my": "project"})


def marker(content):
    def scene(out):
        out.mkdir()
        (out / "run.json").write_text(content)

    return scene


def marker_and_files(content):
    def scene(out):
        precious(out)
        (out / "run.json").write_text(content)

    return scene


def folder_of_runs(out):
    make_run(out / "first", TRAIN)
    make_run(out / "second", COMPARE)


def link_to(target):
    def scene(out):
        if target == "project":
            project(out.parent / "elsewhere")
        if target == "file":
            (out.parent / "elsewhere").write_text("precious")
        out.symlink_to(out.parent / "elsewhere")

    return scene


def a_file(out):
    out.write_text("precious")


def other_command(config):
    return lambda out: make_run(out, config)


def linked_marker(out):
    make_run(out.parent / "elsewhere")
    precious(out)
    (out / "run.json").symlink_to(out.parent / "elsewhere" / "run.json")


def foreign_manifest(out):
    out.mkdir()
    (out / ".manifest.jsonl").write_text('{"file": "thesis.tex"}\n')
    (out / "thesis.tex").write_text("x")


def manifest_alone(out):
    out.mkdir()
    (out / ".manifest.jsonl").write_text('{"my": "manifest"}\n')


def own_file_is_now(make):
    """A run of ours in which somebody has put something else in the place of its results."""

    def scene(out):
        make_run(out)
        (out / "results.json").unlink()
        make(out / "results.json")

    return scene


def precious_link(path):
    (path.parent.parent / "precious.json").write_text("{}")
    path.symlink_to(path.parent.parent / "precious.json")


def linked_below(out):
    make_run(out)
    (out / "checkpoints").rename(out.parent / "elsewhere")
    (out / "checkpoints").symlink_to(out.parent / "elsewhere")


def previous(content):
    """A folder under the name that we use for an old run that stands aside."""

    def scene(out):
        make_run(out)
        precious(out / ".aninfonce-previous")
        if content is not None:
            (out / ".aninfonce-previous" / "intent.json").write_text(content)

    return scene


def without_manifest(out):
    make_run(out)
    (out / ".manifest.jsonl").unlink()


def cut_marker_without_manifest(out):
    make_run(out)
    (out / ".manifest.jsonl").unlink()
    (out / "run.json").write_text("")


REFUSED = {
    "a project with a run.json of its own": project,
    "a foreign run.json alone": marker('{"my": "project"}'),
    "a list": marker("[1, 2]"),
    "null": marker("null"),
    "a number": marker("3"),
    "a config without a command": marker('{"config": {}}'),
    "a command that is a number": marker('{"config": {"command": 3}}'),
    "a config beside other keys": marker('{"config": {"command": "compare"}, "model": "gpt"}'),
    "only our name": marker('{"aninfonce": "0.1.0"}'),
    "an empty run.json among files": marker_and_files(""),
    "a damaged run.json among files": marker_and_files('{"config": {"comm'),
    "a folder of runs": folder_of_runs,
    "a link to a project": link_to("project"),
    "a link to a file": link_to("file"),
    "a link to nowhere": link_to("nothing"),
    "a file": a_file,
    "a project": precious,
    "a linked marker": linked_marker,
    "a foreign manifest": foreign_manifest,
    "a foreign manifest alone": manifest_alone,
    "a training": other_command(TRAIN),
    "an experiment": other_command({"command": "reproduce", "name": "compare"}),
    "a verification": other_command({"command": "verify"}),
    "results that are a link": own_file_is_now(precious_link),
    "results that are a folder": own_file_is_now(lambda path: precious(path)),
    "results that are a link to nowhere": own_file_is_now(lambda path: path.symlink_to("nowhere")),
    "a folder of the run that is a link": linked_below,
    "a run whose manifest is gone": without_manifest,
    "a run that has lost both": cut_marker_without_manifest,
    "a foreign folder under our hidden name": previous(None),
    "the same with a file of ours by name": previous('{"moved": ["thesis.tex"], "config": {}}'),
}


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("scene", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_ours_is_refused_and_not_touched(tmp_path, scene, overwrite):
    out = tmp_path / "out"
    scene(out)
    before, locks = seen(tmp_path), set(tmp_path.rglob(".lock"))
    with pytest.raises(ValueError, match=str(tmp_path)):
        make_run(out, value=2.0, overwrite=overwrite)
    assert seen(tmp_path) == before
    assert set(tmp_path.rglob(".lock")) == locks


def test_the_working_directory_stays(tmp_path, monkeypatch):
    make_run(tmp_path)
    (tmp_path / "thesis.tex").write_text("x")
    monkeypatch.chdir(tmp_path)
    make_run(Path(), value=2.0, overwrite=True)
    assert read_results(tmp_path)["metrics"]["value"] == 2.0
    assert (Path() / "thesis.tex").read_text() == "x", "still the working directory"


def with_notes(out):
    (out / "notes.txt").write_text("x")


def with_folders(out):
    precious(out / "mine")
    (out / "checkpoints" / "best.json").write_text("x")


def with_a_run_below(out):
    make_run(out / "below", TRAIN)
    make_run(out / "checkpoints" / "below", COMPARE)


def with_a_repository(out):
    precious(out / ".git")


def with_links(out):
    project(out.parent / "elsewhere")
    (out / "link").symlink_to(out.parent / "elsewhere")
    (out / "checkpoints" / "link").symlink_to(out.parent / "elsewhere" / "thesis.tex")


def with_a_changed_manifest(out):
    precious(out.parent / "elsewhere")
    precious(out / "mine")
    names = ["../elsewhere/thesis.tex", str(out.parent / "elsewhere" / "thesis.tex"), "", ".", "*", "mine/*", "mine/t*"]
    with (out / ".manifest.jsonl").open("a") as file:
        file.writelines(json.dumps({"file": name}) + "\n" for name in [*names, 3, None])


def with_hidden_folders(out):
    precious(out / ".aninfonce-notours.partial")
    project(out.parent / "elsewhere")
    (out / ".aninfonce-0123456789abcdef.partial").symlink_to(out.parent / "elsewhere")


BESIDE = [with_notes, with_folders, with_a_run_below, with_a_repository, with_links, with_a_changed_manifest]
BESIDE.append(with_hidden_folders)


@pytest.mark.parametrize("scene", BESIDE)
def test_what_others_have_put_into_our_run_stays(tmp_path, scene):
    """--overwrite takes the run's own files and nothing else."""
    out = tmp_path / "out"
    make_run(out)
    own = set(seen(tmp_path))
    scene(out)
    others = {path: entry for path, entry in seen(tmp_path).items() if path not in own}
    assert others
    make_run(out, value=2.0, overwrite=True)
    after = seen(tmp_path)
    assert {path: after.get(path) for path in others} == others
    assert read_results(out)["metrics"]["value"] == 2.0
    assert after.keys() == own | others.keys()


@pytest.mark.parametrize("scene", BESIDE)
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_a_run_that_fails_leaves_the_old_one_as_it_was(tmp_path, scene, error):
    out = tmp_path / "out"
    make_run(out)
    scene(out)
    before = seen(tmp_path)
    with pytest.raises(error), claimed(out, COMPARE, overwrite=True) as folder:  # noqa: PT012 - what it leaves is tested
        assert seen(tmp_path) == before, "nothing has changed yet: what is wrong may still be found"
        folder.begin()
        write_results(out, {"metrics": {"value": 2.0}})
        write_json(out / "new.json", {})
        raise error
    assert seen(tmp_path) == before


@pytest.mark.parametrize("begun", [True, False])
def test_a_run_that_fails_leaves_nothing_of_a_new_folder(tmp_path, begun):
    with pytest.raises(ValueError, match="typo"), claimed(tmp_path / "a" / "b", TRAIN) as folder:  # noqa: PT012 - what it leaves is tested
        if begun:
            folder.begin()
            (tmp_path / "a" / "b" / "checkpoints").mkdir()
            write_json(tmp_path / "a" / "b" / "checkpoints" / "step-1.json", {})
        raise ValueError("typo")
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="typo"), claimed(tmp_path / "empty", TRAIN) as folder:  # noqa: PT012 - what it leaves is tested
        folder.begin()
        raise ValueError("typo")
    assert not list((tmp_path / "empty").iterdir()), "a folder that was there stays, as empty as it was"


def test_after_the_commit_what_is_there_stays(tmp_path):
    out = tmp_path / "out"
    make_run(out)
    with pytest.raises(ValueError, match="late"), claimed(out, COMPARE, overwrite=True) as folder:  # noqa: PT012 - what it leaves is tested
        folder.begin()
        write_json(out / "new.json", {})
        folder.commit()
        raise ValueError("late")
    assert {path.name for path in out.iterdir()} == {".lock", ".manifest.jsonl", "run.json", "new.json", "checkpoints"}
    assert not list((out / "checkpoints").iterdir())


def test_a_new_run_does_not_write_over_others_files(tmp_path):
    out = tmp_path / "out"
    make_run(out)
    (out / "figure.png").write_text("mine")
    with pytest.raises(ValueError, match="was not written by this run"), claimed(out, COMPARE, overwrite=True) as run:  # noqa: PT012 - what it leaves is tested
        run.begin()
        run.commit()
        write_json(out / "figure.png", {})
    assert (out / "figure.png").read_text() == "mine"


def test_files_of_other_libraries_are_announced(tmp_path):
    """TensorBoard chooses the names of its files; they go with the run, and others' stay."""
    out = tmp_path / "out"
    with claimed(out, TRAIN) as folder:
        folder.begin()
        announce(out / "tensorboard" / "events.out.*")
        (out / "tensorboard").mkdir()
        (out / "tensorboard" / "events.out.1").write_text("x")
    (out / "tensorboard" / "mine").write_text("x")
    with claimed(out, TRAIN, overwrite=True) as folder:
        folder.begin()
    assert [path.name for path in (out / "tensorboard").iterdir()] == ["mine"]


def test_flags_and_settings(tmp_path):
    out = tmp_path / "a" / "b"
    make_run(out, TRAIN)
    with pytest.raises(ValueError, match="already holds a run; pass --overwrite or --resume"):
        make_run(out, TRAIN)
    with pytest.raises(ValueError, match=r"already holds a run; pass --overwrite$"):
        make_run(out, TRAIN, resume=None)
    with pytest.raises(ValueError, match="other settings: epochs 3, now 4"):
        make_run(out, {**TRAIN, "epochs": 4}, resume=True)
    with pytest.raises(ValueError, match="exclude each other"):
        make_run(out, TRAIN, overwrite=True, resume=True)
    make_run(out, TRAIN, value=5.0, resume=True)
    assert read_results(out)["metrics"]["value"] == 5.0
    with pytest.raises(ValueError, match="cannot write to the output folder"):
        make_run(out / "results.json" / "below", TRAIN)


@pytest.mark.parametrize("damage", ["", "{", '{"aninfonce": "0'])
def test_a_damaged_marker_costs_nothing(tmp_path, damage):
    """What `run.json` says stands in the manifest, too."""
    out = tmp_path / "out"
    make_run(out, TRAIN)
    whole = (out / "run.json").read_text()
    (out / "run.json").write_text(damage)
    with pytest.raises(ValueError, match="now 4"):
        make_run(out, {**TRAIN, "epochs": 4}, resume=True)
    make_run(out, TRAIN, value=2.0, resume=True)
    assert (out / "run.json").read_text() == whole
    (out / "run.json").unlink()
    make_run(out, TRAIN, value=3.0, overwrite=True)
    assert (out / "run.json").read_text() == whole


@pytest.mark.parametrize("damage", [None, "", '{"my": "file"}\n'])
def test_a_run_without_a_manifest_goes_on_but_is_not_replaced(tmp_path, damage):
    """A run of version 0.1, or one that has lost its manifest, does not know which files are its own."""
    out = tmp_path / "out"
    make_run(out, TRAIN)
    if damage is None:
        (out / ".manifest.jsonl").unlink()
    else:
        (out / ".manifest.jsonl").write_text(damage)
    (out / "run.json").write_text(json.dumps({"config": TRAIN}))
    make_run(out, TRAIN, value=2.0, resume=True)
    assert read_results(out)["metrics"]["value"] == 2.0
    with pytest.raises(ValueError, match="does not say which files are its own"):
        make_run(out, TRAIN, overwrite=True)


def test_a_folder_in_use_is_refused_to_other_processes(tmp_path):
    """Two processes in one folder would overwrite each other's results; a run below it has a lock of its own."""
    out = tmp_path / "run"
    make_run(out)
    script = "import sys; from pathlib import Path; from aninfonce._folder import claimed\n"
    script += "with claimed(Path(sys.argv[1]), {'command': 'compare', 'runs': ['a']}, **{sys.argv[2]: True}): pass"
    with claimed(out, COMPARE, overwrite=True):
        before = seen(out)
        for flag in ("resume", "overwrite"):
            other = [sys.executable, "-c", script, str(out), flag]
            ended = subprocess.run(other, capture_output=True, text=True, check=False)
            assert "another process is running in the output folder" in ended.stderr
        assert seen(out) == before
    other = [sys.executable, "-c", script, str(out), "resume"]
    assert subprocess.run(other, check=False).returncode == 0


@pytest.mark.parametrize("function", ["move_aside", "start"])
def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch, function):
    """A disk that is full, or was mounted anew for reading only, while a run begins."""
    out = tmp_path / "out"
    make_run(out)
    before = seen(out)
    true = getattr(_folder, function)

    def half(*arguments, **settings):
        true(*arguments, **settings)
        raise OSError(errno.EROFS, "Read-only file system", str(out))

    monkeypatch.setattr(_folder, function, half)
    with pytest.raises(ValueError, match=f"cannot write to the output folder {out}: Read-only file system"):
        make_run(out, value=2.0, overwrite=True)
    assert seen(out) == before
