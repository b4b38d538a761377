"""Whole files of every kind that the loaders read, and damage to them."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import strategies as st
from PIL import Image


@st.composite
def damaged(draw, wholes):
    """A whole file: cut, with bits flipped, bytes overwritten, a piece left out or said twice. Or bytes at random."""
    content = bytearray(draw(st.sampled_from(wholes)))
    # Headers hold most of what can go wrong: half of the damage is done there.
    place = st.integers(0, len(content) - 1) | st.integers(0, min(200, len(content) - 1))
    for _ in range(draw(st.integers(1, 4))):
        at = min(draw(place), max(0, len(content) - 1))
        match draw(st.sampled_from(["cut", "flip", "write", "drop", "repeat", "random"])):
            case "cut":
                del content[at:]
            case "flip" if content:
                content[at] ^= 1 << draw(st.integers(0, 7))
            case "write":
                patch = draw(st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff"]) | st.binary(max_size=8))
                content[at : at + len(patch)] = patch
            case "drop":
                del content[at : at + draw(st.integers(1, 64))]
            case "repeat":
                content[at:at] = content[at : at + draw(st.integers(1, 64))]
            case _:
                content = bytearray(draw(st.binary(max_size=300)))
    return bytes(content)


TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"  # to be turned by 90°


def pictures():
    """One small file of every format, of several modes."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(256, size=(24, 20, 3), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(65536, size=(24, 20), dtype=np.uint16))
    found = []
    for kind, options in {
        "JPEG": [{}, {"progressive": True}, {"exif": TURNED}],
        "PNG": [{}, {"optimize": True}],
        "GIF": [{"save_all": True, "append_images": [colour.rotate(90)]}],
        "WEBP": [{}, {"lossless": True}],
        "TIFF": [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"compression": "tiff_adobe_deflate"}],
        "PPM": [{}],
        "BMP": [{}],
    }.items():
        for option in options:
            for image in (colour, colour.convert("L"), *([deep] if kind in ("PNG", "PPM") else [])):
                content = io.BytesIO()
                image.save(content, kind, **option)
                found.append(content.getvalue())
    return found


PICTURES = pictures()


def idx(shape=(3, 4, 5)):
    return bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape) + bytes(int(np.prod(shape)))
