"""A machine that fails is not a damaged image: tried again, then the end, by name; whatever holds the images."""

from __future__ import annotations

import builtins
import errno
import gzip
import json
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from damaged_files import idx
from PIL import Image
from storages import encoded, table, write_tar, write_tree

from aninfonce.cli import run
from aninfonce.data import (
    HuggingFaceImages,
    ImageFiles,
    ImageReadError,
    UnreadableImageError,
    load_images,
    read_batches,
    write_shards,
)
from aninfonce.data import reading as reading_module
from aninfonce.data.decode import decode_image
from aninfonce.data.idx import read_idx
from aninfonce.data.reading import retried

CPU = torch.device("cpu")
TRANSIENT = ("EIO", "EMFILE", "ENFILE", "ESTALE", "EACCES", "EPERM", "ENOMEM", "ETIMEDOUT", "ECONNRESET", "EAGAIN")


# In a process beside this one two are enough.
CASES = [*((name, 0) for name in (*TRANSIENT, "MemoryError")), ("EIO", 1), ("MemoryError", 1)]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(reading_module, "DELAYS", (0.0, 0.0, 0.0))


class Failing:
    """`open`, which fails for files of one name: so many times, or for ever."""

    def __init__(self, name, number, times=10**9):
        self.name, self.number, self.left, self.calls = name, number, times, 0
        self.open = builtins.open

    def __call__(self, file, *arguments, **options):
        if isinstance(file, (str, os.PathLike)) and os.path.basename(file) == self.name:
            self.calls += 1
            if self.left:
                self.left -= 1
                raise MemoryError if self.number is None else OSError(self.number, os.strerror(self.number), str(file))
        return self.open(file, *arguments, **options)


@pytest.fixture
def files(tmp_path):
    write_tree(tmp_path, range(6), classes=False)
    return ImageFiles(sorted(tmp_path.iterdir()), 8)


def read_all(images):
    return next(read_batches(images, [torch.arange(len(images))], CPU))


@pytest.mark.parametrize(("name", "workers"), CASES)
def test_an_error_that_goes_by_leaves_no_trace(files, monkeypatch, name, workers):
    expected = read_all(files)[1]
    failing = Failing("003.png", getattr(errno, name, None), times=3)
    monkeypatch.setattr(builtins, "open", failing)
    files.workers = workers
    places, images = read_all(files)
    assert torch.equal(images, expected)
    assert places.tolist() == [*range(6)]
    assert files.skipped == {}
    assert workers or failing.calls == 4


@pytest.mark.parametrize(("name", "workers"), CASES)
def test_an_error_that_stays_ends_the_reading_by_name(files, monkeypatch, name, workers):
    number = getattr(errno, name, None)
    monkeypatch.setattr(builtins, "open", Failing("003.png", number))
    files.workers = workers
    with pytest.raises(ImageReadError) as caught:
        read_all(files)
    error, message = caught.value, str(caught.value)
    assert isinstance(error, OSError)
    assert error.errno == (errno.ENOMEM if number is None else number)
    assert f"cannot read {files.path(3)} after 4 attempts" in message
    assert f"({errno.errorcode[error.errno]})" in message
    assert "--resume" in message
    assert "\n" not in message
    assert files.skipped == {}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_is_gone_since_it_was_listed_ends_the_reading(files, workers):
    files.path(2).unlink()
    files.workers = workers
    with pytest.raises(ImageReadError, match=r"cannot read .*002\.png: No such file .*when the images were listed"):
        read_all(files)


def test_what_the_decoder_meets_is_told_apart_too(files):
    """By Pillow: a number of the system is the machine's; an OSError without one, and anything else, is the file's."""
    content = files.path(0).read_bytes()
    for error, expected in (
        (OSError(errno.EIO, "Input/output error"), ImageReadError),
        (MemoryError(), ImageReadError),
        (OSError("out of memory error when reading image file"), ImageReadError),
        (OSError("image file is truncated"), UnreadableImageError),
        (SyntaxError("broken PNG file"), UnreadableImageError),
        (OSError(errno.EINVAL, "Invalid argument"), UnreadableImageError),
    ):
        files.path(0).write_bytes(content)
        with mock.patch("PIL.Image.open", side_effect=error), pytest.raises(expected):
            decode_image(files.path(0), 8)


def test_the_error_survives_the_way_between_processes():
    error = ImageReadError(errno.EIO, "a.png", 4)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - as it comes from a worker
    assert (type(copied), str(copied), copied.errno) == (ImageReadError, str(error), errno.EIO)


