"""Files made to take the memory are refused, and do not get it."""

from __future__ import annotations

import gzip
import resource
import zipfile
import zlib

import pytest
import torch
from damaged_files import PICTURES, idx

from aninfonce.data import ImageFiles, load_images, read_batches
from aninfonce.data.idx import read_idx


def png(width, height):
    def chunk(name, data):
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    pixels = zlib.compress(bytes(10_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg_of(side):
    """A progressive JPEG that says it has these sides: libjpeg would keep all its coefficients."""
    content = bytearray(next(p for p in PICTURES if p[:2] == b"\xff\xd8" and b"\xff\xc2" in p))
    at = content.index(b"\xff\xc2") + 5
    content[at : at + 4] = side.to_bytes(2, "big") * 2
    return bytes(content)


def gif_of(side):
    content = bytearray(next(p for p in PICTURES if p.startswith(b"GIF")))
    content[6:10] = side.to_bytes(2, "little") * 2
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [png(60_000, 60_000), png(20_000, 9_000), jpeg_of(65_000), gif_of(65_000), b"P5 100000 100000 255\n" + bytes(99)],
    ids=["png", "smaller png", "jpeg", "gif", "pgm"],
)
def test_a_picture_of_more_pixels_than_anybody_needs_is_not_decoded(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    files = ImageFiles([tmp_path / "a.png"], 8)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"not one image.*(more than the 90,000,000|DecompressionBomb)"):
        list(read_batches(files, [torch.arange(1)], torch.device("cpu")))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 1024 * 50


@pytest.mark.parametrize("kind", ["gzip", "npz"])
def test_an_archive_that_unpacks_to_more_than_it_may_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("aninfonce.data.idx.LARGEST", 10_000)
    monkeypatch.setattr("aninfonce.data.mnist.LARGEST", 10_000)
    if kind == "gzip":
        path = tmp_path / "images.gz"
        path.write_bytes(gzip.compress(idx((10, 40, 40))))
        with pytest.raises(ValueError, match="more than 10000 bytes unpacked"):
            read_idx(path)
    else:
        with zipfile.ZipFile(tmp_path / "mnist-10k.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", bytes(20_000))
        with pytest.raises(ValueError, match="more than the 10000 that are read"):
            load_images("mnist", tmp_path)
