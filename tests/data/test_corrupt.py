"""Unreadable images: named, counted, skipped, and too many refused."""

from pathlib import Path

import pytest
import torch
from storages import encoded, table, write_tar, write_tree

from aninfonce.data import ImageFiles, load_images, read_batches
from aninfonce.data.corrupt import CorruptImages
from aninfonce.training import TrainConfig, train

CPU = torch.device("cpu")
N = 50


def store(kind, root, broken):
    """N pictures, so many of them broken, in storage of that kind."""
    contents = [b"broken" if i < broken else encoded(i) for i in range(N)]
    if kind == "shards":
        write_tar(root / "0.tar", {f"{i:03d}.png": content for i, content in enumerate(contents)})
    elif kind == "hf":
        rows = table(range(N), classes=False).remove_columns("photo")
        rows = rows.add_column("photo", [{"bytes": content, "path": None} for content in contents])
        rows.cast(table(range(1), classes=False).select_columns(rows.column_names).features).save_to_disk(root)
    else:
        root.mkdir()
        for i, content in enumerate(contents):
            (root / f"{i:03d}.png").write_bytes(content)


def read_all(name, **options):
    dataset = load_images(name, image_size=8, **options)
    skipped = dict(dataset.skipped)
    for split in (dataset.train, dataset.test):
        for _ in read_batches(split.images, torch.split(torch.arange(len(split)), 16), CPU):
            pass
        skipped |= {} if isinstance(split.images, torch.Tensor) else split.images.skipped
    return skipped


@pytest.mark.parametrize("kind", ["folder", "files", "shards", "hf"])
def test_the_allowed_share_is_skipped_and_one_more_is_refused(tmp_path, kind):
    store(kind, tmp_path / "data", broken=3)
    skipped = read_all(f"{kind}:{tmp_path / 'data'}", max_corrupt=3 / N)
    assert len(skipped) == 3
    with pytest.raises(
        ValueError, match=rf"3 of {N} images cannot be read, more than the share of 0\.04 .*not an image"
    ):
        read_all(f"{kind}:{tmp_path / 'data'}", max_corrupt=2 / N)
    with pytest.raises(ValueError, match=r"max_corrupt must be a share in \[0, 1\], got 2"):
        load_images(f"{kind}:{tmp_path / 'data'}", max_corrupt=2.0)


def test_exactly_the_share_is_allowed():
    for percent in range(101):  # 0.29 × 100 is 28.999…
        found = CorruptImages(100, percent / 100)
        for i in range(percent):
            found.add([(Path(str(i)), "broken")])
        if percent < 100:
            with pytest.raises(ValueError, match=f"{percent + 1} of 100 images cannot be read"):
                found.add([(Path("one more"), "broken")])


def test_the_same_image_counts_once(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(encoded(i) if i else b"broken")
    files = ImageFiles(sorted(tmp_path.iterdir()), 8, max_corrupt=0.25)
    for _ in range(10):
        list(read_batches(files, [torch.arange(4)], CPU))
    assert len(files.skipped) == 1


def test_a_bad_set_is_refused_after_a_sample_and_a_good_one_is_not(tmp_path):
    """A pass through some images of a large set: 1 % is allowed, 10 % are broken, of which the whole knows too few."""
    root = tmp_path / "a.png"
    root.write_bytes(encoded(0))
    paths = [tmp_path / f"{i}.png" for i in range(10_000)]
    for path in paths[:20]:  # those that are read
        path.write_bytes(b"broken")
    files = ImageFiles([root] * 900 + paths, 8, max_corrupt=0.01)
    sample = torch.cat([torch.arange(180), torch.arange(900, 920)])
    with pytest.raises(ValueError, match="20 of 200 images cannot be read"):
        next(read_batches(files, [sample], CPU))
    lucky = ImageFiles([root] * 900 + paths, 8, max_corrupt=0.01)
    assert len(next(read_batches(lucky, [sample[:183]], CPU))[0]) == 180, "three of 183 may be an accident"


@pytest.mark.parametrize("kind", ["folder", "files"])
def test_a_run_counts_what_it_skips_and_is_refused_past_the_share(tmp_path, kind):
    write_tree(tmp_path / "data", range(60))
    (tmp_path / "data" / "cat" / "000.png").write_bytes(b"broken")
    (tmp_path / "out").mkdir()
    config = TrainConfig(
        data=f"{kind}:{tmp_path / 'data'}",
        image_size=16,
        backbone="small:4",
        projector_dim=4,
        projector_hidden=8,
        epochs=1,
        batch_size=16,
        max_corrupt=0.02,
        device="cpu",
    )
    result = train(config, tmp_path / "out")
    assert [path.name for path, _ in result.skipped] == ["000.png"]
    (tmp_path / "out2").mkdir()
    strict = TrainConfig(**{**config.__dict__, "max_corrupt": 0.01})
    with pytest.raises(ValueError, match=r"1 of 60 images cannot be read.*000\.png"):
        train(strict, tmp_path / "out2")
    with pytest.raises(ValueError, match="max_corrupt must be a share"):
        TrainConfig(max_corrupt=1.5)
