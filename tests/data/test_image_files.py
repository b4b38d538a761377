"""Images that stay in their files: the same pixels as in memory, whatever decodes them, and what cannot be read."""

import numpy as np
import pytest
import torch
from PIL import Image

from aninfonce.data import ImageFiles, ImageReadError, load_folder, load_images, read_batches
from aninfonce.data.decode import UnreadableImageError, decode_image

CPU = torch.device("cpu")
CLASSES = ("n01440764", "n01443537", "n01484850")


def write(path, value, *, mode="RGB", size=(12, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).convert(mode).save(path)


@pytest.fixture
def files(tmp_path):
    for i in range(70):  # more than two pieces
        write(tmp_path / f"{i:02d}.png", 3 * i)
    return ImageFiles(sorted(tmp_path.iterdir()), 8)


def values(images):
    """The one grey value of each image; all its pixels and channels have it."""
    assert all(image.unique().numel() == 1 for image in images)
    return images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_hold_the_images_of_their_places_in_order(files, workers):
    files.workers = workers
    batches = torch.split(torch.randperm(70, generator=torch.Generator().manual_seed(0)), 40)
    before = torch.random.get_rng_state()
    for asked, (places, images) in zip(batches, read_batches(files, batches, CPU), strict=True):
        assert torch.equal(places, asked)
        assert images.shape == (len(asked), 3, 8, 8)
        assert images.dtype == torch.uint8
        assert values(images) == (3 * asked).tolist()
    assert torch.equal(before, torch.random.get_rng_state()), "the global generator is the user's"


def test_files_act_like_the_tensor_of_their_images(files):
    memory = torch.cat([images for _, images in read_batches(files, [torch.arange(70)], CPU)])
    assert files.shape == memory.shape
    assert len(files) == len(memory)
    chosen = torch.tensor([5, 60, 2])
    batches = [torch.tensor([2, 0])]
    (places, ours), (expected_places, expected) = (next(read_batches(x[chosen], batches, CPU)) for x in (files, memory))
    assert torch.equal(places, expected_places)
    assert torch.equal(ours, expected)
    assert values(ours) == [6, 15]


def test_files_hold_the_pixels_that_a_folder_in_memory_has(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(4):
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(256, size=(40 + i, 50, 3), dtype=np.uint8)).save(tmp_path / "a" / f"{i}.jpg")
    folder = load_folder(tmp_path, image_size=16)
    (_, images), *_ = read_batches(ImageFiles(sorted((tmp_path / "a").iterdir()), 16), [torch.arange(4)], CPU)
    in_memory = {bytes(image.flatten().tolist()) for split in (folder.train, folder.test) for image in split.images}
    assert {bytes(image.flatten().tolist()) for image in images} == in_memory


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_files_are_left_out_with_their_places_and_named(files, workers):
    files.workers = workers
    for broken in (3, 41):
        files.path(broken).write_bytes(b"no image")
    (places, images), *_ = read_batches(files, [torch.arange(70)], CPU)
    assert sorted({*range(70)} - {*places.tolist()}) == [3, 41]
    assert values(images) == (3 * places).tolist()
    assert {*files.skipped} == {files.path(3), files.path(41)}
    assert all("not an image in one of the formats BMP" in reason for reason in files.skipped.values())
    assert files[torch.tensor([1])].skipped is files.skipped, "selections report to the whole"
    with pytest.raises(ValueError, match=r"not one image of a batch can be read.*03\.png"):
        list(read_batches(files, [torch.tensor([3])], CPU))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_mode_of_a_jpeg_becomes_colour(tmp_path, mode):
    write(tmp_path / "a.JPEG", 120, mode=mode, size=(300, 200))
    image, gray, _ = decode_image(tmp_path / "a.JPEG", 16)
    assert image.shape == (3, 16, 16)
    assert gray == (mode == "L")
    assert (image.int() - 120).abs().max() <= 3


def test_a_large_jpeg_decoded_small_is_the_picture(tmp_path):
    """A JPEG may be decoded at a fraction of its size: what comes out must be the picture, at every place."""
    picture = np.zeros((600, 800, 3))
    picture[:, :, 0] = np.linspace(0, 255, 800)
    picture[:, :, 1] = np.linspace(255, 0, 600)[:, None]
    Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    image = decode_image(tmp_path / "a.jpg", 30).pixels
    blocks = picture[:, 100:700].reshape(30, 20, 30, 20, 3).mean((1, 3))  # the central square, 20 pixels to one
    assert np.abs(image.permute(1, 2, 0).numpy() - blocks)[1:-1, 1:-1].max() < 4


def test_a_cut_file_and_a_missing_one_are_errors(tmp_path):
    write(tmp_path / "a.jpg", 10, size=(100, 100))
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableImageError, match="OSError"):
        decode_image(tmp_path / "a.jpg", 8)
    with pytest.raises(ImageReadError, match=r"cannot read .*b\.jpg: No such file or directory \(ENOENT\)"):
        decode_image(tmp_path / "b.jpg", 8)


