"""Data sets of Hugging Face's `datasets`: of the hub, or saved to disk. Their images stay in their Arrow files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aninfonce._extras import require
from aninfonce.data.reading import UnreadableImageError, retried
from aninfonce.data.splits import NO_LABEL, ImageDataset, ImageSplit, split_off_test
from aninfonce.data.stored import StoredImages

__all__ = ["HuggingFaceImages", "load_hugging_face"]

_HELD_OUT = ("test", "validation", "valid", "val")


class HuggingFaceImages(StoredImages):
    """The image column of a `datasets.Dataset`, which acts like a tensor of shape (n, 3, image_size, image_size).

    Arguments:
        table: the data set.
        column: its image column.
        name: what the images are called: `NAME/ROW`.
        image_size: side of the images, pixels.
        workers: processes that decode; 0: this one.
        max_corrupt: share of the images that may be unreadable, see `CorruptImages`.
        background: colour that transparent pictures are put on, see `background_colour`.

    Raises:
        ValueError: if a number is out of range, see `StoredImages`.
    """

    def __init__(
        self,
        table: Any,
        column: str,
        name: str,
        image_size: int,
        workers: int = 0,
        max_corrupt: float = 1.0,
        background: str = "white",
    ) -> None:
        super().__init__(len(table), image_size, workers, max_corrupt, background)
        datasets = require("datasets", "hf")
        # Bytes, not pictures: the decoding is ours, with its checks.
        self._table = table.select_columns([column]).with_format(None).cast_column(column, datasets.Image(decode=False))
        self._column = column
        self._name = name
        self._rows = np.arange(len(table))

    def __len__(self) -> int:
        return len(self._rows)

    def path(self, index: int) -> Path:
        """NAME/ROW of one image."""
        return Path(self._name) / str(self._rows[index])

    def source(self, index: int) -> Path | BytesIO:
        """The content of one image, or the path that the row has instead."""
        row = int(self._rows[index])
        image = retried(lambda: self._table[row][self._column], f"{self._name}/{row}")
        if image is not None and image["bytes"] is not None:
            return BytesIO(image["bytes"])
        if image is not None and image["path"]:
            return Path(image["path"])
        raise UnreadableImageError("the row has no image")

    def _keep(self, rows: npt.NDArray[np.int64]) -> None:
        self._rows = self._rows[rows]


def load_hugging_face(
    name: str,
    *,
    image_size: int = 224,
    seed: int = 0,
    download: bool = True,
    decode_workers: int = 0,
    max_corrupt: float = 1.0,
    background: str = "white",
) -> ImageDataset:
    """Load a data set of the hub, or a folder that `save_to_disk` wrote; its images are decoded when asked for.

    The image column is the one of type `Image`. The classes are the column of type `ClassLabel`; a row without a label
    gets `NO_LABEL`. Trained on is the split `train`, held out the first of `test`, `validation`, `valid` and `val`
    with known labels; a fifth of every class if there is none.

    Arguments:
        name: of the data set on the hub, or path of the folder; with `#COLUMN` at the end to choose among several
            label columns.
        image_size: side to which the images are brought (shorter side resized, cropped around the centre), pixels.
        seed: of the held-out split.
        download: whether what is not in the hub's cache may be downloaded.
        decode_workers: processes that decode; 0: the one that asks.
        max_corrupt: share of the images of either part that may be unreadable, see `CorruptImages`.
        background: colour that transparent pictures are put on, see `background_colour`.

    Returns:
        Images in colour, grey ones too.

    Raises:
        ValueError: if there is no such data set, it is damaged, has no split `train`, not one image column, or several
            label columns to choose from; or a number is out of range.
        OSError: if the hub cannot be reached.
        MissingExtraError: if `datasets` is not installed.
    """
    where, _, asked = name.partition("#")
    found = _tables(where, download)
    train = found["train"]
    image, label = _columns(train, asked, f"hf:{where}")
    parts: list[ImageSplit] = []
    for part in ("train", *(part for part in _HELD_OUT if part in found)):
        table = found[part]
        if {image, *([label] if label else [])} - {*table.column_names}:
            raise ValueError(f"hf:{where}: the split {part} has no column {image} or {label} as the split train has")
        labels = _labels(table, label) if label else None
        if parts and labels is not None and not bool((labels != NO_LABEL).any()):
            continue  # a benchmark's test set, whose labels are kept secret
        images = HuggingFaceImages(
            table, image, f"hf:{where}/{part}", image_size, decode_workers, max_corrupt, background
        )
        parts.append(ImageSplit(images, labels))
        if len(parts) == 2:
            break
    fitting, scoring = parts if len(parts) == 2 else split_off_test(parts[0], seed)
    if not len(fitting):
        raise ValueError(f"hf:{where} has no rows to train on")
    return ImageDataset(f"hf:{name}", fitting, scoring, tuple(train.features[label].names) if label else ())


def _tables(where: str, download: bool) -> dict[str, Any]:
    """Split -> data set; all under "train" where there are no splits."""
    datasets = require("datasets", "hf")
    path = Path(where).expanduser()
    saved = any((path / name).is_file() for name in ("dataset_dict.json", "state.json"))
    try:
        with _quiet(datasets):
            if saved:
                found = datasets.load_from_disk(str(path))
            else:
                settings = datasets.DownloadConfig(local_files_only=not download)
                found = datasets.load_dataset(str(path) if path.is_dir() else where, download_config=settings)
    except ConnectionError as error:
        raise OSError(f"hf:{where} is no folder here, and the hub cannot be reached: {error}") from error
    except Exception as error:  # damaged Arrow files, tables and metadata raise whatever their readers do
        raise ValueError(
            f"hf:{where} cannot be loaded, as a folder of save_to_disk or from the hub: {type(error).__name__}: {error}"
        ) from error
    tables = dict(found) if isinstance(found, dict) else {"train": found}
    if "train" not in tables:
        raise ValueError(f"hf:{where} must have a split train, got {', '.join(tables)}")
    return tables


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without its progress bars; those are the caller's."""
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _columns(table: Any, asked: str, name: str) -> tuple[str, str]:
    """The columns of images and of labels; the latter "" if there are none."""
    datasets = require("datasets", "hf")
    kinds = {column: type(feature) for column, feature in table.features.items()}
    images = [column for column, kind in kinds.items() if kind is datasets.Image]
    labels = [column for column, kind in kinds.items() if kind is datasets.ClassLabel]
    listed = ", ".join(f"{column} ({kind.__name__})" for column, kind in kinds.items())
    if len(images) != 1:
        raise ValueError(f"{name} must have one column of type Image, got {len(images)}; its columns: {listed}")
    if asked:
        labels = [column for column in labels if column == asked]
        if not labels:
            raise ValueError(f"{name} has no column {asked} of type ClassLabel; its columns: {listed}")
    if len(labels) > 1:
        raise ValueError(f"{name} has {len(labels)} label columns; name one: {name}#{labels[0]}; its columns: {listed}")
    return images[0], labels[0] if labels else ""


def _labels(table: Any, column: str) -> Tensor:
    values = table.with_format(None)[column][:]
    return torch.tensor([NO_LABEL if value is None else value for value in values], dtype=torch.int64)
