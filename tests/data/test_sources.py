"""Image data sets by name, from tiny files in the real formats."""

import gzip
import hashlib
import pickle
import zipfile

import numpy as np
import pytest
import torch
import torchvision

from aninfonce.data import load_images
from aninfonce.data.idx import read_idx
from aninfonce.data.splits import held_out_split

TRAIN, TEST = 30, 10
STEMS = {
    "train-images-idx3-ubyte": (TRAIN, 28, 28),
    "train-labels-idx1-ubyte": (TRAIN,),
    "t10k-images-idx3-ubyte": (TEST, 28, 28),
    "t10k-labels-idx1-ubyte": (TEST,),
}


def idx_bytes(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(folder, *, zipped):
    """The four files of the MNIST family; returns their arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for stem, shape in STEMS.items():
        array = rng.integers(256, size=shape) if len(shape) == 3 else np.arange(shape[0]) % 10
        arrays[stem] = array.astype(np.uint8)
        content = idx_bytes(array)
        path = folder / (stem + ".gz" if zipped else stem)
        path.write_bytes(gzip.compress(content) if zipped else content)
    return arrays


def test_digits_are_enlarged_and_split_by_class():
    digits = load_images("digits")
    assert digits.train.images.shape == (1438, 1, 16, 16)
    assert digits.test.images.shape == (359, 1, 16, 16)
    assert digits.train.images.dtype == torch.uint8
    assert digits.train.images.max() == 255
    assert digits.channels == 1
    assert digits.image_size == 16
    for label in range(10):
        total = (digits.train.labels == label).sum() + (digits.test.labels == label).sum()
        assert abs((digits.test.labels == label).sum() - 0.2 * total) <= 1


def test_digits_can_have_any_size_and_another_split():
    original = load_images("digits", image_size=8)
    assert original.train.images.shape == (1438, 1, 8, 8)
    assert set(original.train.images.unique().tolist()) <= {round(v * 255 / 16) for v in range(17)}
    other = load_images("digits", image_size=8, seed=1)
    assert not torch.equal(other.train.images, original.train.images)
    again = load_images("digits", image_size=8, seed=1)
    assert torch.equal(other.train.images, again.train.images)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("name", "subfolder"),
    [
        ("fashion-mnist", "FashionMNIST/raw"),
        ("fashion-mnist", "fashion-mnist"),
        ("fashion-mnist", "."),
        ("mnist", "MNIST/raw"),
        ("mnist", "mnist"),
        ("mnist", "."),
    ],
)
def test_idx_layouts(tmp_path, name, subfolder, zipped):
    arrays = write_mnist(tmp_path / subfolder, zipped=zipped)
    dataset = load_images(name, tmp_path)
    assert dataset.train.images.shape == (TRAIN, 1, 28, 28)
    assert torch.equal(dataset.train.images[:, 0], torch.tensor(arrays["train-images-idx3-ubyte"]))
    assert torch.equal(dataset.test.images[:, 0], torch.tensor(arrays["t10k-images-idx3-ubyte"]))
    assert dataset.test.labels.tolist() == list(range(10))
    assert dataset.test.labels.dtype == torch.int64
    assert len(dataset.class_names) == 10


def test_our_reader_agrees_with_torchvision(tmp_path):
    write_mnist(tmp_path, zipped=False)
    path = tmp_path / "t10k-images-idx3-ubyte"
    assert torch.equal(read_idx(path), torchvision.datasets.mnist.read_image_file(str(path)))


def test_data_root_is_not_mistaken_for_the_other_data_set(tmp_path):
    write_mnist(tmp_path / "fashion-mnist", zipped=True)
    with pytest.raises(ValueError, match="mnist is not in"):
        load_images("mnist", tmp_path)


def test_mnist_archive_is_split(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(256, size=(100, 28, 28), dtype=np.uint8), np.arange(100, dtype=np.uint8) % 10
    np.savez_compressed(tmp_path / "mnist-10k.npz", images=images, labels=labels)
    dataset = load_images("mnist", str(tmp_path))
    assert dataset.train.images.shape == (80, 1, 28, 28)
    assert dataset.test.labels.bincount().tolist() == [2] * 10
    # Every image keeps its label.
    where = {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    assert [where[image.numpy().tobytes()] for image in dataset.test.images] == dataset.test.labels.tolist()


def test_damaged_mnist_archive_is_named(tmp_path):
    path = tmp_path / "mnist-10k.npz"
    np.savez_compressed(path, pictures=np.zeros((2, 28, 28), np.uint8))
    with pytest.raises(ValueError, match=r"mnist-10k\.npz"):
        load_images("mnist", tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"mnist-10k\.npz"):
        load_images("mnist", tmp_path)
    header = b"\x93NUMPY\x01\x00\x05\x00(((\n\n"  # numpy takes it for Python that goes on, and raises a TokenError
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header)
    with pytest.raises(ValueError, match=r"mnist-10k\.npz"):
        load_images("mnist", tmp_path)


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Batches in CIFAR-10's format (pickled dictionaries of rows of 3072 bytes) with their own checksums."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    contents = {f"data_batch_{i}": random_batch(rng) for i in range(1, 6)} | {"test_batch": random_batch(rng)}
    contents["batches.meta"] = {"label_names": [f"class {i}" for i in range(10)]}
    checksums = {}
    for name, content in contents.items():
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        checksums[name] = hashlib.md5(data).hexdigest()
    cifar10 = torchvision.datasets.CIFAR10
    files = [[name, md5] for name, md5 in checksums.items() if name.startswith("data_batch")]
    monkeypatch.setattr(cifar10, "train_list", files)
    monkeypatch.setattr(cifar10, "test_list", [["test_batch", checksums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": checksums["batches.meta"]}
    monkeypatch.setattr(cifar10, "meta", meta)
    return tmp_path, contents


def random_batch(rng):
    rows = rng.integers(256, size=(4, 3072), dtype=np.uint8)
    return {"data": rows, "labels": [int(label) for label in rng.integers(10, size=4)]}


def test_cifar10(cifar):
    root, contents = cifar
    dataset = load_images("cifar10", root)
    assert dataset.train.images.shape == (20, 3, 32, 32)
    assert dataset.test.images.shape == (4, 3, 32, 32)
    assert dataset.train.images.is_contiguous()
    assert dataset.class_names[3] == "class 3"
    assert torch.equal(dataset.test.images.flatten(1), torch.tensor(contents["test_batch"]["data"]))
    assert dataset.test.labels.tolist() == contents["test_batch"]["labels"]
    inside = load_images("cifar10", root / "cifar-10-batches-py")
    assert torch.equal(inside.train.images, dataset.train.images)


def test_damaged_cifar10_is_named(cifar):
    root, _ = cifar
    path = root / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="incomplete or damaged"):
        load_images("cifar10", root)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_missing_data_root_and_missing_files_are_named(tmp_path, name):
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        load_images(name, tmp_path / "nowhere")
    with pytest.raises(ValueError, match=f"{name} is not in .*looked for .*omit the data root"):
        load_images(name, tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_without_data_root_the_cache_is_used(tmp_path, name, monkeypatch):
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    with pytest.raises(OSError, match="could not find"):
        load_images(name, download=False)


def test_cached_mnist_is_read_by_torchvision(tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    arrays = write_mnist(tmp_path / ".cache" / "aninfonce" / "FashionMNIST" / "raw", zipped=False)
    dataset = load_images("fashion-mnist", download=False)
    assert torch.equal(dataset.train.images[:, 0], torch.tensor(arrays["train-images-idx3-ubyte"]))
    assert dataset.train.labels.dtype == torch.int64


@pytest.mark.parametrize("zipped", [False, True])
def test_truncated_idx_is_named(tmp_path, zipped):
    write_mnist(tmp_path, zipped=zipped)
    path = next(tmp_path.glob("train-images*"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.*truncated or damaged"):
        load_images("mnist", tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello world", bytes([0, 0, 13, 1, 0, 0, 0, 0]), bytes([0, 0, 8, 0])])
def test_other_files_are_not_taken_for_idx(tmp_path, content):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not an IDX file"):
        read_idx(path)


def test_idx_of_nothing_is_an_error(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(np.zeros((0, 28, 28))))
    with pytest.raises(ValueError, match="no entries"):
        read_idx(path)


def test_images_without_their_labels_are_an_error(tmp_path):
    write_mnist(tmp_path, zipped=False)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(TRAIN - 1)))
    with pytest.raises(ValueError, match=r"shapes \(30, 28, 28\) and \(29,\)"):
        load_images("mnist", tmp_path)


def test_unknown_name_and_size_are_errors():
    with pytest.raises(ValueError, match="did you mean 'fashion-mnist'"):
        load_images("fashionmnist")
    with pytest.raises(ValueError, match="image_size must be at least 1"):
        load_images("digits", image_size=0)


def test_held_out_split_keeps_classes_in_proportion():
    labels = torch.tensor([0] * 50 + [1] * 10 + [2] * 3 + [4])
    train, test = held_out_split(labels, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat([train, test]).sort().values, torch.arange(64))
    assert len(test) == round(0.2 * 64)
    counts = labels[test].bincount(minlength=5)
    assert abs(counts[0] - 10) <= 1
    assert abs(counts[1] - 2) <= 1


def test_held_out_split_of_two_and_of_one():
    train, test = held_out_split(torch.tensor([0, 0]), generator=torch.Generator().manual_seed(0))
    assert len(train) == len(test) == 1
    with pytest.raises(ValueError, match="at least 2"):
        held_out_split(torch.tensor([0]), generator=torch.Generator())
    with pytest.raises(ValueError, match="fraction"):
        held_out_split(torch.tensor([0, 0]), 1.0, generator=torch.Generator())
