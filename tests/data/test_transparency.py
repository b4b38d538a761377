"""Transparent pictures, in every mode and from every storage, show the background and nothing that lies hidden."""

from __future__ import annotations

import io
import struct
import zlib

import datasets
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from storages import write_tar

from aninfonce.data import background_colour, load_images, read_batches
from aninfonce.data.decode import decode_image
from aninfonce.data.reading import UnreadableImageError
from aninfonce.data.remarks import Remark, sentences

SIZE = 8
HALF = np.tile(np.array([255] * 4 + [0] * 4, np.uint8), (SIZE, 1))  # opaque on the left, transparent on the right
HIDDEN, SHOWN = (255, 0, 0), (10, 200, 30)  # red lies under the transparent half


def encoded(image, kind="PNG", **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return io.BytesIO(content.getvalue())


def colours(shown=SHOWN, hidden=HIDDEN):
    picture = np.empty((SIZE, SIZE, 3), np.uint8)
    picture[:, :4], picture[:, 4:] = shown, hidden
    return picture


def rgba():
    return Image.fromarray(np.dstack([colours(), HALF]))


def palette(kind):
    """Entry 1 is shown, entry 2 is hidden."""
    image = Image.fromarray(np.where(HALF == 255, 1, 2).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, *SHOWN, *HIDDEN])
    return encoded(image, kind[0], transparency=kind[1])


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(bits, colour_type, rows, transparent):
    """A PNG file of so many bits a sample; Pillow writes few of them."""
    header = struct.pack(">IIBBBBB", SIZE, SIZE, bits, colour_type, 0, 0, 0)
    lines = b"".join(b"\0" + row for row in rows)
    chunks = [(b"IHDR", header), (b"tRNS", transparent), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*both) for both in chunks))


def gray_png(bits, shown, hidden):
    values = np.where(HALF == 255, shown, hidden).astype(np.uint16)
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    else:
        rows = [
            np.packbits(np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, -bits:]).tobytes() for row in values
        ]
    return png(bits, 0, rows, struct.pack(">H", hidden))


def deep_colour_png():
    values = np.where(HALF[..., None] == 255, 257 * np.array(SHOWN), 257 * np.array(HIDDEN)).astype(">u2")
    return png(16, 2, [row.tobytes() for row in values], struct.pack(">HHH", *(257 * c for c in HIDDEN)))


GREY = (85, 85, 85)
TRANSPARENT = {
    "RGBA": (lambda: encoded(rgba()), SHOWN),
    "RGBA webp": (lambda: encoded(rgba(), "WEBP", lossless=True, exact=True), SHOWN),
    "RGBA tiff": (lambda: encoded(rgba(), "TIFF"), SHOWN),
    "LA": (lambda: encoded(Image.merge("LA", [Image.new("L", (SIZE, SIZE), 85), Image.fromarray(HALF)])), GREY),
    "P, one index": (lambda: palette(("PNG", 2)), SHOWN),
    "P, bytes": (lambda: palette(("PNG", bytes([255, 255, 0]))), SHOWN),
    "P of a gif": (lambda: palette(("GIF", 2)), SHOWN),
    "RGB with a colour": (lambda: encoded(Image.fromarray(colours()), transparency=HIDDEN), SHOWN),
    "L with a grey": (lambda: gray_png(8, 85, 200), GREY),
    "1 bit": (lambda: gray_png(1, 0, 1), (0, 0, 0)),
    "2 bits": (lambda: gray_png(2, 1, 3), GREY),
    "4 bits": (lambda: gray_png(4, 5, 12), GREY),
    "16 bits": (lambda: gray_png(16, 85 * 257, 40_000), GREY),
    "RGB of 16 bits": (deep_colour_png, SHOWN),
}  # fmt: skip


@pytest.mark.parametrize("background", ["white", "black", "#0080ff", "128"])
@pytest.mark.parametrize("kind", TRANSPARENT)
def test_the_background_shows_where_a_picture_is_transparent(kind, background):
    make, shown = TRANSPARENT[kind]
    colour = background_colour(background)
    pixels, gray, remarks = decode_image(make(), SIZE, colour)
    expected = torch.from_numpy(colours(shown, colour)).permute(2, 0, 1)
    assert torch.equal(pixels, expected)
    assert remarks & Remark.TRANSPARENT
    assert not remarks & Remark.INVISIBLE
    grey_kinds = ("LA", "L with a grey", "1 bit", "2 bits", "4 bits", "16 bits")
    assert gray == (kind in grey_kinds and background != "#0080ff"), "on a colour, a grey picture is not grey any more"


