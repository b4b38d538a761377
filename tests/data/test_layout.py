"""What is found in a folder and what is not: splits, classes, hidden files, links, endings."""

import os
import unicodedata

import pytest
import torch
from PIL import Image, features
from storages import encoded

from aninfonce.data import load_images, read_batches, summary_lines, summary_of
from aninfonce.data.classes import all_classes
from aninfonce.data.formats import image_endings, readable_formats
from aninfonce.data.split_names import choose_splits

KINDS = ("folder", "files")


def put(root, *names, content=None):
    """Pictures under these names, each of its own."""
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(i) if content is None else content)


def load(root, kind="files"):
    return load_images(f"{kind}:{root}", image_size=8)


def files_of(dataset):
    return sorted(split.images.path(i) for split in (dataset.train, dataset.test) for i in range(len(split)))


def ignored(dataset):
    return {reason: number for reason, number, _ in dataset.findings.ignored}


# --- hidden files and folders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "hidden",
    [
        ".ipynb_checkpoints/x-checkpoint.png",
        "__MACOSX/x.png",
        "._x.png",
        ".hidden/deep/x.png",
        "@eaDir/x.png/SYNOPHOTO_THUMB_M.png",
        "deep/.ipynb_checkpoints/x.png",
        "deep/.Trash-0/x.png",
    ],
)
def test_what_is_hidden_is_not_trained_on_wherever_it_lies(tmp_path, kind, hidden):
    put(tmp_path, "cat/1.png", "cat/deep/2.png", "dog/1.png", "dog/2.png", f"cat/{hidden}", hidden)
    dataset = load(tmp_path, kind)
    assert len(dataset.train) + len(dataset.test) == 4
    assert dataset.class_names == ("cat", "dog")
    hidden_reason = "hidden, or kept by a system or an editor for itself"
    assert ignored(dataset)[hidden_reason] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_systems_own_files_are_counted(tmp_path, kind):
    put(tmp_path, "cat/1.png", "cat/2.png", "cat/3.png")
    for name in (".DS_Store", "cat/.DS_Store", "cat/Thumbs.db", "cat/desktop.ini"):
        (tmp_path / name).write_bytes(b"x")
    assert ignored(load(tmp_path, kind)) == {"hidden, or kept by a system or an editor for itself": 4}


# --- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_to_a_folder_is_followed_as_a_class_and_in_one(tmp_path, kind):
    put(tmp_path, "elsewhere/1.png", "elsewhere/2.png", "more/1.png", "more/2.png", "data/cat/1.png")
    (tmp_path / "data" / "cat" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "more")
    dataset = load(tmp_path / "data", kind)
    assert dataset.class_names == ("cat", "dog")
    counts = dataset.train.labels.bincount() + dataset.test.labels.bincount(minlength=2)
    assert counts.tolist() == [3, 2]
    assert any("2 linked folders are followed" in note for note in dataset.findings.notes)


def test_links_in_a_circle_end_and_nothing_is_read_twice(tmp_path):
    put(tmp_path, "cat/1.png", "cat/deep/2.png", "dog/3.png", "dog/4.png")
    (tmp_path / "cat" / "deep" / "up").symlink_to(tmp_path / "cat")  # a circle
    (tmp_path / "cat" / "root").symlink_to(tmp_path)  # holds the other classes, too
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat" / "deep")
    (tmp_path / "cat" / "self").symlink_to("self")
    dataset = load(tmp_path)
    assert [path.name for path in files_of(dataset)] == ["1.png", "2.png", "3.png", "4.png"]
    assert ignored(dataset) == {"links to folders that are read already": 3, "links that lead nowhere": 1}


def test_a_class_that_links_nowhere_is_said(tmp_path):
    put(tmp_path, "cat/1.png", "cat/2.png")
    (tmp_path / "dog").symlink_to(tmp_path / "gone")
    assert ignored(load(tmp_path)) == {"links that lead nowhere": 1}


def test_a_pipe_is_not_opened(tmp_path):
    put(tmp_path, "cat/1.png", "cat/2.png")
    os.mkfifo(tmp_path / "cat" / "pipe")
    assert ignored(load(tmp_path)) == {"neither files nor folders": 1}


