"""Which of several folders, or splits of a library, are to train on and which are held out: by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

__all__ = [
    "HELD_OUT",
    "TRAIN",
    "SplitNames",
    "check_no_splits_in_names",
    "choose_splits",
    "held_out_names",
    "holds_splits",
]

TRAIN = ("train", "training")
"""Names, in small or capital letters, of what is trained on."""
HELD_OUT = ("test", "testing", "validation", "valid", "val", "development", "dev", "evaluation", "eval", "holdout")
"""Names of what is held out: the first that is there, in this order."""

_ALIKE = 0.75  # of `SequenceMatcher`'s ratio: trian and train .8, tset and test .75, train2017 and train .71


@dataclass(frozen=True)
class SplitNames:
    """The names of the splits as they are written; None where there is none.

    Attributes:
        train: what is trained on.
        held_out: what is held out.
        unused: others that hold something.
    """

    train: str | None = None
    held_out: str | None = None
    unused: tuple[str, ...] = ()


def choose_splits(names: Sequence[str], where: str, holds: Callable[[str], bool]) -> SplitNames:
    """Choose among folders; without a name of a split among them all are classes, and `train` is None.

    Arguments:
        names: the names of the folders.
        where: that holds them, for the errors.
        holds: whether one of them holds something to train on.

    Raises:
        ValueError: if it is not clear what the folders are: two for one split, a name that is nearly that of a split, a
            split beside what could be classes, or held-out images without any to train on.
    """
    trains = [name for name in names if name.casefold() in TRAIN]
    held_out = held_out_names(names)
    if len(trains) > 1 or len({name.casefold() for name in held_out}) < len(held_out):
        several = trains if len(trains) > 1 else held_out
        raise ValueError(f"{where} has {_listed(several)}, of which only one can be used: rename or move the others")
    others = [name for name in names if name not in (*trains, *held_out)]
    if not trains:
        _check_no_split(others, held_out, where, holds)
        return SplitNames()
    others = [name for name in others if holds(name)]
    if others and not held_out:
        near = [name for name in others if _is_near(name, HELD_OUT)]
        raise ValueError(
            f"{where} has {trains[0]} beside {_listed(others)}: "
            + (
                f"rename {near[0]} to test if its images are to be held out"
                if near
                else f"if {trains[0]} is to be trained on, move the others elsewhere; if all are classes, put all into "
                "a folder called train"
            )
        )
    return SplitNames(trains[0], held_out[0] if held_out else None, (*held_out[1:], *others))


def held_out_names(names: Sequence[str]) -> list[str]:
    """Those that can be held out, the first choice first."""
    return sorted(
        (name for name in names if name.casefold() in HELD_OUT), key=lambda name: HELD_OUT.index(name.casefold())
    )


def holds_splits(names: Sequence[str]) -> tuple[str, ...]:
    """The names of both kinds of splits, if both are among them; otherwise none."""
    trains = [name for name in names if name.casefold() in TRAIN]
    held_out = held_out_names(names)
    return (*trains, *held_out) if trains and held_out else ()


def check_no_splits_in_names(stems: Sequence[str], where: str) -> None:
    """Check that files of one split are not several splits by their own names: `set-train-000`, `set-val-000`.

    Raises:
        ValueError: if they are.
    """
    words = {word for stem in stems for word in re.split(r"[^a-z]+", stem.casefold())}
    inside = holds_splits(sorted(words))
    if inside:
        raise ValueError(
            f"{where} has files with {' and '.join(inside)} in their names: put them into folders called "
            f"{inside[0]} and {inside[1]}; rename them if they are of one split"
        )


def _check_no_split(others: list[str], held_out: list[str], where: str, holds: Callable[[str], bool]) -> None:
    """Without a folder to train on there must be none that is, or nearly is, one to hold out."""
    held_out = [name for name in held_out if holds(name)]
    train = [name for name in others if _is_near(name, TRAIN)]
    test = [name for name in others if _is_near(name, HELD_OUT)]
    if held_out and train:
        raise ValueError(f"{where} has {held_out[0]} but no train: rename {train[0]} to train")
    if held_out:
        raise ValueError(
            f"{where} has {_listed(held_out)} but no train: call the folder of the training images train; "
            "if all are classes, put all into a folder called train"
        )
    if train and test and all(name in (*train, *test) for name in others if holds(name)):
        raise ValueError(
            f"{where} has {_listed([*train, *test])}: rename them to train and test; "
            "if these are classes, put them into a folder called train"
        )


def _is_near(name: str, splits: tuple[str, ...]) -> bool:
    """Whether it could be meant for one of the names: trian, train2017, train-images, my_train."""
    folded = name.casefold()
    return any(
        SequenceMatcher(None, folded, split).ratio() >= _ALIKE
        or (folded.startswith(split) and not folded[len(split) :][:1].isalpha())
        or (folded.endswith(split) and not folded[: -len(split)][-1:].isalpha())
        for split in splits
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
