"""The classes of a data set whose parts each name their own: matched by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import torch
from torch import Tensor

from aninfonce._typing import Int
from aninfonce.data.splits import NO_LABEL

__all__ = ["all_classes", "one_name", "renumbered"]


def one_name(name: str) -> str:
    """A class's name with every accent composed: é can be one character or two, and macOS writes two."""
    return unicodedata.normalize("NFC", name)


def all_classes(parts: Sequence[Sequence[str]], where: str) -> tuple[str, ...]:
    """The names of all classes, in the order in which they come.

    Arguments:
        parts: the names that every split has.
        where: the data set, for the error.

    Raises:
        ValueError: if a class of one split is that of another but for case, spaces or the width of letters: it would
            be scored on a class that was never trained on.

    Example:
        >>> all_classes([["cat", "dog"], ["dog", "emu"]], "here")
        ('cat', 'dog', 'emu')
    """
    names = tuple(dict.fromkeys(name for part in parts for name in part))
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(" ".join(unicodedata.normalize("NFKC", name).casefold().split()), []).append(name)
    sets = [set(part) for part in parts]
    for group in alike.values():
        splits = {tuple(name in part for part in sets) for name in group}
        if len(splits) > 1:
            raise ValueError(
                f"{where}: the splits' classes {' and '.join(map(repr, group))} differ only in how they are written; "
                "write them alike, for classes are matched by name"
            )
    return names


def renumbered(labels: Int[Tensor, " n"], names: Sequence[str], classes: Sequence[str]) -> Int[Tensor, " n"]:
    """Labels that number `names` as numbers of the same names among all classes.

    Example:
        >>> renumbered(torch.tensor([0, 1, -1]), ["b", "c"], ["a", "b", "c"])
        tensor([ 1,  2, -1])
    """
    number = {name: i for i, name in enumerate(classes)}
    table = torch.tensor([*(number[name] for name in names), NO_LABEL], dtype=torch.int64)
    return table[labels]  # -1, no label, is the last one
