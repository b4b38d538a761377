"""Images from folders: layouts, sizes, and what cannot be read."""

import numpy as np
import pytest
import torch
from PIL import Image

from aninfonce.data import load_folder, load_images


def write_image(path, *, size=(20, 20), color=(200, 100, 50), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


def write_classes(root, counts):
    for name, n in counts.items():
        for i in range(n):
            write_image(root / name / f"{i}.png", color=(i, 0, 0))


def test_class_folders_are_split_by_class(tmp_path):
    write_classes(tmp_path, {"cat": 10, "dog": 20})
    dataset = load_images(f"folder:{tmp_path}")
    assert dataset.class_names == ("cat", "dog")
    assert dataset.train.images.shape == (24, 3, 32, 32)
    assert dataset.train.images.dtype == torch.uint8
    assert dataset.train.labels.bincount().tolist() == [8, 16]
    assert dataset.test.labels.bincount().tolist() == [2, 4]
    assert dataset.skipped == ()
    assert dataset.name == f"folder:{tmp_path}"


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_train_and_test_folders_are_the_splits(tmp_path, held_out):
    write_classes(tmp_path / "train", {"cat": 3, "dog": 2})
    write_classes(tmp_path / held_out, {"dog": 1})
    dataset = load_folder(tmp_path)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert dataset.test.labels.tolist() == [1]


def test_only_a_train_folder_is_split(tmp_path):
    write_classes(tmp_path / "train", {"cat": 5, "dog": 5})
    dataset = load_folder(tmp_path)
    assert dataset.class_names == ("cat", "dog")
    assert len(dataset.test) == 2


def test_images_without_classes(tmp_path):
    for i in range(5):
        write_image(tmp_path / f"{i}.jpg")
    dataset = load_folder(tmp_path)
    assert dataset.class_names == ()
    assert dataset.train.labels is None
    assert dataset.test.labels is None
    assert (len(dataset.train), len(dataset.test)) == (4, 1)


def test_images_are_resized_and_cropped_around_the_centre(tmp_path):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = (10, 20, 30)
    path = tmp_path / "wide" / "a.png"
    path.parent.mkdir()
    Image.fromarray(wide).save(path)
    write_image(tmp_path / "wide" / "b.png", size=(100, 50), color=(10, 20, 30))
    dataset = load_folder(tmp_path, image_size=10)
    for split in (dataset.train, dataset.test):
        expected = torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None].expand(1, 3, 10, 10)
        assert torch.equal(split.images, expected)


def test_gray_images_stay_gray_unless_one_has_colours(tmp_path):
    for i in range(3):
        write_image(tmp_path / "a" / f"{i}.png", color=100, mode="L")
    assert load_folder(tmp_path).channels == 1
    write_image(tmp_path / "a" / "colour.png")
    assert load_folder(tmp_path).channels == 3


def test_other_files_are_ignored(tmp_path):
    write_classes(tmp_path, {"cat": 2})
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "cat" / ".hidden.png").write_text("not an image")
    (tmp_path / "README.md").write_text("not an image")
    (tmp_path / "empty").mkdir()
    dataset = load_folder(tmp_path)
    assert dataset.class_names == ("cat",)
    assert dataset.skipped == ()


def test_unreadable_images_are_named_skipped_and_counted(tmp_path):
    write_classes(tmp_path, {"cat": 4, "dog": 4})
    bad = {
        "cat/text.jpg": b"this is not an image",
        "cat/empty.png": b"",
        "dog/cut.png": (tmp_path / "dog" / "0.png").read_bytes()[:40],
    }
    jpeg = tmp_path / "dog" / "cut.jpg"
    write_image(jpeg, size=(64, 64))
    bad["dog/cut.jpg"] = jpeg.read_bytes()[:-300]
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    dataset = load_folder(tmp_path)
    assert len(dataset.train) + len(dataset.test) == 8
    assert {path for path, _ in dataset.skipped} == {tmp_path / name for name in bad}
    assert all(reason for _, reason in dataset.skipped)


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not a folder of images: it does not exist"):
        load_images(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match="holds no image"):
        load_folder(tmp_path)
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"no readable image; the first of 1: .*a\.png"):
        load_folder(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        load_folder(tmp_path / "cat" / "a.png")
    with pytest.raises(ValueError, match="image_size"):
        load_folder(tmp_path, image_size=0)


def test_classes_in_one_of_the_folders_only_are_an_error(tmp_path):
    write_classes(tmp_path / "train", {"cat": 3})
    write_image(tmp_path / "test" / "a.png")
    with pytest.raises(ValueError, match=r"must both have class folders.*\['cat'\]"):
        load_folder(tmp_path)


def test_a_single_image_cannot_be_split(tmp_path):
    write_image(tmp_path / "cat" / "a.png")
    with pytest.raises(ValueError, match="at least 2 images"):
        load_folder(tmp_path)