def test_it_waits_longer_every_time(monkeypatch):
    monkeypatch.undo()
    waits = []
    monkeypatch.setattr(reading_module.time, "sleep", waits.append)

    def fails():
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(ImageReadError):
        retried(fails, "x")
    assert waits == [0.1, 0.5, 2.0]


# --- every storage --------------------------------------------------------------------------------------------------


def read_both(dataset):
    for split in (dataset.train, dataset.test):
        read_all(split.images)


@pytest.mark.parametrize("kind", ["files", "shards"])
def test_stored_images_end_the_reading_and_are_not_skipped(tmp_path, monkeypatch, kind):
    name = "0.tar" if kind == "shards" else "003.png"
    if kind == "shards":
        write_tar(tmp_path / name, {f"{i}.png": encoded(i) for i in range(6)})
    else:
        write_tree(tmp_path, range(6), classes=False)
    dataset = load_images(f"{kind}:{tmp_path}", image_size=8)
    failing = Failing(name, errno.EIO)
    monkeypatch.setattr(builtins, "open", failing)
    with pytest.raises(ImageReadError, match=rf"{name} after 4 attempts: .*\(EIO\)"):
        read_both(dataset)
    failing.left = 3
    read_both(dataset)
    assert dataset.train.images.skipped == {}


def test_a_folder_in_memory_is_not_loaded_without_the_image(tmp_path, monkeypatch):
    write_tree(tmp_path, range(6))
    failing = Failing("003.png", errno.EIO, times=3)
    monkeypatch.setattr(builtins, "open", failing)
    dataset = load_images(f"folder:{tmp_path}")
    assert (len(dataset.train) + len(dataset.test), dataset.skipped) == (6, ())
    failing.left = 4
    with pytest.raises(ImageReadError, match=r"003\.png after 4 attempts: .*\(EIO\)"):
        load_images(f"folder:{tmp_path}")


def test_shards_that_cannot_be_opened_are_not_called_damaged(tmp_path, monkeypatch):
    write_tar(tmp_path / "0.tar", {f"{i}.png": encoded(i) for i in range(6)})
    for number in (errno.EIO, errno.EMFILE, errno.EACCES):
        fails = mock.patch.object(Path, "open", side_effect=OSError(number, os.strerror(number)))
        with fails, pytest.raises(ImageReadError, match=rf"0\.tar after 4 attempts: {os.strerror(number)}"):
            load_images(f"shards:{tmp_path}")


class Flaky:
    """A table whose rows cannot be had so many times."""

    def __init__(self, table, times):
        self.table, self.left = table, times

    def __getitem__(self, row):
        if self.left:
            self.left -= 1
            raise OSError(errno.EIO, "Input/output error")
        return self.table[row]


def test_rows_of_hugging_face(tmp_path, monkeypatch):
    images = HuggingFaceImages(table(range(6), classes=False), "photo", "hf:x", 8)
    rows = images._table
    images._table = Flaky(rows, 3)
    assert len(read_all(images)[0]) == 6
    images._table = Flaky(rows, 4)
    with pytest.raises(ImageReadError, match=r"hf:x/0 after 4 attempts: .*\(EIO\)"):
        read_all(images)
    assert images.skipped == {}


