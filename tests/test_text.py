"""Texts from outside as names of files."""

import pytest

from aninfonce._text import file_name

LONG = ["a" * 400, "é" * 400, "🐈" * 100, "e\u0301" * 200, "\udcff" * 300, "/" * 300, "\u0301" * 300]


@pytest.mark.parametrize("text", LONG)
@pytest.mark.parametrize("most", [255, 143, 64])
def test_a_long_name_fits_ends_as_it_must_and_is_whole_letters(text, most):
    name = file_name(text, "-seed-0", most=most)
    raw = name.encode("utf-8", "surrogateescape")
    assert len(raw) <= most
    assert name.endswith("-seed-0")
    assert raw.decode("utf-8", "surrogateescape") == name
    assert "/" not in name
    assert name == file_name(text, "-seed-0", most=most)


def test_different_texts_stay_different_and_short_ones_as_they_are():
    assert file_name("x" * 300) != file_name("x" * 301)
    assert file_name("imagenet:100", "-seed-1") == "imagenet-100-seed-1"
    assert file_name("x" * 248, "-seed-0") == "x" * 248 + "-seed-0", "255 bytes are not too many"
    assert file_name(r"folder:C:\images") == "folder-C--images"


def test_no_accent_is_left_without_its_letter():
    assert not file_name("e\u0301" * 200)[:-9].endswith("e")
