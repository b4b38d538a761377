"""SIGKILL at every file operation of `aninfonce shards`: what is left is never taken for whole, and `--resume` makes
the bytes of the run that nobody killed, without leftovers.
"""

import json
import os
import shutil
import signal
import sys
import tarfile
import warnings
from pathlib import Path

import pytest
from storages import write_tree

from aninfonce.data import load_images, write_shards

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")


def tree(root):
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")}


def write(name, out, **options):
    list(write_shards(load_images(name), out, **options))


def killed_at(nth, work, out):
    """Whether a process that does this work, and kills itself before its nth operation in the folder, was killed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, which the child does not use
        child = os.fork()
    if child == 0:
        try:
            die_at(nth, str(out))
            work()
        except BaseException:  # noqa: BLE001 - the parent is told by the exit code
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "it failed by itself"
    return False


def die_at(nth, out):
    done = 0

    def count():
        nonlocal done
        done += 1
        if done == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event, arguments):
        paths = [os.fsdecode(a) for a in arguments if isinstance(a, str | bytes | Path)]
        if event in OPERATIONS and any(path.startswith(out) for path in paths):
            count()

    fsync, addfile = os.fsync, tarfile.TarFile.addfile

    def counted_fsync(handle):
        count()
        fsync(handle)

    def counted_addfile(tar, *arguments):
        tar.fileobj.flush()  # what was written so far is in the file
        count()
        addfile(tar, *arguments)

    os.fsync, tarfile.TarFile.addfile = counted_fsync, counted_addfile
    sys.addaudithook(hook)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_tree(root, range(10))
    (root / "cat" / "000.png").write_bytes(b"broken")
    return f"files:{root}"


def images_in(folder):
    """How many images there are; None if the folder is refused."""
    try:
        found = load_images(f"shards:{folder}", image_size=8)
    except ValueError:
        return None
    return len(found.train) + len(found.test)


def settings_of(folder):
    path = folder / "shards.json"
    return json.loads(path.read_text())["settings"] if path.is_file() else None


@pytest.mark.parametrize(
    ("before", "step"),
    [
        ("nothing", 13),
        *(
            pytest.param(before, 1, marks=pytest.mark.slow)
            for before in ("nothing", "older shards", "older incomplete shards", "resumed")
        ),
    ],
)
def test_killed_at_every_operation_it_goes_on_to_the_same_bytes(tmp_path, data, before, step):
    out, start, options = tmp_path / "out", tmp_path / "start", {"per_shard": 3, "seed": 1}
    write(data, tmp_path / "whole", **options)
    whole = tree(tmp_path / "whole")
    if before.startswith("older"):
        writer = write_shards(load_images(data), start, per_shard=2)
        for _ in zip(writer, range(2 if "incomplete" in before else 99), strict=False):
            pass
        writer.close()
        (start / "train" / "mine.txt").write_text("mine")
        whole["train/mine.txt"] = b"mine"
    elif before == "resumed":
        writer = write_shards(load_images(data), start, **options)
        next(writer)
        writer.close()
    flags = {"nothing": {}, "resumed": {"resume": True}}.get(before, {"overwrite": True})
    at = 1
    while True:
        shutil.rmtree(out, ignore_errors=True)
        if start.exists():
            shutil.copytree(start, out)
        killed = killed_at(at, lambda: write(data, out, **options, **flags), out)
        if not killed:
            break
        for part in (".", "train", "test"):
            assert images_in(out / part) in (None, images_in(tmp_path / "whole" / part)), f"killed at operation {at}"
        untouched = before.startswith("older") and settings_of(out) != settings_of(tmp_path / "whole")
        write(data, out, **options, **({"overwrite": True} if untouched else {"resume": True}))
        assert tree(out) == whole, f"killed at operation {at}"
        at += step
    assert at > 60, "there were that many operations"
    assert tree(out) == whole
