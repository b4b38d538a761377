"""CIFAR-10 and ImageNet in the formats of their archives, with generated pictures."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import torchvision
from PIL import Image

SIZES = [(64, 48), (40, 90), (75, 75), (120, 80)]


def picture(rng, label, width, height):
    """A random gradient in the colour of its class."""
    base = np.random.default_rng(label).integers(60, 200, 3)
    across, down = np.linspace(-1, 1, width)[None, :, None], np.linspace(-1, 1, height)[:, None, None]
    slope = rng.normal(0, 25, (2, 3))
    noise = rng.normal(0, 10, (height, width, 3))
    return (base + slope[0] * across + slope[1] * down + noise).clip(0, 255).astype(np.uint8)


def write_cifar10(root: Path, monkeypatch, n: int = 40) -> None:
    """The five training batches and the test batch of n pictures each, and torchvision told their checksums."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    sums = {}
    for name in [*names, "batches.meta"]:
        if name == "batches.meta":
            content = {"label_names": [f"class {i}" for i in range(10)], "num_vis": 3072}
        else:
            labels = [i % 10 for i in range(n)]
            rows = np.stack([picture(rng, label, 32, 32).transpose(2, 0, 1).reshape(-1) for label in labels])
            content = {"batch_label": name, "labels": labels, "data": rows, "filenames": [f"{i}.png" for i in range(n)]}
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        sums[name] = hashlib.md5(data).hexdigest()
    cifar10 = torchvision.datasets.CIFAR10
    monkeypatch.setattr(cifar10, "train_list", [[name, sums[name]] for name in names[:5]])
    monkeypatch.setattr(cifar10, "test_list", [[names[5], sums[names[5]]]])
    monkeypatch.setattr(
        cifar10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    )


def write_imagenet(root: Path, classes: int = 10, train: int = 10, val: int = 6) -> Path:
    """`train` and `val` with a folder a class of JPEGs of several sizes, among them a grey, a CMYK and a cut one.

    Returns the path of the one that is cut off, a training image of the first class: 1 % of them, which is allowed.
    """
    rng = np.random.default_rng(1)
    for part, count in (("train", train), ("val", val)):
        for label in range(classes):
            name = f"n{1440764 + 1000 * label:08d}"
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(picture(rng, label, *SIZES[(i + label) % len(SIZES)]))
                mode = {(1, 0): "L", (2, 1): "CMYK"}.get((label, i), "RGB")
                image.convert(mode).save(folder / f"{name}_{i}.JPEG", quality=90)
    cut = sorted((root / "train").iterdir())[0] / "n01440764_3.JPEG"
    cut.write_bytes(cut.read_bytes()[:400])
    return cut
