"""The classes in tables of Hugging Face's `datasets`: which column has them, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aninfonce._extras import require
from aninfonce._typing import Int
from aninfonce.data.label_values import are_few, classes_of, known
from aninfonce.data.splits import NO_LABEL

__all__ = ["LabelColumn", "choose_label_column", "labels_of"]

_NAMES = ("label", "labels", "class", "class_name", "cls", "category", "target", "y")
"""Names of columns of numbers or words, in small or capital letters, that are taken for labels: the first there is."""


@dataclass(frozen=True)
class LabelColumn:
    """The column of the classes.

    Attributes:
        name: the name of the column; "" if there is none.
        rule: why it is the one, or why there is none.
    """

    name: str
    rule: str


def choose_label_column(table: Any, asked: str, where: str) -> LabelColumn:
    """The column that was asked for; the one of type `ClassLabel`; or one of numbers or words with a label's name.

    Arguments:
        table: a `datasets.Dataset`.
        asked: name of a column; "" if none was asked for.
        where: the data set, for errors.

    Raises:
        ValueError: if the column asked for is not there, is of another type, or has too many distinct values; or if
            several are of type `ClassLabel`.
    """
    class_label = require("datasets", "hf").ClassLabel
    listed = ", ".join(f"{name} ({_kind(feature)})" for name, feature in table.features.items())
    usable = {name: kind for name, feature in table.features.items() if (kind := _usable(feature))}
    named = [name for name, feature in table.features.items() if type(feature) is class_label]
    if asked:
        if asked not in usable:
            raise ValueError(f"{where} has no column {asked} of labels, numbers or words; its columns: {listed}")
        if asked not in named and (reason := _too_many(table, asked)):
            raise ValueError(f"{where}#{asked}: {reason}")
        return LabelColumn(asked, f"the column {asked} gives the classes, as asked for")
    if len(named) > 1:
        raise ValueError(f"{where} has {len(named)} label columns; name one: {where}#{named[0]}; its columns: {listed}")
    if named:
        return LabelColumn(named[0], f"the column {named[0]} gives the classes: it is the one of type ClassLabel")
    by_name = {name.casefold(): name for name in reversed(usable)}
    chosen = next((by_name[name] for name in _NAMES if name in by_name), None)
    others = f"; one that has them can be named, {where}#{next(iter(usable))}" if usable else ""
    if chosen is None:
        return LabelColumn("", f"none: no column is of type ClassLabel or called {', '.join(_NAMES)}{others}")
    if reason := _too_many(table, chosen):
        return LabelColumn("", f"none: {reason}")
    return LabelColumn(
        chosen, f"the column {chosen} of {usable[chosen]} gives the classes: no column is of type ClassLabel"
    )


def _kind(feature: Any) -> str:
    dtype = getattr(feature, "dtype", None)
    return f"{type(feature).__name__} {dtype}" if type(feature).__name__ == "Value" else type(feature).__name__


def _usable(feature: Any) -> str | None:
    """What a column that can hold labels holds; None if it cannot."""
    datasets = require("datasets", "hf")
    if type(feature) is datasets.ClassLabel:
        return "classes"
    dtype = feature.dtype if type(feature) is datasets.Value else ""
    if dtype in ("string", "large_string", "string_view"):
        return "words"
    return "numbers" if dtype.startswith(("int", "uint", "bool")) else None


def _too_many(table: Any, column: str) -> str | None:
    """Why a column of numbers or words cannot be classes; None if it can."""
    values = [value for value in map(known, table.with_format(None)[column][:]) if value is not None]
    distinct = len(set(values))
    if are_few(distinct, len(values)):
        return None
    return f"the column {column} has {distinct} distinct values in {len(values)} rows, which are no classes"


def labels_of(table: Any, column: str, where: str) -> tuple[tuple[str, ...], Int[Tensor, " n"]]:
    """The names that a split's column has, and the label of each row, `NO_LABEL` where it is missing.

    Raises:
        ValueError: if a number of a class lies outside its type's names, or the column holds no labels.
    """
    feature = table.features[column]
    values = table.with_format(None)[column][:]
    if type(feature) is not require("datasets", "hf").ClassLabel:
        if _usable(feature) is None:
            raise ValueError(f"{where}: the column {column} is of type {_kind(feature)}, which holds no labels")
        return classes_of([known(value) for value in values])
    labels = torch.tensor([NO_LABEL if value is None else value for value in values], dtype=torch.int64)
    if len(labels) and not NO_LABEL <= int(labels.min()) <= int(labels.max()) < len(feature.names):
        raise ValueError(
            f"{where}: the column {column} has labels from {int(labels.min())} to {int(labels.max())}, "
            f"but names for 0 to {len(feature.names) - 1}"
        )
    return tuple(feature.names), labels
