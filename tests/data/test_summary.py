"""What is said of a data set before it is trained on, and kept in `results.json`."""

import json

import pytest
import torch
from storages import encoded, write_tree

from aninfonce.cli import run
from aninfonce.data import (
    NO_LABEL,
    Findings,
    Ignored,
    ImageDataset,
    load_images,
    summary_lines,
    summary_of,
)
from aninfonce.data.splits import ImageSplit


def dataset(train, test, names, findings=None):
    splits = [
        ImageSplit(torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), torch.tensor(labels))
        for labels in (train, test)
    ]
    return ImageDataset("here", *splits, tuple(names), findings=findings or Findings())


def test_the_numbers_are_those_of_the_labels():
    found = summary_of(dataset([0, 0, 1, NO_LABEL], [1, 2], ["a", "b", "c"]))
    assert found["train"] == {"images": 4, "labelled": 3}
    assert found["test"] == {"images": 2, "labelled": 2}
    assert found["classes"] == {"number": 3, "images": {"a": [2, 0], "b": [1, 1], "c": [0, 1]}, "left_out": 0}
    assert (found["only_in_train"], found["only_in_test"]) == (["a"], ["c"])
    lines = summary_lines(dataset([0, 0, 1, NO_LABEL], [1, 2], ["a", "b", "c"]))
    assert lines == [
        "classes (training + test images): a 2 + 0, b 1 + 1, c 0 + 1",
        "without a label: 1 of 4 images to train",
        "classes that only train has: a",
        "classes that only test has: c",
    ]


def test_long_lists_are_cut_with_their_number():
    names = [f"class {i}" for i in range(1500)]
    many = dataset(list(range(1500)), [0], names)
    found = summary_of(many)
    assert found["classes"]["number"] == 1500
    assert len(found["classes"]["images"]) == 1000
    assert found["classes"]["left_out"] == 500
    lines = summary_lines(many)
    assert lines[0].endswith("class 9 1 + 0, … 1500 in all")
    assert max(map(len, lines)) < 400


def test_what_was_ignored_is_counted_with_the_first_few():
    ignored = Ignored()
    for i in range(7):
        ignored.add("files ending in .txt", f"{i}.txt")
    other = Ignored()
    other.add("files ending in .txt", "7.txt")
    other.add("hidden", ".x")
    ignored.update(other)
    findings = Findings("by name", "by folder", ignored, tuple(f"note {i}" for i in range(12)))
    found = summary_of(dataset([0], [0], ["a"], findings))
    assert found["ignored"] == [
        {"reason": "files ending in .txt", "number": 8, "examples": [f"{i}.txt" for i in range(5)]},
        {"reason": "hidden", "number": 1, "examples": [".x"]},
    ]
    assert len(found["notes"]) == 12
    lines = summary_lines(dataset([0], [0], ["a"], findings))
    assert lines[:2] == ["splits: by name", "labels: by folder"]
    assert "ignored: files ending in .txt: 8 (0.txt, 1.txt, 2.txt, … 8 in all)" in lines
    assert lines[-1] == "2 more notes are in results.json"


def test_names_cannot_write_to_the_terminal():
    line = summary_lines(dataset([0], [0], ["a\x1b[31m\nb\udcff"]))[0]
    assert line.isprintable()
    assert r"a\x1b[31m\nb\udcff" in line


def test_classes_that_may_be_one_or_have_nothing_in_common_are_noted():
    assert summary_of(dataset([0, 1], [0, 1], ["Cat", "cat"]))["notes"] == [
        "the classes 'Cat' and 'cat' differ only in how they are written"
    ]
    (note,) = summary_of(dataset([0, 0], [1], ["a", "b"]))["notes"]
    assert "no class in common" in note


@pytest.mark.parametrize("name", ["digits"])
def test_published_sets_say_how_they_were_read(name):
    assert summary_of(load_images(name))["splits"]
    assert summary_of(load_images(name, image_size=8))["labels"], "also in another size"


def test_imagenet_says_what_it_passes_over(tmp_path):
    write_tree(tmp_path / "train", range(12))
    write_tree(tmp_path / "val", range(12, 18))
    (tmp_path / "train" / "cat" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "train" / "cat" / ".ipynb_checkpoints" / "x.png").write_bytes(encoded(0))
    (tmp_path / "train" / "dog" / "a.txt").write_text("x")
    (tmp_path / "val" / "yak").mkdir()
    found = load_images("imagenet", tmp_path, image_size=8)
    assert len(found.train) == 12
    assert {reason: number for reason, number, _ in found.findings.ignored} == {
        "folders of val that train does not have": 1,
        "hidden, or kept by a system or an editor for itself": 1,
        "files ending in .txt": 1,
    }
    assert load_images("imagenet:2", tmp_path, image_size=8).findings.notes == (
        "the first 2 of 3 classes are used, as asked for",
    )


@pytest.mark.parametrize("kind", ["folder", "files", "shards"])
def test_a_training_says_it_and_keeps_it(tmp_path, capsys, kind):
    write_tree(tmp_path / "data" / "Train", range(24))
    write_tree(tmp_path / "data" / "valid", range(24, 36))
    for i in range(3):
        (tmp_path / "data" / "Train" / "emu" / f"{i + 2:03d}.png").unlink(missing_ok=True)
    (tmp_path / "data" / "valid" / "cat" / "notes.txt").write_text("x")
    source = f"{kind}:{tmp_path / 'data'}"
    if kind == "shards":
        source = f"shards:{tmp_path / 'shards'}"
        assert run(["shards", f"files:{tmp_path / 'data'}", str(tmp_path / "shards")]) == 0
        assert "ignored: files ending in .txt: 1 (" in capsys.readouterr().out
    settings = ["--backbone", "small:4", "--projector-dim", "4", "--projector-hidden", "8", "--epochs", "1"]
    flags = ["--image-size", "16", "--batch-size", "8", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert run(["train", "--data", source, *settings, *flags]) == 0
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "run" / "results.json").read_text())["data"]
    assert found["train"] == {"images": 23, "labelled": 23}
    assert found["test"] == {"images": 12, "labelled": 12}
    assert found["classes"]["images"] == {"cat": [8, 4], "dog": [8, 4], "emu": [7, 4]}
    assert "classes (training + test images): cat 8 + 4, dog 8 + 4, emu 7 + 4" in said
    if kind != "shards":
        assert "splits: trained on is Train, held out is valid, by their names" in said
        assert found["ignored"][0]["reason"] == "files ending in .txt"
        assert "ignored: files ending in .txt: 1 (" in said
