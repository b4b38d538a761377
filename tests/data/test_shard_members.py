"""What is in tar files of all kinds of writers: nothing is lost, and what is passed over is said."""

import io
import tarfile

import pytest
import torch
from PIL import Image
from storages import encoded, write_tar, write_tree

from aninfonce.cli import run
from aninfonce.data import NO_LABEL, load_images, read_batches, summary_lines
from aninfonce.data.formats import readable_formats


def load(root):
    return load_images(f"shards:{root}", image_size=8)


def labels(dataset):
    """Name of every image's member -> name of its class."""
    found = {}
    for split in (dataset.train, dataset.test):
        for i in range(len(split)):
            path = split.images.path(i)
            inside = str(path.relative_to(next(p for p in path.parents if p.suffix == ".tar")))
            label = NO_LABEL if split.labels is None else int(split.labels[i])
            found[inside] = None if label == NO_LABEL else dataset.class_names[label]
    return found


def contents(dataset):
    return sorted(s.images.source(i).getvalue() for s in (dataset.train, dataset.test) for i in range(len(s)))


def ignored(dataset):
    return {reason: number for reason, number, _ in dataset.findings.ignored}


def tar_bytes(members, kind=tarfile.GNU_FORMAT):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=kind) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


# --- several archives in a file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 512, 10240, 3 << 20])
def test_tar_files_one_behind_the_other_are_read_to_the_last(tmp_path, padding):
    parts = [
        {f"{i}.png": encoded(10 * n + i) for i in range(3)} | {f"{i}.cls": b"%d" % n for i in range(3)}
        for n in range(3)
    ]
    whole = b"".join(tar_bytes(part) + bytes(padding) for part in parts)
    (tmp_path / "0.tar").write_bytes(whole)
    dataset = load(tmp_path)
    assert contents(dataset) == sorted(encoded(10 * n + i) for n in range(3) for i in range(3))
    of = {encoded(10 * n + i): str(n) for n in range(3) for i in range(3)}  # equal names, each with its own label
    for split in (dataset.train, dataset.test):
        for i in range(len(split)):
            assert dataset.class_names[split.labels[i]] == of[split.images.source(i).getvalue()]


def test_a_label_belongs_to_its_own_archive(tmp_path):
    first, second = (
        {"0.png": encoded(0), "1.png": encoded(1)},
        {"0.png": encoded(2), "0.cls": b"1", "2.png": encoded(3)},
    )
    (tmp_path / "0.tar").write_bytes(tar_bytes(first) + tar_bytes(second))
    dataset = load(tmp_path)
    known = [
        split.images.source(i).getvalue()
        for split in (dataset.train, dataset.test)
        for i in range(len(split))
        if split.labels[i] != NO_LABEL
    ]
    assert known == [encoded(2)]