def test_sizes_and_workers_are_checked():
    for wrong in ({"image_size": 0}, {"image_size": 8, "workers": -1}):
        with pytest.raises(ValueError, match=f"{'workers' if 'workers' in wrong else 'image_size'} must be at least"):
            ImageFiles([], **wrong)


def write_imagenet(root, train=(3, 2, 4), val=(1, 1, 2)):
    for part, counts in (("train", train), ("val", val)):
        for name, count in zip(CLASSES, counts, strict=True):
            for i in range(count):
                write(root / part / name / f"{name}_{i}.JPEG", 60)
    (root / "train" / ".cache").mkdir()


@pytest.mark.parametrize("home", [".", "imagenet", "ILSVRC/Data/CLS-LOC"])
def test_imagenet_in_its_folders(tmp_path, home):
    write_imagenet(tmp_path / home)
    dataset = load_images("imagenet", tmp_path)
    assert dataset.name == "imagenet"
    assert dataset.class_names == CLASSES
    assert (dataset.channels, dataset.image_size) == (3, 224)
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert dataset.test.labels.tolist() == [0, 1, 2, 2]
    for split, part in ((dataset.train, "train"), (dataset.test, "val")):
        parents = [split.images.path(i).parent for i in range(len(split))]
        assert [path.name for path in parents] == [CLASSES[label] for label in split.labels]
        assert {path.parent.name for path in parents} == {part}


def test_the_first_classes_of_imagenet(tmp_path):
    write_imagenet(tmp_path)
    dataset = load_images("imagenet:2", tmp_path, image_size=10, decode_workers=3)
    assert dataset.class_names == CLASSES[:2]
    assert dataset.train.images.shape == (5, 3, 10, 10)
    assert dataset.train.images.workers == 3
    with pytest.raises(ValueError, match="has 3 class folders, expected at least 4"):
        load_images("imagenet:4", tmp_path)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        load_images("imagenet:1", tmp_path)
    with pytest.raises(ValueError, match="with a number of classes, got 'imagenet:dogs'"):
        load_images("imagenet:dogs", tmp_path)


def test_what_is_not_imagenet_is_named(tmp_path):
    with pytest.raises(ValueError, match="imagenet cannot be downloaded"):
        load_images("imagenet")
    with pytest.raises(ValueError, match="imagenet cannot be downloaded"):
        load_images("imagenet", tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"imagenet is not in .*looked for .*CLS-LOC"):
        load_images("imagenet", tmp_path)
    write_imagenet(tmp_path)
    for path in (tmp_path / "val").rglob("*.JPEG"):  # as the archive of the validation images unpacks
        path.rename(tmp_path / "val" / path.name)
    with pytest.raises(ValueError, match="must be sorted into class folders"):
        load_images("imagenet", tmp_path)
