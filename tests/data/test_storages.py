"""Every way to store images holds the same images, with the same labels; what is special of each."""

import pickle

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from storages import CLASSES, encoded, table, write_tar, write_tars, write_tree

from aninfonce.data import (
    NO_LABEL,
    ImageFiles,
    ShardImages,
    StoredImages,
    load_images,
    read_batches,
    shuffled_order,
)
from aninfonce.data.shards import WINDOW

CPU = torch.device("cpu")
TRAIN, TEST = range(24), range(24, 36)
SIZE = 16


def stored(kind, root, *, classes=True, test=True, **options):
    """The pictures, in storage of that kind."""
    numbers = TRAIN if test else range(36)
    for part, chosen in (("train", numbers), *((("test", TEST),) if test else ())):
        folder = root / part if test else root
        if kind == "shards":
            write_tars(folder, chosen, 5, classes)
        elif kind != "hf":
            write_tree(folder, chosen, classes)
    if kind == "hf":
        parts = datasets.DatasetDict(
            {"train": table(numbers, classes)} | ({"test": table(TEST, classes)} if test else {})
        )
        parts.save_to_disk(root)
    return load_images(f"{kind}:{root}", image_size=SIZE, **options)


def content(split):
    """Pixels -> label: which images there are, in any order."""
    (places, images) = next(read_batches(split.images, [torch.arange(len(split))], CPU))
    assert torch.equal(places, torch.arange(len(split)))
    assert images.dtype == torch.uint8
    labels = [None] * len(split) if split.labels is None else split.labels.tolist()
    found = {image.numpy().tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert len(found) == len(split)
    return found


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("kind", ["files", "shards", "hf"])
def test_every_storage_has_the_images_and_labels_of_the_folder(tmp_path, kind, classes):
    memory = stored("folder", tmp_path / "memory", classes=classes)
    there = stored(kind, tmp_path / "there", classes=classes)
    assert isinstance(there.train.images, StoredImages)
    assert there.train.images.shape == memory.train.images.shape == (24, 3, SIZE, SIZE)
    assert content(there.train) == content(memory.train)
    assert content(there.test) == content(memory.test)
    expected = CLASSES if classes else ()
    assert memory.class_names == expected
    assert there.class_names == (("0", "1", "2")[: len(expected)] if kind == "shards" else expected)
    assert there.name == f"{kind}:{tmp_path / 'there'}"


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("kind", ["folder", "files", "shards", "hf"])
def test_without_a_test_set_a_fifth_of_every_class_is_held_out(tmp_path, kind, classes):
    dataset = stored(kind, tmp_path, classes=classes, test=False)
    parts = content(dataset.train), content(dataset.test)
    assert len(dataset.test) == 7
    assert len(parts[0] | parts[1]) == 36, "none is in both"
    if classes:
        assert min(dataset.test.labels.bincount()) >= 2
    else:
        assert dataset.train.labels is dataset.test.labels is None
    again = load_images(f"{kind}:{tmp_path}", image_size=SIZE)
    other = load_images(f"{kind}:{tmp_path}", image_size=SIZE, seed=1)
    assert content(again.test) == parts[1]
    assert content(other.test) != parts[1]


@pytest.mark.parametrize("kind", ["files", "shards", "hf"])
def test_workers_selections_and_copies_change_nothing(tmp_path, kind):
    images = stored(kind, tmp_path, decode_workers=2).train.images
    assert images.workers == 2
    batches = torch.split(torch.randperm(24, generator=torch.Generator().manual_seed(0)), 10)
    expected = {}
    for places, batch in read_batches(images, batches, CPU):
        expected |= dict(zip(places.tolist(), batch, strict=True))
    copied = pickle.loads(pickle.dumps(images))  # noqa: S301 - as it goes to workers that are not forked
    copied.workers = 0
    chosen = copied[torch.tensor([7, 3, 20])][torch.tensor([2, 0])]
    ((_, batch),) = read_batches(chosen, [torch.tensor([0, 1])], CPU)
    assert torch.equal(batch, torch.stack([expected[20], expected[7]]))
    assert [chosen.path(0), chosen.path(1)] == [images.path(20), images.path(7)]
    assert len({images.path(place) for place in range(24)}) == 24


def test_names_say_where_an_image_is(tmp_path):
    assert stored("files", tmp_path / "f").train.images.path(0) == tmp_path / "f" / "train" / "cat" / "000.png"
    assert stored("shards", tmp_path / "s").train.images.path(6) == tmp_path / "s" / "train" / "00005.tar" / "006.png"
    assert str(stored("hf", tmp_path / "h").train.images.path(3)) == f"hf:{tmp_path / 'h'}/train/3"


@pytest.mark.parametrize("kind", ["files", "shards", "hf"])
def test_the_default_size_is_that_of_photographs(tmp_path, kind):
    stored(kind, tmp_path)
    assert load_images(f"{kind}:{tmp_path}").image_size == 224


# --- orders ---------------------------------------------------------------------------------------------------------


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_order_of_memory_and_files_is_randperm(tmp_path):
    files = ImageFiles([tmp_path / f"{i}.png" for i in range(50)], 8)
    for images in (torch.zeros(50, 1, 4, 4, dtype=torch.uint8), files):
        assert torch.equal(shuffled_order(images, generator()), torch.randperm(50, generator=generator()))


@pytest.fixture(scope="module")
def many_shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("shards")
    for shard in range(3 * WINDOW + 2):
        write_tar(root / f"{shard:02d}.tar", {f"{i}.png": b"x" for i in range(3 + shard % 4)})
    return ShardImages(sorted(root.iterdir()), 8)


@pytest.mark.parametrize("selection", ["all", "some"])
def test_the_order_of_shards_is_a_permutation_that_reads_a_window_of_shards_at_a_time(many_shards, selection):
    images = many_shards
    if selection == "some":
        images = images[torch.arange(0, len(images), 3)]
    order = shuffled_order(images, generator())
    assert torch.equal(order.sort().values, torch.arange(len(images)))
    shards = [images.path(place).parent for place in order.tolist()]
    first = {shard: shards.index(shard) for shard in reversed(shards)}
    last = {shard: i for i, shard in enumerate(shards)}
    for i in range(len(order)):
        assert sum(first[shard] <= i <= last[shard] for shard in first) <= WINDOW, "open at one time"
    if selection == "all":
        assert max(len({*shards[first[s] : last[s] + 1]}) for s in first) == WINDOW, "so many are mixed"


def test_the_order_of_shards_follows_from_the_generator_alone(many_shards):
    order = shuffled_order(many_shards, generator())
    many_shards.workers = 5
    assert torch.equal(order, shuffled_order(many_shards, generator()))
    many_shards.workers = 0
    assert not torch.equal(order, shuffled_order(many_shards, generator(1)))


# --- shards ---------------------------------------------------------------------------------------------------------


def test_samples_are_grouped_as_webdataset_groups_them(tmp_path):
    members = {
        "a/0001.cls": b"2\n",
        "a/0001.jpg": encoded(1, "JPEG"),
        "a/0001.seg.png": encoded(2),  # another part of the sample: not the image
        "a/0001.json": b"{}",
        "b/0001.JPEG": encoded(3, "JPEG"),
        "b/.hidden.png": b"",
    }
    write_tar(tmp_path / "train" / "0.tar", members)
    write_tar(tmp_path / "val" / "0.tar", {"0.png": encoded(4), "0.cls": b"0"})
    dataset = load_images(f"shards:{tmp_path}", image_size=8)
    assert [path.name for path in map(dataset.train.images.path, range(2))] == ["0001.jpg", "0001.JPEG"]
    assert dataset.train.labels.tolist() == [2, NO_LABEL]
    assert dataset.class_names == ("0", "1", "2")


def test_what_is_no_shard_is_named(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        load_images(f"shards:{tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match="holds no shard: looked for"):
        load_images(f"shards:{tmp_path}")
    write_tar(tmp_path / "0.tar", {"a.txt": b"hello"})
    with pytest.raises(ValueError, match="hold no image: looked for"):
        load_images(f"shards:{tmp_path}")
    for label in (b"cat", b"-1", b"99999999", b""):
        write_tar(tmp_path / "0.tar", {"a.png": encoded(0), "a.cls": label})
        with pytest.raises(ValueError, match=r"0\.tar.*a\.cls must hold the number of a class"):
            load_images(f"shards:{tmp_path}")


def test_a_damaged_shard_is_refused_and_not_read_in_part(tmp_path):
    write_tar(tmp_path / "0.tar", {f"{i}.png": encoded(i) for i in range(4)})
    whole = (tmp_path / "0.tar").read_bytes()
    second = 512 + -(-len(encoded(0)) // 512) * 512
    headers = bytearray(whole)
    headers[second] ^= 1
    for damaged in (whole[: second + 600], whole[: second + 100], bytes(headers), b"hello", b""):
        (tmp_path / "0.tar").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"0\.tar is not a readable uncompressed tar file"):
            load_images(f"shards:{tmp_path}")


def test_a_shard_that_shrinks_under_the_run_is_an_unreadable_image(tmp_path):
    dataset = stored("shards", tmp_path)
    shard = tmp_path / "train" / "00000.tar"
    shard.write_bytes(shard.read_bytes()[:1000])
    places, _ = next(read_batches(dataset.train.images, [torch.arange(24)], CPU))
    assert places.tolist() == list(range(5, 24))
    assert "the shard ends" in dataset.train.images.skipped[shard / "001.png"]


# --- Hugging Face ---------------------------------------------------------------------------------------------------


def test_hidden_labels_of_a_test_set_make_the_validation_set_the_one_held_out(tmp_path):
    secret = table(range(6), classes=False).add_column("kind", [-1] * 6).cast(table(range(1)).features)
    missing = table(range(6)).map(lambda row: {"kind": None if row["number"] == 2 else row["kind"]})
    parts = datasets.DatasetDict({"train": missing, "validation": table(TEST), "test": secret})
    parts.save_to_disk(tmp_path)
    dataset = load_images(f"hf:{tmp_path}", image_size=8)
    assert dataset.train.labels.tolist() == [0, 1, NO_LABEL, 0, 1, 2]
    assert dataset.test.labels.tolist() == [i % 3 for i in TEST]


def test_a_single_table_is_split(tmp_path):
    table(range(10)).save_to_disk(tmp_path)
    dataset = load_images(f"hf:{tmp_path}", image_size=8)
    assert (len(dataset.train), len(dataset.test)) == (8, 2)


def test_a_folder_that_datasets_can_build_from_is_read_too(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write_tree(tmp_path / "images" / "train", range(9))
    dataset = load_images(f"hf:{tmp_path / 'images'}", image_size=8)
    assert dataset.class_names == CLASSES
    assert len(dataset.train) + len(dataset.test) == 9


def test_columns_are_found_by_their_types_or_named_in_the_error(tmp_path):
    two = table(range(4)).add_column("fine", [0, 1, 2, 3]).cast_column("fine", datasets.ClassLabel(names=[*"abcd"]))
    two.save_to_disk(tmp_path / "labels")
    with pytest.raises(ValueError, match=r"2 label columns; name one: hf:.*#kind.*photo \(Image\)"):
        load_images(f"hf:{tmp_path / 'labels'}")
    assert load_images(f"hf:{tmp_path / 'labels'}#fine").class_names == ("a", "b", "c", "d")
    with pytest.raises(ValueError, match="no column photo of labels, numbers or words"):
        load_images(f"hf:{tmp_path / 'labels'}#photo")
    table(range(4)).remove_columns("photo").save_to_disk(tmp_path / "none")
    with pytest.raises(ValueError, match=r"one column of type Image, got 0; its columns: number \(Value\)"):
        load_images(f"hf:{tmp_path / 'none'}")
    datasets.DatasetDict({"test": table(range(4))}).save_to_disk(tmp_path / "test")
    with pytest.raises(ValueError, match="must have a split train, got test"):
        load_images(f"hf:{tmp_path / 'test'}")


def test_a_row_without_an_image_is_skipped_by_name(tmp_path):
    rows = [
        {"bytes": encoded(0), "path": None},
        None,
        {"bytes": b"no", "path": None},
        {"bytes": encoded(1), "path": None},
    ]
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict({"image": rows}, features=features).save_to_disk(tmp_path)
    dataset = load_images(f"hf:{tmp_path}", image_size=8)
    images = dataset.train.images
    read = [places.tolist() for places, _ in read_batches(images[torch.arange(3)], [torch.arange(3)], CPU)]
    found = {*(images.path(place) for place in read[0]), *images.skipped}
    assert found == {images.path(place) for place in range(3)}
    assert all("no image" in reason or "not an image" in reason for reason in images.skipped.values())


def test_a_damaged_data_set_is_named(tmp_path):
    table(range(4)).save_to_disk(tmp_path)
    (tmp_path / "dataset_info.json").write_text("{")
    with pytest.raises(ValueError, match=r"hf:.* cannot be loaded"):
        load_images(f"hf:{tmp_path}")


# --- folders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "files"])
def test_images_beside_class_folders_are_not_left_out_silently(tmp_path, kind):
    write_tree(tmp_path, range(6))
    (tmp_path / "loose.png").write_bytes(encoded(0))
    with pytest.raises(ValueError, match=r"1 images beside its class folders, the first loose\.png"):
        load_images(f"{kind}:{tmp_path}")


@pytest.mark.parametrize("kind", ["folder", "files"])
def test_a_link_that_leads_nowhere_is_an_unreadable_image(tmp_path, kind):
    write_tree(tmp_path, range(8), classes=False)
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    dataset = load_images(f"{kind}:{tmp_path}", image_size=8)
    skipped = dict(dataset.skipped)
    if kind == "files":
        for split in (dataset.train, dataset.test):
            list(read_batches(split.images, [torch.arange(len(split))], CPU))
        skipped = dataset.train.images.skipped
    assert {*skipped} == {tmp_path / "link.png"}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_a_pixel_become_eight(tmp_path, kind):
    values = np.arange(0, 65536, 257, dtype=np.uint16)[:256].reshape(16, 16)
    for name in ("a", "b"):
        Image.fromarray(values).save(tmp_path / f"{name}.{kind.lower()}")
    if kind == "PPM":
        for name in ("a", "b"):
            (tmp_path / f"{name}.ppm").rename(tmp_path / f"{name}.pgm")
    dataset = load_images(f"folder:{tmp_path}", image_size=16)
    assert dataset.train.images.shape == (1, 1, 16, 16)
    assert torch.equal(dataset.train.images[0, 0].flatten(), torch.arange(256, dtype=torch.uint8))