@pytest.mark.parametrize("second", [True, False])
def test_damage_is_refused_wherever_it_is(tmp_path, second):
    whole = tar_bytes({f"{i}.png": encoded(i) for i in range(4)})
    before = whole if second else b""
    size = 512 + -(-len(encoded(0)) // 512) * 512
    members = whole[: whole.rindex(encoded(3)) + -(-len(encoded(3)) // 512) * 512]
    flipped = bytearray(whole)
    flipped[size] ^= 1
    damaged = [
        whole[: size + 600],  # cut off in an image
        whole[: size + 100],  # in a header
        whole[:size],  # between two members
        members,  # before the mark of the end
        bytes(flipped),
        whole + b"hello, this is no archive",
        whole + b"x" * 512,
    ]
    for content in damaged:
        (tmp_path / "0.tar").write_bytes(before + content)
        with pytest.raises(ValueError, match=r"0\.tar is not a readable uncompressed tar file"):
            load(tmp_path)
    (tmp_path / "0.tar").write_bytes(before + members + bytes(512))  # the rest of the zeros is padding
    assert len(contents(load(tmp_path))) == (8 if second else 4)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (["1.2.3.jpg", "1.2.3.cls=0", "1.2.4.jpg", "1.2.4.cls=1"], {"1.2.3.jpg": "0", "1.2.4.jpg": "1"}),
        (["1.2.3.jpg", "1.cls=1", "5.jpg"], {"1.2.3.jpg": "1", "5.jpg": None}),
        (["a.b/c.jpg", "a.b/c.cls=1", "a.b/d.jpg"], {"a.b/c.jpg": "1", "a.b/d.jpg": None}),
        (["x.jpg", "x.seg.png", "x.cls=0", "y.jpg"], {"x.jpg": "0", "y.jpg": None}),
        (["x.left.jpg", "x.right.jpg", "x.cls=1"], {"x.left.jpg": "1", "x.right.jpg": "1"}),
        (["x.jpg", "x.1.jpg", "x.1.cls=1", "x.cls=0"], {"x.jpg": "0", "x.1.jpg": "1"}),
        (["A.JPG", "A.cls=0", "B.JPeG", "B.CLS=1"], {"A.JPG": "0", "B.JPeG": "1"}),
        (["./0.jpg", "0.cls=1", "./d/1.jpg", "./d/1.cls=0"], {"0.jpg": "1", "d/1.jpg": "0"}),
        (["é.jpg", "é.cls=1", "猫/1.webp", "猫/1.cls=0"], {"é.jpg": "1", "猫/1.webp": "0"}),
        (["a.jfif", "a.cls=1", "b.jpe", "b.cls=0", "c.webp"], {"a.jfif": "1", "b.jpe": "0", "c.webp": None}),
        (["é" * 120 + "/" + "x" * 90 + ".jpg", "0.jpg"], {"é" * 120 + "/" + "x" * 90 + ".jpg": None, "0.jpg": None}),
    ],
)
@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_no_name_loses_an_image_or_its_label(tmp_path, members, expected, kind):
    parts = dict(member.partition("=")[::2] for member in members)
    files = {name: label.encode() or encoded(len(name)) for name, label in parts.items()}
    (tmp_path / "0.tar").write_bytes(tar_bytes(files, kind))
    assert labels(load(tmp_path)) == expected


def test_what_is_passed_over_is_said(tmp_path):
    members = {
        **{f"{i}.png": encoded(i) for i in range(3)},
        "0.seg.png": encoded(5),
        "._0.png": b"x",
        "__MACOSX/0.png": b"x",
        "a/.ipynb_checkpoints/0.png": b"x",
        "README": b"x",
        "0.mp4": b"x",
        "9.cls": b"0",
        "1.json": b"[1, 2]",
    }
    write_tar(tmp_path / "0.tar", members)
    dataset = load(tmp_path)
    assert len(dataset.train) + len(dataset.test) == 3
    assert ignored(dataset) == {
        "other pictures of samples that have a plain one": 1,
        "hidden, or kept by a system or an editor for itself": 3,
        "members without an ending": 1,
        "members ending in .mp4": 1,
        "members ending in .json, without a label": 1,
        "labels of no image": 1,
    }


def test_members_of_one_name_are_all_read_with_their_own_labels_or_refused(tmp_path):
    def write(*members):
        with tarfile.open(tmp_path / "0.tar", "w") as tar:
            for name, data in members:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))

    a, b = ("0.png", encoded(0)), ("0.png", encoded(1))
    write(a, ("0.cls", b"1"), b, ("0.cls", b"0"))
    dataset = load(tmp_path)
    found = {
        s.images.source(i).getvalue(): int(s.labels[i]) for s in (dataset.train, dataset.test) for i in range(len(s))
    }
    assert found == {encoded(0): 1, encoded(1): 0}
    write(a, b, ("0.cls", b"1"))
    assert labels(load(tmp_path)) == {"0.png": "1"}
    write(a, ("0.cls", b"1"), ("0.cls", b"0"), ("1.png", encoded(2)))
    with pytest.raises(ValueError, match=r"1 images are called 0\.png, and have 2 different labels"):
        load(tmp_path)


