"""Features of images in a file: arrays for NumPy, or a table with one row an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from aninfonce._extras import require
from aninfonce._runs import atomically
from aninfonce._text import printable

__all__ = ["SplitFeatures", "path_text", "write_npz", "write_parquet"]

_ROWS = 8192  # of a row group


@dataclass(frozen=True, eq=False)
class SplitFeatures:
    """The features of one split's images, on the CPU.

    Attributes:
        name: the name of the split.
        layers: layer -> features, float32, shape (n, dim).
        places: the positions of the images among the split's, int64, shape (n,).
        labels: int64, shape (n,); None where there are no classes.
        paths: what the images are called, n texts; None of images in memory. See `path_text`.
    """

    name: str
    layers: dict[str, Tensor]
    places: Tensor
    labels: Tensor | None
    paths: Sequence[str] | None = None


def path_text(path: Path) -> str:
    """The path as a text that every file format takes: bytes of a name that are no text are written as escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def write_npz(path: Path, splits: Sequence[SplitFeatures]) -> None:
    """Write `SPLIT_LAYER`, `SPLIT_places` and, where there are any, `SPLIT_labels` and `SPLIT_paths`; atomically."""
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
    for split in splits:
        columns = {**split.layers, "places": split.places}
        if split.labels is not None:
            columns["labels"] = split.labels
        arrays |= {f"{split.name}_{name}": values.numpy() for name, values in columns.items()}
        if split.paths is not None:
            arrays[f"{split.name}_paths"] = np.array(split.paths, dtype=np.str_)
    with atomically(path) as file, file.open("wb") as handle:
        np.savez(handle, allow_pickle=False, **arrays)


def write_parquet(path: Path, splits: Sequence[SplitFeatures], class_names: Sequence[str] = ()) -> None:
    """Write one row an image, in groups of 8192 rows; atomically.

    Columns: `split`, `place`, `path` if any split's images have one, the layers (lists of a fixed number of float32),
    and where any split has classes `label` and, if their names are known, `class`; null in a split without.

    Raises:
        MissingExtraError: if pyarrow is not installed.
    """
    class_names = [printable(name) for name in class_names]  # a folder's name need be no text, a column's cell must
    pa = require("pyarrow", "parquet")
    parquet = require("pyarrow.parquet", "parquet")
    labelled = any(split.labels is not None for split in splits)
    columns = [pa.field("split", pa.string(), nullable=False), pa.field("place", pa.int64(), nullable=False)]
    columns += [pa.field("path", pa.string())] if any(split.paths is not None for split in splits) else []
    columns += [pa.field("label", pa.int64())] if labelled else []
    columns += [pa.field("class", pa.string())] if labelled and class_names else []
    columns += [
        pa.field(layer, pa.list_(pa.float32(), features.shape[1]), nullable=False)
        for layer, features in splits[0].layers.items()
    ]
    schema = pa.schema(columns)
    with atomically(path) as file, parquet.ParquetWriter(file, schema) as writer:
        for split in splits:
            for rows in _row_groups(pa, split, class_names):
                writer.write_table(pa.table([rows[name] for name in schema.names], schema=schema))


def _row_groups(pa: Any, split: SplitFeatures, class_names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for start in range(0, len(split.places), _ROWS):
        part = slice(start, start + _ROWS)
        places = split.places[part]
        labels = [None] * len(places) if split.labels is None else split.labels[part].tolist()
        features = {
            layer: pa.FixedSizeListArray.from_arrays(pa.array(values[part].numpy().ravel()), values.shape[1])
            for layer, values in split.layers.items()
        }
        yield {
            "split": pa.array([split.name] * len(places)),
            "place": pa.array(places.numpy()),
            "path": pa.array([None] * len(places) if split.paths is None else split.paths[part], pa.string()),
            "label": pa.array(labels, pa.int64()),
            "class": pa.array([None if label is None or not class_names else class_names[label] for label in labels]),
            **features,
        }