@pytest.mark.parametrize("way", ["file", "folder", "split"])
def test_files_both_trained_on_and_held_out_are_said(tmp_path, way):
    put(tmp_path, "train/cat/1.png", "train/cat/2.png", "train/dog/3.png")
    if way == "split":
        (tmp_path / "test").symlink_to(tmp_path / "train")
    else:
        put(tmp_path, "test/dog/4.png")
        (tmp_path / "test" / "cat").symlink_to(tmp_path / "train" / "cat") if way == "folder" else (
            (tmp_path / "test" / "dog" / "5.png").symlink_to(tmp_path / "train" / "cat" / "1.png")
        )
    notes = " ".join(load(tmp_path).findings.notes)
    expected = {"file": "1 files are trained on and held out", "folder": "2 files are trained", "split": "same folder"}
    assert expected[way] in notes


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_a_smaller_set(tmp_path, monkeypatch):
    put(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(ValueError, match="dog cannot be read: Permission denied"):
        load(tmp_path)


# --- endings --------------------------------------------------------------------------------------------------------


def test_every_ending_of_a_readable_format_is_read_in_any_case(tmp_path):
    for i, ending in enumerate(image_endings()):
        name = ending if i % 2 else ending.upper()
        (tmp_path / f"{i:03d}{name}").write_bytes(encoded(i))  # it is the content that is decoded
    dataset = load(tmp_path, "folder")
    assert len(dataset.train) + len(dataset.test) == len(image_endings())
    assert {".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".webp", ".tif", ".mpo"} <= {*image_endings()}


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow is built without AVIF")
def test_avif_is_read(tmp_path):
    for i in range(3):
        Image.new("RGB", (16, 16), (200, 100, 50)).save(tmp_path / f"{i}.AVIF", "AVIF", quality=90)
    images = load(tmp_path, "folder").train.images
    assert len(images) == 2
    assert (images.float().mean((0, 2, 3)) - torch.tensor([200.0, 100, 50])).abs().max() < 6


def test_heic_is_named_where_it_cannot_be_read(tmp_path):
    put(tmp_path, "a.png", "b.png", "c.HEIC")
    if "HEIF" in readable_formats():
        assert len(files_of(load(tmp_path))) == 3
    else:
        lines = summary_lines(load(tmp_path))
        assert any("HEIF images, which Pillow cannot read here (the package pillow-heif" in line for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_files_without_an_ending_are_known_by_their_content(tmp_path, kind):
    put(tmp_path, "cat/1", "cat/IMG_2020.12.31", "cat/3.png")
    put(tmp_path, "cat/jpeg", content=encoded(7, "JPEG"))
    put(tmp_path, "cat/README", "cat/LICENSE", content=b"These are photographs of cats.")
    put(tmp_path, "cat/empty", content=b"")
    put(tmp_path, "cat/labels.csv", "cat/notes.txt", content=b"x")
    dataset = load(tmp_path, kind)
    assert len(dataset.train) + len(dataset.test) == 4
    assert ignored(dataset) == {
        "files without an ending that do not begin as an image": 3,
        "files ending in .csv": 1,
        "files ending in .txt": 1,
    }


# --- splits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "valid"),
        ("train", "validation"),
        ("Train", "Test"),
        ("TRAIN", "VAL"),
        ("training", "testing"),
        ("train", "dev"),
        ("Training", "eval"),
        ("train", "Evaluation"),
    ],
)
def test_the_splits_are_known_by_name_in_any_case(tmp_path, kind, train, test):
    put(tmp_path, f"{train}/cat/1.png", f"{train}/dog/2.png", f"{train}/dog/3.png", f"{test}/dog/4.png")
    dataset = load(tmp_path, kind)
    assert (len(dataset.train), len(dataset.test)) == (3, 1)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.findings.splits == f"trained on is {train}, held out is {test}, by their names"
    assert summary_of(dataset)["only_in_train"] == ["cat"]


def test_the_test_images_come_before_the_validation_images_and_what_is_left_is_said(tmp_path):
    put(tmp_path, "train/cat/1.png", "train/dog/1.png", "val/cat/2.png", "test/cat/3.png", "extra/cat/4.png", "top.png")
    put(tmp_path, "README.md", content=b"x")
    dataset = load(tmp_path)
    assert sorted(path.name for path in files_of(dataset)) == ["1.png", "1.png", "3.png"]
    assert ignored(dataset) == {
        "images in val, which is not one of the splits used": 1,
        "images in extra, which is not one of the splits used": 1,
        "images beside the folders of the splits": 1,
        "files ending in .md": 1,
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("folders", "remedy"),
    [
        (["trian", "test"], "rename trian to train"),
        (["Tarin", "Val"], "rename Tarin to train"),
        (["train2017", "val"], "rename train2017 to train"),
        (["train", "tset"], "rename tset to test"),
        (["train", "vaild"], "rename vaild to test"),
        (["train", "test_images"], "rename test_images to test"),
        (["train_images", "test_images"], "rename them to train and test"),
        (["trian", "tset"], "rename them to train and test"),
        (["test", "val"], "has test, val but no train"),
        (["cat", "dog", "test"], "if all are classes, put all into a folder called train"),
        (["bus", "tank", "train"], "if all are classes, put all into a folder called train"),
        (["train", "Train", "test"], "has .*, of which only one can be used"),
        (["train", "training", "test"], "only one can be used"),
        (["train", "test", "TEST"], "only one can be used"),
    ],
)
def test_what_is_nearly_a_split_is_an_error_that_names_the_remedy(tmp_path, kind, folders, remedy):
    for folder in folders:
        put(tmp_path, f"{folder}/cat/1.png", f"{folder}/dog/2.png")
    with pytest.raises(ValueError, match=remedy):
        load(tmp_path, kind)


@pytest.mark.parametrize("names", [["cat", "dog"], ["trail", "tram"], ["best", "worst"], ["text", "cat", "train_set"]])
def test_other_names_are_classes(tmp_path, names):
    for name in names:
        put(tmp_path, f"{name}/1.png", f"{name}/2.png")
    assert load(tmp_path).class_names == tuple(sorted(names))


def test_all_classes_in_a_folder_called_train_is_the_remedy(tmp_path):
    put(tmp_path, *(f"train/{name}/{i}.png" for name in ("bus", "train", "test") for i in range(5)))
    assert load(tmp_path).class_names == ("bus", "test", "train")


@pytest.mark.parametrize("kind", KINDS)
def test_splits_inside_a_class_or_one_folder_further_down_are_an_error(tmp_path, kind):
    put(tmp_path, "bottle/train/good/1.png", "bottle/test/good/2.png", "cable/train/good/3.png")
    with pytest.raises(ValueError, match=r"bottle holds the splits train and test: name .*bottle.*as train/bottle"):
        load(tmp_path, kind)


def test_empty_folders_with_the_names_of_splits_do_not_matter(tmp_path):
    put(tmp_path, "cat/1.png", "dog/2.png")
    (tmp_path / "test").mkdir()
    assert load(tmp_path).class_names == ("cat", "dog")


def test_choosing_is_by_name_alone():
    def holding(_):
        return True

    assert choose_splits(["a", "b"], "here", holding).train is None
    chosen = choose_splits(["Val", "train", "test", "x"], "here", holding)
    assert (chosen.train, chosen.held_out, chosen.unused) == ("train", "test", ("Val", "x"))


# --- classes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", ["cat", "CAT", " Cat", "Ｃａｔ"])
def test_classes_that_are_only_written_otherwise_are_an_error_that_names_both(tmp_path, kind, other):
    put(tmp_path, "train/Cat/1.png", "train/dog/2.png", f"test/{other}/3.png", "test/dog/4.png")
    with pytest.raises(ValueError, match=rf"'Cat' and '{other}' differ only in how they are written"):
        load(tmp_path, kind)


def test_classes_that_both_splits_write_in_two_ways_are_two():
    assert all_classes([["Cat", "cat"], ["Cat", "cat"]], "here") == ("Cat", "cat")
    assert all_classes([["ice cream", "cat"], ["cat"]], "here") == ("ice cream", "cat")
    with pytest.raises(ValueError, match="'ice_cream' and 'ice-cream'"):
        all_classes([["ice_cream"], ["ice-cream"]], "here")
    with pytest.raises(ValueError, match="'Cat' and 'cat'"):
        all_classes([["Cat"], ["Cat", "cat"]], "here")


@pytest.mark.parametrize("kind", KINDS)
def test_accents_composed_or_not_are_one_class(tmp_path, kind):
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    put(tmp_path, f"train/{composed}/1.png", "train/a/2.png", f"test/{apart}/3.png", "test/a/4.png")
    dataset = load(tmp_path, kind)
    assert dataset.class_names == ("a", composed)
    assert dataset.test.labels.tolist() == [0, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_classes_are_matched_by_name_and_those_of_one_split_are_said(tmp_path, kind):
    put(tmp_path, "train/a/1.png", "train/b/2.png", "train/c/3.png", "test/b/4.png", "test/c/5.png", "test/d/6.png")
    (tmp_path / "train" / "e").mkdir()
    dataset = load(tmp_path, kind)
    assert dataset.class_names == ("a", "b", "c", "d")
    assert dataset.test.labels.tolist() == [1, 2, 3]
    found = summary_of(dataset)
    assert (found["only_in_train"], found["only_in_test"]) == (["a"], ["d"])
    assert found["classes"] == {
        "number": 4,
        "images": {"a": [1, 0], "b": [1, 1], "c": [1, 1], "d": [0, 1]},
        "left_out": 0,
    }
    assert ignored(dataset) == {"folders without an image": 1}


def test_images_of_folders_in_a_class_are_its_own_and_said(tmp_path):
    put(tmp_path, "animal/cat/1.png", "animal/dog/2.png", "plant/3.png")
    dataset = load(tmp_path)
    assert dataset.class_names == ("animal", "plant")
    assert f"folders of its own (cat, dog); if these are the classes, name {tmp_path / 'animal'}" in " ".join(
        dataset.findings.notes
    )


def test_links_that_lead_nowhere_among_images_are_unreadable_images(tmp_path):
    put(tmp_path, "cat/1.png", "cat/2.png", "cat/3.png")
    (tmp_path / "cat" / "4.png").symlink_to("gone.png")
    images = load(tmp_path).train.images
    everything = images[torch.arange(len(images))]
    for _ in read_batches(everything, [torch.arange(len(images))], torch.device("cpu")):
        pass
    assert len(files_of(load(tmp_path))) == 4