def test_links_in_an_archive_are_the_files_that_they_lead_to(tmp_path):
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        info = tarfile.TarInfo("a/0.png")
        info.size = len(encoded(0))
        tar.addfile(info, io.BytesIO(encoded(0)))
        for name, kind, target in (
            ("b/1.png", tarfile.LNKTYPE, "a/0.png"),
            ("b/2.png", tarfile.SYMTYPE, "../a/0.png"),
            ("b/3.png", tarfile.SYMTYPE, "/etc/passwd"),
            ("b", tarfile.DIRTYPE, ""),
            ("b/4.png", tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    dataset = load(tmp_path)
    assert contents(dataset) == [encoded(0)] * 3
    assert ignored(dataset) == {
        "members: links to what is not before them in the archive": 1,
        "members: neither files nor links": 1,
    }


# --- labels ---------------------------------------------------------------------------------------------------------


def test_numbers_words_and_objects_are_labels(tmp_path):
    for kind, values in {
        "cls": [b"1", b"0", b"1\n", b"0"],
        "txt": [b"dog", b"cat", b"dog\n", b" cat "],
        "json": [b'{"label": "dog"}', b'{"class": "cat"}', b'{"cls": "dog", "id": 7}', b'{"label": "cat", "class": 3}'],
    }.items():
        members = {f"{i}.png": encoded(i) for i in range(4)} | {f"{i}.{kind}": value for i, value in enumerate(values)}
        write_tar(tmp_path / kind / "0.tar", members)
        dataset = load(tmp_path / kind)
        a, b = ("1", "0") if kind == "cls" else ("dog", "cat")
        assert labels(dataset) == {"0.png": a, "1.png": b, "2.png": a, "3.png": b}
        assert dataset.findings.labels == f"members ending in .{kind} give the classes"


def test_numbers_in_objects_are_numbers(tmp_path):
    write_tar(
        tmp_path / "0.tar",
        {f"{i}.png": encoded(i) for i in range(3)} | {f"{i}.json": b'{"label": 1%d}' % i for i in range(3)},
    )
    assert labels(load(tmp_path)) == {"0.png": "10", "1.png": "11", "2.png": "12"}


def test_numbers_come_before_objects_and_these_before_texts(tmp_path):
    members = {f"{i}.png": encoded(i) for i in range(4)}
    members |= {f"{i}.txt": b"a caption" for i in range(4)} | {f"{i}.json": b'{"label": "x"}' for i in range(4)}
    write_tar(tmp_path / "0.tar", members)
    assert load(tmp_path).class_names == ("x",)
    write_tar(tmp_path / "0.tar", members | {"0.cls": b"1"})
    assert labels(load(tmp_path)) == {"0.png": "1", "1.png": None, "2.png": None, "3.png": None}


def test_captions_are_no_classes_and_that_is_said(tmp_path):
    captions = {f"{i}.txt": f"picture {i} of a cat".encode() for i in range(6)}
    write_tar(tmp_path / "0.tar", {f"{i}.png": encoded(i) for i in range(6)} | captions)
    dataset = load(tmp_path)
    assert dataset.train.labels is None
    assert dataset.findings.labels == "none: 6 different ones in 6 members ending in .txt are no classes"
    write_tar(tmp_path / "0.tar", {f"{i}.png": encoded(i) for i in range(6)})
    assert any(
        "no image has a label in a member ending in .cls, .json, .txt" in line for line in summary_lines(load(tmp_path))
    )


def test_splits_are_matched_by_name(tmp_path):
    train = {f"{i}.png": encoded(i) for i in range(6)} | {f"{i}.txt": [b"a", b"b", b"c"][i % 3] for i in range(6)}
    test = {f"{i}.png": encoded(i + 9) for i in range(2)} | {"0.txt": b"c", "1.txt": b"b"}  # too few to be "few"
    write_tar(tmp_path / "w" / "Train" / "0.tar", train)
    write_tar(tmp_path / "w" / "valid" / "0.tar", test)
    dataset = load(tmp_path / "w")
    assert dataset.class_names == ("a", "b", "c")
    assert dataset.test.labels.tolist() == [2, 1]


def test_each_split_may_have_its_own_list_of_names(tmp_path):
    write_tar(tmp_path / "train" / "0.tar", {"0.png": encoded(0), "0.cls": b"0", "1.png": encoded(1), "1.cls": b"2"})
    write_tar(tmp_path / "test" / "0.tar", {"0.png": encoded(2), "0.cls": b"0"})
    (tmp_path / "train" / "classes.txt").write_text("a\nb\nc\n")
    (tmp_path / "test" / "classes.txt").write_text("c\nb\n")
    dataset = load(tmp_path)
    assert dataset.class_names == ("a", "b", "c")
    assert dataset.train.labels.tolist() == [0, 2]
    assert dataset.test.labels.tolist() == [2]
    (tmp_path / "test" / "classes.txt").write_text("C\nb\n")
    with pytest.raises(ValueError, match="'c' and 'C' differ only"):
        load(tmp_path)


# --- folders of shards ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".tar.gz", ".tgz", ".tar.zst", ".TAR.BZ2", ".tar.xz"])
def test_compressed_shards_are_refused_by_name_also_beside_others(tmp_path, ending):
    write_tar(tmp_path / "0.tar", {"0.png": encoded(0), "1.png": encoded(1)})
    (tmp_path / f"1{ending}").write_bytes(b"x")
    with pytest.raises(ValueError, match=rf"1{ending} is a compressed shard; unpack it"):
        load(tmp_path)


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_a_compressed_archive_that_is_called_tar_is_named(tmp_path, mode):
    with tarfile.open(tmp_path / "0.tar", f"w:{mode}") as tar:
        tar.addfile(tarfile.TarInfo("0.png"))
    with pytest.raises(ValueError, match=r"0\.tar is not a readable.*compressed with"):
        load(tmp_path)


def test_shards_in_capital_letters_are_read_and_other_files_are_said(tmp_path):
    write_tar(tmp_path / "0.TAR", {"0.png": encoded(0)})
    write_tar(tmp_path / "1.tar", {"0.png": encoded(1)})
    write_tar(tmp_path / "deeper" / "2.tar", {"0.png": encoded(2)})
    for name in ("._1.tar", "2.tar.part", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    dataset = load(tmp_path)
    assert len(contents(dataset)) == 2
    assert ignored(dataset) == {
        "hidden, or kept by a system or an editor for itself": 1,
        "files that are no shards": 2,
        "folders beside shards": 1,
    }


def test_near_misses_of_splits_are_errors_here_too(tmp_path):
    for name in ("trian", "test"):
        write_tar(tmp_path / name / "0.tar", {"0.png": encoded(0)})
    with pytest.raises(ValueError, match="rename trian to train"):
        load(tmp_path)


def test_splits_in_the_names_of_shards_are_an_error_that_names_the_remedy(tmp_path):
    for name in ("birds-train-000000", "birds-train-000001", "birds-val-000000"):
        write_tar(tmp_path / f"{name}.tar", {"0.png": encoded(0), "1.png": encoded(1)})
    with pytest.raises(ValueError, match="put them into folders called train and val"):
        load(tmp_path)
    (tmp_path / "birds-val-000000.tar").unlink()
    assert len(contents(load(tmp_path))) == 4


# --- what the writer accepts, the reader takes ----------------------------------------------------------------------


def test_every_format_goes_into_shards_and_comes_out(tmp_path):
    formats = [name for name in readable_formats() if name not in ("HEIF", "DIB")]
    picture = Image.new("RGB", (12, 12), (10, 200, 30))
    (tmp_path / "data").mkdir()
    for i in range(2):
        for name in formats:
            picture.save(tmp_path / "data" / f"{name}{i}.png", name)
        picture.save(tmp_path / "data" / f"DIB{i}.dib", "DIB")
        picture.save(tmp_path / "data" / f"MPO{i}.jpg", "MPO", save_all=True, append_images=[picture])
        picture.convert("L").save(tmp_path / "data" / f"PGM{i}.pgm")
        picture.convert("1").save(tmp_path / "data" / f"PBM{i}.pbm")
    files = sorted((tmp_path / "data").iterdir())
    assert run(["shards", f"files:{tmp_path / 'data'}", str(tmp_path / "out")]) == 0
    dataset = load(tmp_path / "out")
    assert contents(dataset) == sorted(path.read_bytes() for path in files)
    for split in (dataset.train, dataset.test):
        for places, _ in read_batches(split.images, [torch.arange(len(split))], torch.device("cpu")):
            assert len(places) == len(split)
        assert not any(split.images.path(i).suffix == ".mpo" for i in range(len(split)))


def test_dots_in_the_names_of_files_are_no_matter(tmp_path):
    write_tree(tmp_path / "data", range(4))
    for path in sorted((tmp_path / "data").rglob("*.png")):
        path.rename(path.with_name(f"a.{path.stem}.b.png"))
    assert run(["shards", f"files:{tmp_path / 'data'}", str(tmp_path / "out")]) == 0
    assert len(contents(load(tmp_path / "out"))) == 4
