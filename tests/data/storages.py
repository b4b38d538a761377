"""The same pictures in every way that they can be stored."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "emu")


def picture(i: int) -> np.ndarray:
    """A colour picture of its own for every number, not square."""
    return np.random.default_rng(i).integers(256, size=(20 + i % 3, 24, 3), dtype=np.uint8)


def encoded(i: int, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture(i)).save(content, kind)
    return content.getvalue()


def write_tree(root: Path, numbers: range, classes: bool = True) -> None:
    """Picture i has class i modulo 3; its name sorts by class, then by number."""
    for i in numbers:
        folder = root / CLASSES[i % 3] if classes else root
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:03d}.png").write_bytes(encoded(i))


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def write_tars(root: Path, numbers: range, per_shard: int, classes: bool = True) -> None:
    for first in range(0, len(numbers), per_shard):
        members: dict[str, bytes] = {}
        for i in numbers[first : first + per_shard]:
            members[f"{i:03d}.png"] = encoded(i)
            if classes:
                members[f"{i:03d}.cls"] = str(i % 3).encode()
        write_tar(root / f"{first:05d}.tar", members)


def table(numbers: range, classes: bool = True) -> datasets.Dataset:
    columns = {"photo": [{"bytes": encoded(i), "path": f"{i:03d}.png"} for i in numbers], "number": list(numbers)}
    kinds = {"photo": datasets.Image(), "number": datasets.Value("int64")}
    if classes:
        columns["kind"] = [i % 3 for i in numbers]
        kinds["kind"] = datasets.ClassLabel(names=list(CLASSES))
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))
