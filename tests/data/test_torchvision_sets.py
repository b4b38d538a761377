"""CIFAR-100 and STL-10 from tiny files in the real formats, with their own checksums."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
import torchvision

from aninfonce.data import NO_LABEL, load_images

NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")


@pytest.fixture
def cifar100(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    rng = np.random.default_rng(0)
    contents = {"meta": {"fine_label_names": [f"fine {i}" for i in range(100)], "coarse_label_names": []}}
    for name, n in (("train", 12), ("test", 5)):
        fine = [int(label) for label in rng.integers(100, size=n)]
        rows = rng.integers(256, size=(n, 3072), dtype=np.uint8)
        contents[name] = {"data": rows, "fine_labels": fine, "coarse_labels": [label // 5 for label in fine]}
    sums = {}
    for name, content in contents.items():
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        sums[name] = hashlib.md5(data).hexdigest()
    class_ = torchvision.datasets.CIFAR100
    monkeypatch.setattr(class_, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(class_, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(class_, "meta", {"filename": "meta", "key": "fine_label_names", "md5": sums["meta"]})
    return tmp_path, contents


@pytest.mark.parametrize("subfolder", [".", "cifar-100-python"])
def test_cifar100_has_its_fine_classes(cifar100, subfolder):
    root, contents = cifar100
    dataset = load_images("cifar100", root / subfolder)
    for split, name in ((dataset.train, "train"), (dataset.test, "test")):
        assert torch.equal(split.images.flatten(1), torch.tensor(contents[name]["data"]))
        assert split.labels.tolist() == contents[name]["fine_labels"]
    assert dataset.class_names == tuple(f"fine {i}" for i in range(100))


STL_COUNTS = {"train": 6, "unlabeled": 9, "test": 4}


@pytest.fixture
def stl10(tmp_path, monkeypatch):
    """Columns first, as the real files are; labels from 1."""
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    rng = np.random.default_rng(0)
    contents, sums = {}, {}
    for name, n in STL_COUNTS.items():
        images = rng.integers(256, size=(n, 3, 96, 96), dtype=np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        contents[name] = (images, labels)
        files = {f"{name}_X.bin": images.transpose(0, 1, 3, 2).tobytes()}
        if name != "unlabeled":
            files[f"{name}_y.bin"] = (labels + 1).tobytes()
        for file, data in files.items():
            (folder / file).write_bytes(data)
            sums[file] = hashlib.md5(data).hexdigest()
    (folder / "class_names.txt").write_text("\n".join(NAMES) + "\n")
    class_ = torchvision.datasets.STL10
    for which in ("train_list", "test_list"):
        monkeypatch.setattr(class_, which, [[name, sums[name]] for name, _ in getattr(class_, which)])
    return tmp_path, contents


@pytest.mark.parametrize("subfolder", [".", "stl10_binary"])
def test_stl10_trains_on_labelled_and_unlabelled_images(stl10, subfolder):
    root, contents = stl10
    dataset = load_images("stl10", root / subfolder)
    images = np.concatenate([contents["train"][0], contents["unlabeled"][0]])
    assert torch.equal(dataset.train.images, torch.from_numpy(images))
    assert dataset.train.images.is_contiguous()
    assert dataset.train.labels.tolist() == [*contents["train"][1].tolist(), *[NO_LABEL] * 9]
    assert torch.equal(dataset.test.images, torch.from_numpy(contents["test"][0]))
    assert dataset.test.labels.tolist() == contents["test"][1].tolist()
    assert dataset.class_names == NAMES
    assert load_images("stl10", root, image_size=24).train.images.shape == (15, 3, 24, 24)


@pytest.mark.parametrize("change", ["cut", "no names", "binary names"])
def test_damaged_stl10_is_named(stl10, change):
    root, _ = stl10
    folder = root / "stl10_binary"
    if change == "cut":
        (folder / "unlabeled_X.bin").write_bytes((folder / "unlabeled_X.bin").read_bytes()[:-5])
    elif change == "no names":
        (folder / "class_names.txt").unlink()
    else:
        (folder / "class_names.txt").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(ValueError, match=r"STL10.*damaged"):
        load_images("stl10", root)


@pytest.mark.parametrize("name", ["cifar100", "stl10"])
def test_missing_files_are_named_and_the_cache_is_used_without_a_root(tmp_path, name, monkeypatch):
    with pytest.raises(ValueError, match=f"{name} is not in .*looked for .*omit the data root"):
        load_images(name, tmp_path)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    with pytest.raises(OSError, match="could not find"):
        load_images(name, download=False)


def test_images_are_resized_alike_however_many_there_are(stl10, monkeypatch):
    root, _ = stl10
    whole = load_images("stl10", root, image_size=20)
    monkeypatch.setattr("aninfonce.data.sources._RESIZED_AT_A_TIME", 4)
    assert torch.equal(load_images("stl10", root, image_size=20).train.images, whole.train.images)
