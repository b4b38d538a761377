"""Processes whose data or settings differ: each ends with one line that says which rank differs, and how."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from aninfonce.data import ImageFiles
from aninfonce.training import Processes
from aninfonce.training.agreement import agree, images_digest

# Case -> what every process says.
SETTINGS = {
    "fewer": "number of training images: rank 1 has 700, rank 0 has 1438",
    "one fewer": "number of training images: rank 1 has 1437, rank 0 has 1438",
    "one bit": "digest of the training images: rank 1 has",
    "seed": "seed: rank 1 has 1, rank 0 has 0",
    "rate": "rate: rank 1 has 0.002, rank 0 has 0.001",
    "batch size": "batch_size: rank 1 has 66, rank 0 has 64",
    "digits or a folder": "names of the classes: rank 1 has",
}
# Storage and name of a case: what is renamed in the data of rank 1, and what every process says.
DISKS = {
    "files:renamed": ("cat/01.png", "cat/99.png", "digest of the training images: rank 1 has"),
    "files:relabelled": ("cat/01.png", "dog/01.png", "digest of the labels of the training images: rank 1 has"),
    "folder:fewer": ("cat/01.png", None, "number of training images: rank 1 has 31, rank 0 has 32"),
    "files:more-classes": ("cat/01.png", "emu/01.png", "names of the classes: rank 1 has ('cat', 'dog', 'emu')"),
}
SAME = ("same", "own settings", "files:same")
NAMES = [f"{'cat' if i % 2 else 'dog'}/{i:02d}.png" for i in range(40)]


def write_pictures(root, names):
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(i).integers(256, size=(8, 8, 3), dtype=np.uint8)
        Image.fromarray(picture).save(path)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Case -> what each of the two processes said at its end; they must end by themselves."""
    folder = tmp_path_factory.mktemp("two")
    write_pictures(folder / "data-0", NAMES)
    write_pictures(folder / "missing" / "data-0", NAMES)
    for case in (*DISKS, "files:same"):
        for rank in range(2):
            write_pictures(folder / case.partition(":")[2] / f"data-{rank}", NAMES)
    for case, (old, new, _) in DISKS.items():
        root = folder / case.partition(":")[2] / "data-1"
        if new is None:
            (root / old).unlink()
        else:
            (root / new).parent.mkdir(exist_ok=True)
            (root / old).rename(root / new)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    worker = str(Path(__file__).with_name("differing_worker.py"))
    cases = [*SETTINGS, *DISKS, "folder:missing", *SAME]
    options = {"env": {**os.environ, "OMP_NUM_THREADS": "1"}, "stderr": subprocess.PIPE, "text": True}
    started = [
        subprocess.Popen([sys.executable, worker, str(rank), str(port), str(folder), *cases], **options)
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=240)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], errors
    each = [json.loads((folder / f"said-{rank}.json").read_text()) for rank in range(2)]
    return {case: [found[case] for found in each] for case in cases}


@pytest.mark.parametrize("case", [*SETTINGS, *DISKS])
def test_every_process_ends_and_says_who_differs(said, case):
    first, second = said[case]
    assert first == second
    assert first.startswith("ValueError: the processes of this run differ in their data or settings")
    assert (SETTINGS[case] if case in SETTINGS else DISKS[case][2]) in first
    assert "\n" not in first


def test_data_that_one_process_does_not_have_end_both(said):
    first, second = said["folder:missing"]
    assert first.startswith("ElsewhereError: another process has failed")
    assert second.startswith("ValueError")
    assert "data-1" in second


@pytest.mark.parametrize("case", SAME)
def test_what_may_differ_may(said, case):
    """Where the data lie, and what does not change the training."""
    assert said[case] == ["done", "done"]


def several(*said):
    processes = mock.create_autospec(Processes, instance=True)
    processes.gather.return_value = list(said)
    return processes


def test_it_is_the_odd_one_that_is_named():
    with pytest.raises(ValueError, match=r"n: rank 0 has 2, rank 1 has 3$"):
        agree(several({"n": "2"}, {"n": "3"}, {"n": "3"}), {"n": "2"})
    with pytest.raises(ValueError, match=r"n: rank 1 \(and 1 more processes\) has 3, rank 0 has 2$"):
        agree(several({"n": "2"}, {"n": "3"}, {"n": "4"}, {"n": "2"}), {"n": "2"})
    agree(several({"n": "2"}, {"n": "2"}), {"n": "2"})


def test_the_digest_of_stored_images_is_that_of_names_and_contents(tmp_path):
    names = [f"a/{i}.png" for i in range(5)]
    write_pictures(tmp_path / "here", names)
    shutil.copytree(tmp_path / "here", tmp_path / "there" / "deeper")

    def digest(root):
        return images_digest(ImageFiles([root / name for name in names], 8))

    assert digest(tmp_path / "here") == digest(tmp_path / "there" / "deeper"), "wherever they lie"
    reordered = images_digest(ImageFiles([tmp_path / "here" / name for name in reversed(names)], 8))
    assert reordered != digest(tmp_path / "here")
    (tmp_path / "here" / "a" / "2.png").write_bytes(b"another content")
    assert digest(tmp_path / "here") != digest(tmp_path / "there" / "deeper")


def test_the_digest_of_images_in_memory_is_that_of_every_bit():
    images = torch.randint(0, 256, (50, 3, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    changed = images.clone()
    changed[17, 2, 3, 3] ^= 1
    assert images_digest(images) == images_digest(images.clone()) != images_digest(changed)
    assert images_digest(images) == images_digest(images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2))
