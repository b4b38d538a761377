"""Numbers and words that stand for classes, as columns and files hold them, to classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aninfonce._typing import Int
from aninfonce.data.classes import one_name
from aninfonce.data.splits import NO_LABEL

__all__ = ["LabelValue", "are_few", "classes_of", "known"]

LabelValue = str | int
"""What a label can be: a word, or a number (yes and no as well)."""

_ALWAYS_FEW = 10


def known(value: object) -> LabelValue | None:
    """The label; None where there is none: nothing, an empty word, a negative number, or something else altogether."""
    if isinstance(value, str):
        return one_name(value.strip()) or None
    if isinstance(value, int):
        return value if value >= 0 else None
    return None


def are_few(distinct: int, labelled: int) -> bool:
    """Whether so many distinct values among so many labels are classes: 10 at most, or two images each on average.

    Others are numbers of single images, measurements, or texts about them.
    """
    return distinct <= max(_ALWAYS_FEW, labelled // 2)


def classes_of(values: Sequence[LabelValue | None]) -> tuple[tuple[str, ...], Int[Tensor, " n"]]:
    """The classes' names, numbers in their order and then words in theirs, and the label of each value.

    Example:
        >>> classes_of([10, None, 9])
        (('9', '10'), tensor([ 1, -1,  0]))
    """
    distinct = {value for value in values if value is not None}
    ordered = sorted(distinct, key=lambda value: (isinstance(value, str), value))
    names = tuple(dict.fromkeys(str(value) for value in ordered))
    number = {name: i for i, name in enumerate(names)}
    labels = [NO_LABEL if value is None else number[str(value)] for value in values]
    return names, torch.tensor(labels, dtype=torch.int64)
