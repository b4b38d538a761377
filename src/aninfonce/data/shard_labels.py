"""The labels that a set's shards hold, and which of them give the classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from aninfonce._typing import Int
from aninfonce.data.label_values import LabelValue, are_few, classes_of
from aninfonce.data.samples import LABEL_KINDS, Sample
from aninfonce.data.shard_index import CLASSES
from aninfonce.data.splits import NO_LABEL

__all__ = ["ShardLabels", "names_beside"]

_MOST_WORDS = 100_000  # distinct ones that are kept; captions of a large set are more


class ShardLabels:
    """The labels of samples, of each kind (see `LABEL_KINDS`): every distinct one once, and its number for each image.

    Attributes:
        images: how many there are.
    """

    def __init__(self) -> None:
        self.images = 0
        self._distinct: dict[str, dict[LabelValue, int]] = {kind: {} for kind in LABEL_KINDS}
        self._numbers: dict[str, list[npt.NDArray[np.int64]]] = {kind: [] for kind in LABEL_KINDS}

    def add(self, samples: Sequence[Sample]) -> None:
        """The samples of one more shard."""
        self.images += len(samples)
        for kind, distinct in self._distinct.items():
            numbers = np.full(len(samples), NO_LABEL)
            for i, sample in enumerate(samples):
                value = sample.labels.get(kind)
                if value is not None and (kind == "cls" or len(distinct) < _MOST_WORDS or value in distinct):
                    numbers[i] = distinct.setdefault(value, len(distinct))
            self._numbers[kind].append(numbers)

    def choose(self) -> tuple[str, str]:
        """(the kind that gives the classes, "" if none does; the rule, or why there are none).

        Numbers in `.cls` are classes, whatever they are. Labels in `.json` are if they are few; texts in `.txt` are if
        every one stands for two images or more on average: others are captions.
        """
        reasons = []
        for kind in LABEL_KINDS:
            distinct, labelled = len(self._distinct[kind]), int((self._all(kind) != NO_LABEL).sum())
            few = {"cls": True, "json": are_few(distinct, labelled), "txt": distinct <= labelled // 2}[kind]
            if labelled and few:
                return kind, f"members ending in .{kind} give the classes"
            if labelled:
                reasons.append(f"{distinct} different ones in {labelled} members ending in .{kind} are no classes")
        looked = ", ".join(f".{kind}" for kind in LABEL_KINDS)
        return "", f"none: {'; '.join(reasons) if reasons else f'no image has a label in a member ending in {looked}'}"

    def classes(self, kind: str, names: Sequence[str] | None = None) -> tuple[tuple[str, ...], Int[Tensor, " n"]]:
        """The classes' names and every image's label, by labels of one kind; "" gives none.

        Arguments:
            kind: the kind of the labels.
            names: the names of the classes that numbers stand for; None: they are called by their numbers.

        Raises:
            ValueError: if there are fewer names than a number asks for.
        """
        if not kind:
            return (), torch.full((self.images,), NO_LABEL)
        values = list(self._distinct[kind])
        numbers = torch.from_numpy(self._all(kind))
        largest = max((value for value in values if isinstance(value, int)), default=-1)
        if names is None and kind == "cls":
            names = [str(number) for number in range(largest + 1)]
        if names is None or any(isinstance(value, str) for value in values):
            named, places = classes_of(values)
        elif len(names) <= largest:
            raise ValueError(f"names {len(names)} classes, the shards have at least {largest + 1}")
        else:
            named, places = tuple(names), torch.tensor(values, dtype=torch.int64)
        return named, torch.cat([places, torch.tensor([NO_LABEL])])[numbers]

    def _all(self, kind: str) -> npt.NDArray[np.int64]:
        return np.concatenate([np.empty(0, np.int64), *self._numbers[kind]])


def names_beside(root: Path, folder: Path) -> tuple[Path, list[str] | None]:
    """The file of the classes' names that a split's shards have, and the names; None if there is none.

    Arguments:
        root: folder of the data set.
        folder: that of the split; its own file counts before the set's.
    """
    path = next((place / CLASSES for place in (folder, root) if (place / CLASSES).is_file()), root / CLASSES)
    if not path.is_file():
        return path, None
    text = path.read_text(encoding="utf-8", errors="replace")
    return path, text.removesuffix("\n").split("\n") if text else []