def test_no_hidden_colour_bleeds_into_the_picture_when_it_is_made_smaller():
    large = rgba().resize((64, 64), Image.Resampling.NEAREST)
    pixels = decode_image(encoded(large), 3, (255, 255, 255)).pixels
    left, middle, right = pixels[:, 1].T.tolist()
    assert (left, right) == (list(SHOWN), [255, 255, 255])
    assert all(min(a, b) <= m <= max(a, b) for a, m, b in zip(left, middle, right, strict=True))
    assert all(abs(2 * m - a - b) <= 2 for a, m, b in zip(left, middle, right, strict=True)), "half and half"


def test_half_transparent_pixels_are_mixed():
    image = Image.new("RGBA", (SIZE, SIZE), (*SHOWN, 51))  # a fifth
    pixels = decode_image(encoded(image), SIZE, (255, 255, 255)).pixels
    assert pixels[:, 0, 0].tolist() == [round(0.2 * c + 0.8 * 255) for c in SHOWN]


def test_premultiplied_colours_are_not_multiplied_again():
    """TIFF's associated alpha: the file holds a fifth of the colour."""
    stored = Image.fromarray(np.dstack([np.full((SIZE, SIZE, 3), 40, np.uint8), np.full((SIZE, SIZE), 51, np.uint8)]))
    tag = struct.Struct("<HHLL")  # ExtraSamples: one short number, 2 for alpha beside the colours, 1 for alpha in them
    content = encoded(stored, "TIFF").getvalue().replace(tag.pack(338, 3, 1, 2), tag.pack(338, 3, 1, 1))
    with Image.open(io.BytesIO(content)) as image:
        assert image.tag_v2[338] == (1,)
    pixels = decode_image(io.BytesIO(content), SIZE, (0, 0, 0)).pixels
    assert pixels.unique().tolist() == [40]


def test_a_drawing_in_the_alpha_channel_is_seen():
    """Black ink, everywhere, whose opacity draws the picture: without the alpha channel all is black."""
    ink = Image.fromarray(np.dstack([np.zeros((SIZE, SIZE, 3), np.uint8), HALF]))
    assert decode_image(encoded(ink), SIZE).pixels.unique().tolist() == [0, 255]


def test_an_opaque_picture_is_not_touched_and_not_counted():
    picture = np.random.default_rng(0).integers(256, size=(SIZE, SIZE, 3), dtype=np.uint8)
    opaque = np.dstack([picture, np.full((SIZE, SIZE), 255, np.uint8)])
    pixels, _, remarks = decode_image(encoded(Image.fromarray(opaque)), SIZE, (1, 2, 3))
    assert torch.equal(pixels, torch.from_numpy(picture).permute(2, 0, 1))
    assert remarks == Remark(0)


def test_an_invisible_picture_is_said():
    found = decode_image(encoded(Image.new("RGBA", (SIZE, SIZE), (*HIDDEN, 0))), SIZE)
    assert found.remarks == Remark.TRANSPARENT | Remark.INVISIBLE
    assert found.pixels.unique().tolist() == [255]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB"])
def test_every_other_mode_keeps_its_colours(mode):
    kind = {"CMYK": "TIFF", "YCbCr": "TIFF", "LAB": "TIFF"}.get(mode, "PNG")
    value = 255 if mode == "1" else 180
    image = Image.new("L", (SIZE, SIZE), value).convert("RGB")
    if mode == "LAB":
        transform = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        image = ImageCms.applyTransform(image, transform)
    else:
        image = image.convert(mode, palette=Image.Palette.ADAPTIVE)
    pixels, gray, remarks = decode_image(encoded(image, kind), SIZE)
    assert (pixels.int() - value).abs().max() <= 2
    assert gray == (mode in ("1", "L"))
    assert remarks == Remark(0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_and_said(kind):
    values = np.linspace(0, 65_535, SIZE * SIZE).astype(np.uint16).reshape(SIZE, SIZE)
    pixels, gray, remarks = decode_image(encoded(Image.fromarray(values), kind), SIZE)
    assert (pixels[0].double() - torch.from_numpy(values / 257)).abs().max() <= 0.5
    assert gray
    assert remarks == Remark.DEEP


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((4, 4), 200, np.int32), "whether they mean 8 or 16 bits is not known"),
        (np.full((4, 4), 70_000, np.int32), "expected 8 or 16 bits"),
        (np.full((4, 4), -1, np.int32), "expected 8 or 16 bits"),
        (np.full((4, 4), 0.5, np.float32), "floating-point pixels"),
    ],
)
def test_numbers_whose_range_is_not_known_are_refused(values, message):
    with pytest.raises(UnreadableImageError, match=message):
        decode_image(encoded(Image.fromarray(values), "TIFF"), SIZE)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_several_pictures_the_first_is_taken_and_this_is_said(kind):
    frames = [Image.new("RGB", (SIZE, SIZE), (value, value, value)) for value in (60, 200)]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    pixels, _, remarks = decode_image(content, SIZE)
    assert pixels.unique().tolist() == [60]
    assert remarks == Remark.SEVERAL
    alone = decode_image(encoded(frames[0], kind, **options), SIZE)
    assert alone.remarks == Remark(0)


