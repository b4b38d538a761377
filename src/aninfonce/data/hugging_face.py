"""Data sets of Hugging Face's `datasets`: of the hub, or saved to disk. Their images stay in their Arrow files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aninfonce._extras import require
from aninfonce.data.classes import all_classes, renumbered
from aninfonce.data.findings import Findings, Ignored
from aninfonce.data.hugging_face_labels import choose_label_column, labels_of
from aninfonce.data.layout import split_rule
from aninfonce.data.reading import UnreadableImageError, retried
from aninfonce.data.split_names import TRAIN, SplitNames, held_out_names
from aninfonce.data.splits import NO_LABEL, ImageDataset, ImageSplit, split_off_test
from aninfonce.data.stored import StoredImages

__all__ = ["HuggingFaceImages", "load_hugging_face"]


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

    The image column is the one of type `Image`. The classes are the column named; or the one of type `ClassLabel`; or
    one of numbers or words that is called `label`, `class` or the like and has few distinct values. Classes are matched
    by name between the splits. A row without a label gets `NO_LABEL`. Trained on is the split `train`, held out the
    first of `test`, `validation` and their likes (see `aninfonce.data.split_names`) with known labels; a fifth of every
    class if there is none.

    Arguments:
        name: the name of the data set on the hub, or the path of the folder; with `#COLUMN` at the end to choose among
            several
            label columns.
        image_size: side to which the images are brought (shorter side resized, cropped around the centre), pixels.
        seed: the seed of the held-out split.
        download: whether what is not in the hub's cache may be downloaded.
        decode_workers: processes that decode; 0: the one that asks.
        max_corrupt: share of the images of either part that may be unreadable, see `CorruptImages`.
        background: colour that transparent pictures are put on, see `background_colour`.

    Returns:
        Images in colour, grey ones too.

    Raises:
        ValueError: if there is no such data set, it is damaged, has no split `train`, not one image column, or several
            label columns to choose from; the splits' classes do not match; or a number is out of range.
        OSError: if the hub cannot be reached.
        MissingExtraError: if `datasets` is not installed.
    """
    where, _, asked = name.partition("#")
    home = f"hf:{where}"
    found = _tables(where, download)
    train = next(part for part in found if part.casefold() in TRAIN)
    image = _image_column(found[train], home)
    column = choose_label_column(found[train], asked, home)
    parts: dict[str, ImageSplit] = {}
    names: dict[str, tuple[str, ...]] = {}
    ignored = Ignored()
    for part in found:
        if part != train and part not in held_out_names([*found]):
            ignored.add("splits that are not used", part)
    for part in (train, *held_out_names([*found])):
        if len(parts) == 2:
            ignored.add("splits that are not used", part)
            continue
        table = found[part]
        if missing := {image, column.name} - {"", *table.column_names}:
            raise ValueError(f"{home}: the split {part} has no column {' or '.join(sorted(missing))} as {train} has")
        classes, labels = labels_of(table, column.name, f"{home}/{part}") if column.name else ((), None)
        if parts and labels is not None and not bool((labels != NO_LABEL).any()):
            ignored.add("splits without known labels", part)  # a benchmark's test set, whose labels are kept secret
            continue
        images = HuggingFaceImages(table, image, f"{home}/{part}", image_size, decode_workers, max_corrupt, background)
        parts[part], names[part] = ImageSplit(images, labels), classes
    if not len(parts[train]):
        raise ValueError(f"{home} has no rows to train on")
    classes = _matched(parts, names, home)
    fitting, scoring = parts.values() if len(parts) == 2 else split_off_test(parts[train], seed)
    used = [*parts]
    chosen = SplitNames(train, used[1] if len(used) == 2 else None)
    findings = Findings(split_rule(chosen), column.rule, ignored)
    return ImageDataset(f"hf:{name}", fitting, scoring, classes, findings=findings)


def _matched(parts: dict[str, ImageSplit], names: dict[str, tuple[str, ...]], home: str) -> tuple[str, ...]:
    """The classes of all splits; the labels of `parts` are made their numbers.

    Raises:
        ValueError: if one split has the names of the classes and the other something else.
    """
    classes = all_classes(list(names.values()), home)
    if len(names) == 2 and classes and not set.intersection(*(set(found) for found in names.values())):
        shown = " and ".join(f"{part} has {', '.join(found[:3])}" for part, found in names.items())
        raise ValueError(f"{home}: the splits have no class in common, and classes are matched by name: {shown}")
    for part, split in parts.items():
        if split.labels is not None:
            parts[part] = replace(split, labels=renumbered(split.labels, names[part], classes))
    return classes


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
        raise OSError(f"hf:{where} is not a folder here, and the hub cannot be reached: {error}") from error
    except Exception as error:  # damaged Arrow files, tables and metadata raise whatever their readers do
        raise ValueError(
            f"hf:{where} cannot be loaded, as a folder of save_to_disk or from the hub: {type(error).__name__}: {error}"
        ) from error
    tables = dict(found) if isinstance(found, dict) else {"train": found}
    trains = [part for part in tables if part.casefold() in TRAIN]
    if len(trains) != 1:
        raise ValueError(f"hf:{where} must have a split train, got {', '.join(trains or tables)}")
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


def _image_column(table: Any, home: str) -> str:
    image = require("datasets", "hf").Image
    found: list[str] = [column for column, feature in table.features.items() if type(feature) is image]
    if len(found) != 1:
        listed = ", ".join(f"{column} ({type(feature).__name__})" for column, feature in table.features.items())
        raise ValueError(f"{home} must have one column of type Image, got {len(found)}; its columns: {listed}")
    return found[0]