def test_files_that_rows_of_hugging_face_name(tmp_path, monkeypatch):
    write_tree(tmp_path, range(6), classes=False)
    rows = table(range(6), classes=False).remove_columns("photo")
    features = table(range(1), classes=False).select_columns(["number", "photo"]).features
    paths = [{"bytes": None, "path": str(tmp_path / f"{i:03d}.png")} for i in range(6)]
    images = HuggingFaceImages(rows.add_column("photo", paths).cast(features), "photo", "hf:x", 8)
    assert len(read_all(images)[0]) == 6
    monkeypatch.setattr(builtins, "open", Failing("003.png", errno.EIO))
    with pytest.raises(ImageReadError, match=r"003\.png after 4 attempts: .*\(EIO\)"):
        read_all(images)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_training_ends_with_one_line_and_goes_on_as_if_nothing_had_been(tmp_path, monkeypatch, capsys, workers):
    """The loss of every epoch, too: no image is missing from any batch."""
    write_tree(tmp_path / "data", range(40))
    flags = f"train --data files:{tmp_path / 'data'} --image-size 16 --backbone small:4 --epochs 2 --batch-size 16"
    flags += f" --projector-dim 4 --projector-hidden 8 --device cpu --decode-workers {workers}"
    failing = Failing("007.png", errno.EIO, times=0)
    monkeypatch.setattr(builtins, "open", failing)
    assert run([*flags.split(), "--out", str(tmp_path / "unbroken")]) == 0
    before = failing.calls
    failing.left = 0 if before else 10**9  # in processes beside this one the calls are not seen: it fails at once
    if before:
        monkeypatch.setattr(builtins, "open", Once(failing, after=before // 2))
    capsys.readouterr()
    assert run([*flags.split(), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: cannot read")
    assert "007.png after 4 attempts: Input/output error (EIO)" in said
    assert said.count("\n") == 1
    failing.left = 0
    monkeypatch.setattr(builtins, "open", failing)
    assert run([*flags.split(), "--out", str(tmp_path / "out"), "--resume"]) == 0
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("unbroken", "out")]
    assert results[0]["history"][-1]["loss"] == results[1]["history"][-1]["loss"]
    assert results[0]["skipped"] == results[1]["skipped"] == []


class Once:
    """A failing `open` that begins to fail after so many calls."""

    def __init__(self, failing, after):
        self.failing, self.after = failing, failing.calls + after

    def __call__(self, *arguments, **options):
        if self.failing.calls >= self.after:
            self.failing.left = 10**9
        return self.failing(*arguments, **options)


def test_shards_are_not_written_without_an_image_that_could_not_be_read(tmp_path, monkeypatch):
    write_tree(tmp_path / "images", range(6))
    dataset = load_images(f"files:{tmp_path / 'images'}", image_size=8)
    monkeypatch.setattr(builtins, "open", Failing("003.png", errno.EIO))
    with pytest.raises(ImageReadError, match=r"003\.png"):
        list(write_shards(dataset, tmp_path / "out"))


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files(tmp_path, monkeypatch, zipped):
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(idx()) if zipped else idx())
    failing = Failing("images", errno.ESTALE, times=2)
    monkeypatch.setattr(builtins, "open", failing)
    assert read_idx(path).shape == (3, 4, 5)
    failing.left = 4
    with pytest.raises(ImageReadError, match=r"images after 4 attempts.*ESTALE"):
        read_idx(path)


# --- many pieces, few open files ------------------------------------------------------------------------------------

FEW_FILES = """
import resource, sys
from pathlib import Path
import torch
from aninfonce.data import ImageFiles, read_batches
if __name__ == "__main__":
    images = ImageFiles([Path(sys.argv[1])] * 8192, 4, workers=2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        for places, batch in read_batches(images, [torch.arange(8192)], torch.device("cpu")):
            print(len(places), batch.float().mean().item() > 0, len(images.skipped))
    except OSError as error:
        print(type(error).__name__, error)
"""


def in_a_process_of_its_own(tmp_path, limit):
    (tmp_path / "few.py").write_text(FEW_FILES)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(0))
    command = [sys.executable, str(tmp_path / "few.py"), str(path), str(limit)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_a_large_batch_needs_few_open_files(tmp_path):
    """8192 images are 256 pieces; each used to hold two open files until the batch was whole."""
    done = in_a_process_of_its_own(tmp_path, 128)
    assert done.stdout == "8192 True 0\n"


def test_too_few_open_files_are_an_error_in_one_line(tmp_path):
    done = in_a_process_of_its_own(tmp_path, 12)
    assert done.stdout.count("\n") == 1
    assert "ulimit -n" in done.stdout
    assert "--decode-workers" in done.stdout


def test_a_decoding_process_that_is_killed_is_an_error_in_one_line(files, monkeypatch):
    files.workers = 1
    monkeypatch.setattr(ImageFiles, "source", lambda self, index: os.kill(os.getpid(), 9))
    with pytest.raises(ChildProcessError, match=r"that decode images cannot go on: .*(killed|exited)") as caught:
        read_all(files)
    assert "\n" not in str(caught.value)


def test_memory_that_runs_out_in_a_decoder_ends_the_reading(tmp_path):
    """A real limit on the memory, and a picture that does not fit under it; a small one beside it does."""
    script = tmp_path / "memory.py"
    script.write_text(
        "import resource, sys, io\nfrom pathlib import Path\nfrom PIL import Image\n"
        "from aninfonce.data import reading\nfrom aninfonce.data.decode import decode_image\n"
        "reading.DELAYS = (0.0,)\nImage.init()\ndecode_image(Path(sys.argv[1]), 8)\n"
        "size = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + 60_000_000, -1))\n"
        "try:\n    decode_image(Path(sys.argv[2]), 8)\nexcept OSError as error:\n    print(error)\n"
    )
    Image.new("RGB", (8, 8)).save(tmp_path / "small.png")
    Image.fromarray(np.zeros((8000, 8000, 3), np.uint8)).save(tmp_path / "large.png", compress_level=1)
    command = [sys.executable, str(script), str(tmp_path / "small.png"), str(tmp_path / "large.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "cannot read" in done.stdout, done.stderr
    assert "(ENOMEM)" in done.stdout
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY, "only there"
