"""The picture of pairs shows every pair, the positive below its anchor."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from PIL import Image

from aninfonce.report.pairs import pairs_figure


def captured_sheet(monkeypatch, *arguments, **settings):
    from aninfonce.report import pairs

    figures = []
    monkeypatch.setattr(pairs, "save_figure", lambda figure, out, name: figures.append((figure, out, name)) or [])
    pairs_figure(*arguments, **settings)
    ((figure, out, name),) = figures
    return figure.axes[0], np.asarray(figure.axes[0].get_images()[0].get_array()), out, name


def test_it_writes_a_png_and_an_svg(tmp_path):
    images = torch.rand(12, 3, 32, 32, requires_grad=True)
    png, svg = pairs_figure(images, 1 - images, tmp_path / "pairs.of.sprites", columns=6)
    assert (png, svg) == (tmp_path / "pairs.of.sprites.png", tmp_path / "pairs.of.sprites.svg")
    with Image.open(png) as picture:
        assert picture.width > 700
    assert ET.parse(svg).getroot().tag.endswith("svg")


@pytest.mark.parametrize("channels", [1, 3])
def test_every_positive_is_below_its_anchor(monkeypatch, tmp_path, channels):
    images = (torch.arange(5.0) / 10)[:, None, None, None].expand(5, channels, 10, 12)
    axis, sheet, out, name = captured_sheet(monkeypatch, images, images + 0.5, tmp_path / "pairs", columns=3)
    assert (out, name) == (tmp_path, "pairs")
    assert sheet.shape == (2 * (2 * 10 + 4) - 3, 3 * 13 - 1, 3)  # a gap of one pixel
    for i in range(5):
        top, left = i // 3 * 24, i % 3 * 13
        assert np.allclose(sheet[top : top + 10, left : left + 12], i / 10)
        assert np.allclose(sheet[top + 11 : top + 21, left : left + 12], i / 10 + 0.5)
    assert (sheet[24:, 26:] == 1).all()  # no sixth pair
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["anchor", "positive"] * 2
    for place, (low, high) in zip(axis.get_yticks(), [(0, 10), (11, 21), (24, 34), (35, 45)], strict=True):
        assert place == (low + high - 1) / 2


def test_fewer_pairs_than_columns_leave_no_empty_columns(monkeypatch, tmp_path):
    _, sheet, *_ = captured_sheet(monkeypatch, np.zeros((2, 1, 8, 8)), np.zeros((2, 1, 8, 8)), tmp_path / "few")
    assert sheet.shape[1] == 17


@pytest.mark.parametrize(
    ("images", "positives", "columns", "message"),
    [
        (torch.zeros(2, 3, 8, 8), torch.zeros(3, 3, 8, 8), 10, "same shape"),
        (torch.zeros(2, 4, 8, 8), torch.zeros(2, 4, 8, 8), 10, "1 or 3 channels"),
        (torch.zeros(0, 3, 8, 8), torch.zeros(0, 3, 8, 8), 10, "n >= 1"),
        (torch.zeros(3, 8, 8), torch.zeros(3, 8, 8), 10, "images must have shape"),
        (torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 255.0), 10, r"positives must be in \[0, 1\], .* to 255"),
        (torch.full((2, 3, 8, 8), torch.nan), torch.zeros(2, 3, 8, 8), 10, r"images must be in \[0, 1\]"),
        (torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8), 0, "columns"),
    ],
)
def test_what_is_no_pair_of_images_is_refused(tmp_path, images, positives, columns, message):
    with pytest.raises(ValueError, match=message):
        pairs_figure(images, positives, tmp_path / "pairs", columns=columns)
    assert not [*tmp_path.iterdir()]
