"""The classes of a data set whose parts each name their own: matched by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import torch
from torch import Tensor

from aninfonce._typing import Int
from aninfonce.data.splits import NO_LABEL

__all__ = ["alike", "all_classes", "one_name", "renumbered"]


def one_name(name: str) -> str:
    """A class's name with every accent composed: é can be one character or two, and macOS writes two."""
    return unicodedata.normalize("NFC", name)


def all_classes(parts: Sequence[Sequence[str]], where: str) -> tuple[str, ...]:
    """The names of all classes, in the order in which they come.

    Arguments:
        parts: the names that every split has.
        where: the data set, for the error.

    Raises:
        ValueError: if a class of one split is that of another but for how it is written (see `alike`): it would be
            scored on a class that was never trained on.

    Example:
        >>> all_classes([["cat", "dog"], ["dog", "emu"]], "here")
        ('cat', 'dog', 'emu')
    """
    names = tuple(dict.fromkeys(name for part in parts for name in part))
    sets = [set(part) for part in parts]
    for group in alike(names):
        if len({tuple(name in part for part in sets) for name in group}) > 1:
            raise ValueError(
                f"{where}: the splits' classes {' and '.join(map(repr, group))} differ only in how they are written; "
                "write them alike, for classes are matched by name"
            )
    return names


def alike(names: Sequence[str]) -> list[list[str]]:
    """Those that differ only in case, spaces, hyphens and underscores, or the width of letters, in groups.

    Example:
        >>> alike(["ice cream", "cat", "Ice_cream"])
        [['ice cream', 'Ice_cream']]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold().replace("_", " ").replace("-", " ")
        groups.setdefault(" ".join(plain.split()), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def renumbered(labels: Int[Tensor, " n"], names: Sequence[str], classes: Sequence[str]) -> Int[Tensor, " n"]:
    """Labels that number `names` as numbers of the same names among all classes.

    Example:
        >>> renumbered(torch.tensor([0, 1, -1]), ["b", "c"], ["a", "b", "c"])
        tensor([ 1,  2, -1])
    """
    number = {name: i for i, name in enumerate(classes)}
    table = torch.tensor([*(number[name] for name in names), NO_LABEL], dtype=torch.int64)
    return table[labels]  # -1, no label, is the last one
