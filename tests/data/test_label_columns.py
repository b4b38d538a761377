"""The classes of Hugging Face's tables: which column has them, and that they are matched by name."""

import datasets
import pytest
import torch
from storages import encoded

from aninfonce.data import NO_LABEL, load_images, summary_of
from aninfonce.data.label_values import are_few, classes_of


def part(labels, kind=None, column="label", first=0, **others):
    """A table of as many pictures as labels."""
    n = len(labels)
    columns = {"image": [{"bytes": encoded(first + i), "path": None} for i in range(n)], column: labels, **others}
    table = datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())
    return table if kind is None else table.cast_column(column, kind)


def load(root, column="", **parts):
    datasets.DatasetDict(parts).save_to_disk(root)
    return load_images(f"hf:{root}{column}", image_size=8)


def by_name(split, names):
    return [None if label == NO_LABEL else names[label] for label in split.labels.tolist()]


def test_classes_are_matched_by_name_and_not_by_number(tmp_path):
    train = part([0, 1, 2, 0], datasets.ClassLabel(names=["a", "b", "c"]))
    test = part([0, 1, 1], datasets.ClassLabel(names=["b", "c"]), first=10)
    dataset = load(tmp_path, train=train, test=test)
    assert dataset.class_names == ("a", "b", "c")
    assert by_name(dataset.train, dataset.class_names) == ["a", "b", "c", "a"]
    assert by_name(dataset.test, dataset.class_names) == ["b", "c", "c"]
    assert summary_of(dataset)["only_in_train"] == ["a"]


def test_another_order_and_a_new_class_in_the_held_out_split(tmp_path):
    train = part([0, 1], datasets.ClassLabel(names=["a", "b"]))
    test = part([0, 1, 2], datasets.ClassLabel(names=["z", "b", "a"]), first=10)
    dataset = load(tmp_path, train=train, validation=test)
    assert by_name(dataset.train, dataset.class_names) == ["a", "b"]
    assert by_name(dataset.test, dataset.class_names) == ["z", "b", "a"]
    assert summary_of(dataset)["only_in_test"] == ["z"]


@pytest.mark.parametrize(
    ("train", "test", "names"),
    [
        ([3, 1, 3, 7], [7, 3], ("1", "3", "7")),
        ([10, 9, 10, 9], [9, 10], ("9", "10")),
        (["cat", "dog", "cat", "emu"], ["emu", "dog"], ("cat", "dog", "emu")),
        ([True, False, True, True], [False, True], ("False", "True")),
        (["cat", None, "", "dog"], ["dog", "cat"], ("cat", "dog")),
        ([0, -1, 1, None], [1, 0], ("0", "1")),
    ],
)
def test_numbers_and_words_are_classes(tmp_path, train, test, names):
    dataset = load(tmp_path, train=part(train), test=part(test, first=10))
    assert dataset.class_names == names
    expected = [None if value in (None, "", -1) and value is not False else str(value) for value in train]
    assert by_name(dataset.train, names) == expected
    assert by_name(dataset.test, names) == [str(value) for value in test]
    assert "the column label of" in dataset.findings.labels


def test_words_in_one_split_and_class_labels_in_the_other_are_matched(tmp_path):
    train = part([0, 1, 0], datasets.ClassLabel(names=["cat", "dog"]))
    dataset = load(tmp_path, train=train, test=part(["dog", "cat"], first=10))
    assert by_name(dataset.test, dataset.class_names) == ["dog", "cat"]


def test_numbers_in_one_split_and_names_in_the_other_are_an_error(tmp_path):
    train = part([0, 1, 0], datasets.ClassLabel(names=["cat", "dog"]))
    with pytest.raises(ValueError, match=r"no class in common.*train has cat, dog and test has 0, 1"):
        load(tmp_path, train=train, test=part([1, 0], first=10))


def test_case_alone_is_an_error_that_names_both(tmp_path):
    with pytest.raises(ValueError, match="'Cat' and 'cat' differ only"):
        load(tmp_path, train=part(["Cat", "dog", "dog"]), test=part(["cat", "dog"], first=10))


def test_too_many_values_are_no_classes_and_that_is_said(tmp_path):
    captions = [f"picture {i} of a cat" for i in range(24)]
    dataset = load(tmp_path / "a", train=part(captions))
    assert dataset.class_names == ()
    assert dataset.train.labels is None
    assert dataset.findings.labels == "none: the column label has 24 distinct values in 24 rows, which are no classes"
    with pytest.raises(ValueError, match="#label: the column label has 24 distinct values"):
        load_images(f"hf:{tmp_path / 'a'}#label")


def test_the_column_is_chosen_by_a_rule_that_is_said(tmp_path):
    labels = ["x", "y", "x", "y"]
    several = part(labels, species=["a", "a", "b", "b"], category=["u", "v", "u", "v"], weight=[0.1, 0.2, 0.3, 0.4])
    dataset = load(tmp_path / "several", train=several)
    assert dataset.class_names == ("x", "y")
    named = load_images(f"hf:{tmp_path / 'several'}#species", image_size=8)
    assert named.class_names == ("a", "b")
    assert named.findings.labels == "the column species gives the classes, as asked for"
    with pytest.raises(ValueError, match=r"no column weight of labels, numbers or words.*weight \(Value float64\)"):
        load_images(f"hf:{tmp_path / 'several'}#weight")
    typed = part([0, 1, 0], datasets.ClassLabel(names=["p", "q"]), column="sort", label=["x", "y", "x"])
    chosen = load(tmp_path / "typed", train=typed)
    assert chosen.class_names == ("p", "q")
    assert "sort gives the classes: it is the one of type ClassLabel" in chosen.findings.labels
    other = load(tmp_path / "other", train=part(labels, column="species"))
    assert other.class_names == ()
    assert "called label, labels" in other.findings.labels
    assert "#species" in other.findings.labels


def test_splits_in_any_case_and_those_that_are_left_are_said(tmp_path):
    labels = ["x", "y", "x"]
    dataset = load(tmp_path, Train=part(labels), VAL=part(labels, first=5), extra=part(labels, first=9))
    assert dataset.findings.splits == "trained on is Train, held out is VAL, by their names"
    assert [*dataset.findings.ignored] == [("splits that are not used", 1, ("extra",))]


def test_a_number_without_a_name_is_an_error(tmp_path):
    train = part([0, 1, 1], datasets.ClassLabel(names=["a", "b"]))
    table = train.data.table.set_column(train.column_names.index("label"), "label", [torch.tensor([0, 1, 5]).tolist()])
    damaged = datasets.Dataset(table, info=train.info)
    with pytest.raises(ValueError, match=r"labels from 0 to 5, but names for 0 to 1"):
        load(tmp_path, train=damaged)


def test_what_few_means():
    assert are_few(10, 10)
    assert not are_few(11, 21)
    assert are_few(11, 22)
    names, labels = classes_of(["b", 10, None, 9, "b"])
    assert names == ("9", "10", "b")
    assert labels.tolist() == [2, 1, NO_LABEL, 0, 2]