def test_a_picture_is_turned_as_its_camera_says():
    picture = np.zeros((SIZE, SIZE, 4), np.uint8)
    picture[:4] = (*SHOWN, 255)  # above: shown; below: transparent
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90°: what is above comes to the right
    pixels = decode_image(encoded(Image.fromarray(picture), exif=exif), SIZE).pixels
    assert pixels[:, 0, 0].tolist() == [255, 255, 255]
    assert pixels[:, 0, -1].tolist() == list(SHOWN)


# --- colours by name ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        *(("white", (255, 255, 255)), ("Black", (0, 0, 0)), ("grey", (128, 128, 128)), ("tomato", (255, 99, 71))),
        *(("#fff", (255, 255, 255)), ("#0A0b0C", (10, 11, 12)), ("0", (0, 0, 0)), ("255", (255, 255, 255))),
    ],
)
def test_colours_have_names(name, colour):
    assert background_colour(name) == colour


@pytest.mark.parametrize("name", ["", "whit", "#12345", "#gggggg", "256", "-1", "1.5", "rgb(1,2,3)"])
def test_what_is_no_colour_is_refused(name):
    with pytest.raises(ValueError, match="background"):
        background_colour(name)
    with pytest.raises(ValueError, match="background"):
        load_images("digits", background=name)


# --- every storage --------------------------------------------------------------------------------------------------


def contents(i):
    return encoded(rgba() if i % 2 else Image.fromarray(colours(SHOWN, SHOWN))).getvalue()


def store(kind, root, n=10):
    if kind == "shards":
        write_tar(root / "train" / "0.tar", {f"{i}.png": contents(i) for i in range(n)})
        write_tar(root / "test" / "0.tar", {f"{i}.png": contents(i) for i in range(n)})
    elif kind.startswith("hf"):
        rows = [{"bytes": contents(i), "path": None} for i in range(n)]
        if kind == "hf, pictures":
            rows = [Image.open(io.BytesIO(contents(i))) for i in range(n)]
        elif kind == "hf, arrays":
            rows = [np.array(Image.open(io.BytesIO(contents(i)))) for i in range(n)]
        table = datasets.Dataset.from_dict({"image": rows}, features=datasets.Features({"image": datasets.Image()}))
        datasets.DatasetDict({"train": table, "test": table}).save_to_disk(root)
    else:
        names = {"imagenet": ("train/n1", "train/n2", "val/n1", "val/n2")}.get(kind, ("train", "test"))
        for name in names:
            (root / name).mkdir(parents=True)
            for i in range(n // (2 if kind == "imagenet" else 1)):
                (root / name / f"{i}.{'JPEG' if kind == 'imagenet' else 'png'}").write_bytes(contents(i))


@pytest.mark.parametrize("kind", ["folder", "files", "shards", "imagenet", "hf", "hf, pictures", "hf, arrays"])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_storage_composes_and_counts(tmp_path, kind, workers):
    store(kind, tmp_path)
    name = kind if kind == "imagenet" else f"{kind.partition(',')[0]}:{tmp_path}"
    dataset = load_images(name, tmp_path, image_size=SIZE, background="#0000ff", decode_workers=workers)
    counted = dict(dataset.remarks)
    for split in (dataset.train, dataset.test):
        for _ in range(2):  # an image counts once
            (_, images), *_ = read_batches(split.images, [torch.arange(len(split))], torch.device("cpu"))
        if not isinstance(split.images, torch.Tensor):
            for flag, number in split.images.remarks.counts().items():
                counted[flag] = counted.get(flag, 0) + number
        found = {tuple(image[:, 0, -1].tolist()) for image in images}
        assert found == {SHOWN, (0, 0, 255)}
    assert counted == {"transparent": 8 if kind == "imagenet" else 10}


def test_selections_count_for_the_whole(tmp_path):
    store("files", tmp_path)
    images = load_images(f"files:{tmp_path}", image_size=SIZE).train.images
    chosen = images[torch.tensor([1, 2, 3, 4])][torch.tensor([0, 1])]
    list(read_batches(chosen, [torch.arange(2)], torch.device("cpu")))
    assert images.remarks.flags.tolist() == [0, Remark.TRANSPARENT, *[0] * 8]


def test_the_counts_are_sentences():
    assert sentences({"transparent": 1, "several": 12}, "white") == [
        "1 image with transparent parts, which show the background white",
        "12 images with several pictures (frames or pages), of which the first was taken",
    ]
