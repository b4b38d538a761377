"""Whatever bytes come: a loader loads, or says in a ValueError or in `skipped` what is wrong; it takes neither the time
nor the memory.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import resource
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from damaged_files import PICTURES, damaged, idx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from aninfonce.data import ImageFiles, load_images, read_batches
from aninfonce.data.idx import read_idx

CPU = torch.device("cpu")
# Examples of every property in the usual suite, and in the one behind the marker.
EXAMPLES = {"short": 120, "long": 4000}
SECONDS, MEGABYTES = 20, 500  # of the processor, for one file; far above what any takes

lengths = [
    pytest.param(EXAMPLES["short"], id="short"),
    pytest.param(EXAMPLES["long"], id="long", marks=pytest.mark.slow),
]


def check(law, examples, contents):
    """The law holds for so many examples, in little time and memory each."""

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(contents)
    def run(drawn):
        started, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        law(drawn)
        assert time.process_time() - started < SECONDS
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 1024 * MEGABYTES

    run()


def loaded(load, *names):
    """What it gives; None if it says in a ValueError what is wrong, and where."""
    try:
        return load()
    except ValueError as error:
        message = str(error)
    assert any(name in message for name in names), message
    return None


# --- images in folders ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("examples", lengths)
def test_pictures(tmp_path, examples):
    whole = tmp_path / "0.png"
    Image.new("RGB", (8, 8)).save(whole)
    strange = tmp_path / "1.jpg"

    def law(content):
        strange.write_bytes(content)
        files = ImageFiles([whole, strange], 8)
        ((places, images),) = read_batches(files, [torch.arange(2)], CPU)
        assert images.shape == (len(places), 3, 8, 8)
        assert places.tolist() == [0, 1][: 2 - len(files.skipped)]
        assert all(path == strange and reason for path, reason in files.skipped.items())

    check(law, 4 * examples, damaged(PICTURES))


@pytest.mark.parametrize("examples", lengths)
def test_folders(tmp_path, examples):
    names = [f"{i}{ending}" for i, ending in enumerate((".png", ".JPG", ".gif", ".webp", ".tif", ".pgm"))]

    def law(contents):
        for name, content in zip(names, contents, strict=True):
            (tmp_path / name).write_bytes(content)
        dataset = loaded(lambda: load_images(f"folder:{tmp_path}", image_size=8), str(tmp_path), "at least 2 images")
        assert dataset is None or len(dataset.train) + len(dataset.test) + len(dataset.skipped) == len(names)

    six = st.lists(damaged(PICTURES) | st.sampled_from(PICTURES), min_size=6, max_size=6)
    check(law, examples // 4, six)


# --- MNIST, CIFAR, STL-10 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("examples", lengths)
def test_idx(tmp_path, examples):
    path = tmp_path / "images"

    def law(content):
        path.write_bytes(content)
        found = loaded(lambda: read_idx(path), str(path))
        assert found is None or (found.dtype == torch.uint8 and found.numel() > 0)

    wholes = [idx(), idx((7,)), gzip.compress(idx()), gzip.compress(idx((7,)))]
    check(law, 2 * examples, damaged(wholes))


def mnist_archive():
    content = io.BytesIO()
    rng = np.random.default_rng(0)
    np.savez_compressed(
        content, images=rng.integers(256, size=(10, 28, 28), dtype=np.uint8), labels=np.arange(10, dtype=np.uint8)
    )
    return content.getvalue()


@pytest.mark.parametrize("examples", lengths)
def test_mnist_archives(tmp_path, examples):
    def law(content):
        (tmp_path / "mnist-10k.npz").write_bytes(content)
        dataset = loaded(lambda: load_images("mnist", tmp_path), "mnist-10k.npz", "at least 2 images")
        assert dataset is None or len(dataset.train) == len(dataset.train.labels) > 0

    check(law, examples, damaged([mnist_archive()]))


class Burglar:
    """What runs when somebody unpickles it."""

    def __reduce__(self):
        return os.mkdir, ("burgled",)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10"])
@pytest.mark.parametrize("examples", lengths)
def test_archives_that_are_not_the_published_ones_are_not_even_opened(tmp_path, monkeypatch, examples, name):
    """They have checksums; a pickle that fails them is never unpickled."""
    monkeypatch.chdir(tmp_path)
    folder, files = {
        "cifar10": ("cifar-10-batches-py", [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]),
        "cifar100": ("cifar-100-python", ["train", "test", "meta"]),
        "stl10": ("stl10_binary", ["train_X.bin", "train_y.bin", "unlabeled_X.bin", "test_X.bin", "test_y.bin"]),
    }[name]
    Path(folder).mkdir()

    def law(content):
        for file in files:
            (tmp_path / folder / file).write_bytes(content)
        with pytest.raises(ValueError, match="is incomplete or damaged"):
            load_images(name, tmp_path)
        assert not (tmp_path / "burgled").exists()

    wholes = [
        pickle.dumps(Burglar()),
        pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]}),
        bytes(27648),
    ]
    check(law, examples // 4, damaged(wholes) | st.sampled_from(wholes))


# --- shards ---------------------------------------------------------------------------------------------------------


def shard(kind):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=kind) as tar:
        for name, data in (
            ("0.png", PICTURES[6]),
            ("0.cls", b"1"),
            ("ä" * 120 + "/1.jpg", PICTURES[0]),
            ("2.cls", b"0"),
        ):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1.5
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


@pytest.mark.parametrize("examples", lengths)
def test_shards(tmp_path, examples):
    path = tmp_path / "train" / "0.tar"
    path.parent.mkdir()
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "0.tar").write_bytes(shard(tarfile.GNU_FORMAT))

    def law(content):
        path.write_bytes(content)
        dataset = loaded(lambda: load_images(f"shards:{tmp_path}", image_size=8), str(path), str(path.parent))
        if dataset is not None:
            images = dataset.train.images
            batches = loaded(lambda: list(read_batches(images, [torch.arange(len(images))], CPU)), str(path))
            assert len(images.skipped) == len(images) - (0 if batches is None else len(batches[0][0]))

    wholes = [shard(kind) for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    # Headers, whose checksums would refuse nearly every change, are signed anew.
    check(law, examples, damaged(wholes) | damaged(wholes).map(signed))


def signed(content: bytes) -> bytes:
    """The checksum of every block that could be a header, made right."""
    blocks = bytearray(content)
    for at in range(0, len(blocks) - 511, 512):
        header = blocks[at : at + 512]
        if header[257:262] == b"ustar":
            header[148:156] = b" " * 8
            blocks[at + 148 : at + 156] = b"%06o\0 " % sum(header)
    return bytes(blocks)
