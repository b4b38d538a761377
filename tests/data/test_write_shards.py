"""What is written to shards is read from them: the same bytes, labels and names, mixed."""

import pytest
import torch
from storages import CLASSES, encoded, table, write_tars, write_tree

from aninfonce.cli import run
from aninfonce.data import ImageFiles, load_images, read_batches, write_shards


def pixels(split):
    (places, images) = next(read_batches(split.images, [torch.arange(len(split))], torch.device("cpu")))
    assert len(places) == len(split)
    labels = [None] * len(split) if split.labels is None else split.labels.tolist()
    return sorted((image.numpy().tobytes(), label) for image, label in zip(images, labels, strict=True))


@pytest.mark.parametrize("kind", ["files", "hf"])
def test_shards_hold_the_same_images(tmp_path, kind, capsys):
    if kind == "files":
        write_tree(tmp_path / "data", range(40))
    else:
        table(range(40)).save_to_disk(tmp_path / "data")
    name, out = f"{kind}:{tmp_path / 'data'}", tmp_path / "out"
    assert run(["shards", name, str(out), "--per-shard", "6"]) == 0
    assert "40 images, 0 skipped" in capsys.readouterr().out
    assert sorted(p.name for p in (out / "train").iterdir()) == [f"aninfonce-{i:06d}-of-000006.tar" for i in range(6)]
    original, written = load_images(name, image_size=8), load_images(f"shards:{out}", image_size=8)
    assert written.class_names == CLASSES
    for a, b in ((original.train, written.train), (original.test, written.test)):
        assert pixels(a) == pixels(b)
    assert written.train.labels.tolist() != sorted(written.train.labels.tolist()), "the classes are mixed"
    assert run(["shards", name, str(out)]) == 2
    assert "there are shards in" in capsys.readouterr().err


def test_the_files_are_kept_as_they_are_and_others_are_named(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    contents = [encoded(i, "JPEG" if i % 2 else "PNG") for i in range(10)]
    for i, content in enumerate(contents):
        (tmp_path / "data" / f"{i}.png").write_bytes(content)
    (tmp_path / "data" / "broken.png").write_bytes(b"broken")
    name = f"files:{tmp_path / 'data'}"
    assert run(["shards", name, str(tmp_path / "strict")]) == 2
    assert "1 of 11 images cannot be read" in capsys.readouterr().err
    assert run(["shards", name, str(tmp_path / "out"), "--max-corrupt", "0.1"]) == 0
    assert "10 images, 1 skipped" in capsys.readouterr().out
    written = load_images(f"shards:{tmp_path / 'out'}", image_size=8)
    found = [split.images.source(i).getvalue() for split in (written.train, written.test) for i in range(len(split))]
    assert sorted(found) == sorted(contents)
    endings = {split.images.path(i).suffix for split in (written.train, written.test) for i in range(len(split))}
    assert endings == {".png", ".jpg"}


def test_what_needs_no_shards_is_refused(tmp_path):
    with pytest.raises(ValueError, match="digits is held in memory"):
        list(write_shards(load_images("digits"), tmp_path))
    write_tree(tmp_path / "data", range(6))
    files = load_images(f"files:{tmp_path / 'data'}")
    assert isinstance(files.train.images, ImageFiles)
    with pytest.raises(ValueError, match="per_shard must be at least 1, got 0"):
        list(write_shards(files, tmp_path / "out", per_shard=0))


def test_too_few_names_of_classes_are_an_error(tmp_path):
    write_tars(tmp_path, range(9), 9)
    (tmp_path / "classes.txt").write_text("cat\n")
    with pytest.raises(ValueError, match=r"classes\.txt names 1 classes, the shards have at least 3"):
        load_images(f"shards:{tmp_path}")


def test_class_names_of_any_kind_come_back_and_one_of_two_lines_is_refused(tmp_path, capsys):
    names = ["plain", "u\u2028v", "x\x0by"]
    for name in names:
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(5):
            (tmp_path / "data" / name / f"{i}.png").write_bytes(encoded(i, "PNG"))
    assert run(["shards", f"files:{tmp_path / 'data'}", str(tmp_path / "out")]) == 0
    assert load_images(f"shards:{tmp_path / 'out'}", image_size=8).class_names == tuple(sorted(names))
    (tmp_path / "data" / "plain").rename(tmp_path / "data" / "two\nlines")
    assert run(["shards", f"files:{tmp_path / 'data'}", str(tmp_path / "again")]) == 2
    assert "the class 'two\\nlines' has a line break" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
