"""What was found of a data set and what was not, before it is trained on: for the terminal and for `results.json`."""

from __future__ import annotations

from typing import Any

from aninfonce.data.classes import alike
from aninfonce.data.splits import NO_LABEL, ImageDataset, ImageSplit

__all__ = ["summary_lines", "summary_of"]

_SHOWN = 10  # classes, and notes, on the terminal
_KEPT = 1000  # classes in results.json


def summary_of(dataset: ImageDataset) -> dict[str, Any]:
    """The summary as JSON: `train` and `test` (`images`, `labelled`), `splits` and `labels` (the rules that named
    them), `classes` (`number`; `images`: name -> training and test images, the first 1,000; `left_out`), classes
    `only_in_train` and `only_in_test`, what was `ignored` (`reason`, `number`, `examples`), and `notes`.
    """
    train, test = _counts(dataset.train, dataset), _counts(dataset.test, dataset)
    names = dataset.class_names
    return {
        "train": {"images": len(dataset.train), "labelled": sum(train)},
        "test": {"images": len(dataset.test), "labelled": sum(test)},
        "splits": dataset.findings.splits,
        "labels": dataset.findings.labels,
        "classes": {
            "number": len(names),
            "images": {name: [a, b] for name, a, b in zip(names[:_KEPT], train, test, strict=False)},
            "left_out": max(0, len(names) - _KEPT),
        },
        "only_in_train": [name for name, a, b in zip(names, train, test, strict=True) if a and not b][:_KEPT],
        "only_in_test": [name for name, a, b in zip(names, train, test, strict=True) if b and not a][:_KEPT],
        "ignored": [
            {"reason": reason, "number": number, "examples": list(examples)}
            for reason, number, examples in dataset.findings.ignored
        ],
        "notes": [*dataset.findings.notes, *_class_notes(dataset, train, test)],
    }


def _class_notes(dataset: ImageDataset, train: list[int], test: list[int]) -> list[str]:
    """What may be wrong with the classes."""
    notes = [
        f"the classes {' and '.join(map(repr, group))} differ only in how they are written"
        for group in alike(dataset.class_names)
    ]
    if any(train) and any(test) and not any(a and b for a, b in zip(train, test, strict=True)):
        notes.append("the images to train and to test have no class in common: nothing can be learnt of those scored")
    return notes


def _counts(split: ImageSplit, dataset: ImageDataset) -> list[int]:
    """Images of every class."""
    if split.labels is None:
        return [0] * len(dataset.class_names)
    known = split.labels[split.labels != NO_LABEL]
    counts: list[int] = known.bincount(minlength=len(dataset.class_names)).tolist()
    return counts


def summary_lines(dataset: ImageDataset) -> list[str]:
    """The summary in lines for the terminal, long lists cut with their number."""
    found = summary_of(dataset)
    lines = []
    if found["splits"]:
        lines.append(f"splits: {found['splits']}")
    if found["labels"]:
        lines.append(f"labels: {found['labels']}")
    classes = found["classes"]
    if classes["number"]:
        each = [f"{name} {a} + {b}" for name, (a, b) in classes["images"].items()]
        lines.append(f"classes (training + test images): {_cut(each, classes['number'])}")
    for split in ("train", "test"):
        images, labelled = found[split]["images"], found[split]["labelled"]
        if classes["number"] and labelled < images:
            lines.append(f"without a label: {images - labelled} of {images} images to {split}")
        only = found[f"only_in_{split}"]
        if only:
            lines.append(f"classes that only {split} has: {_cut(only, len(only))}")
    for entry in found["ignored"]:
        lines.append(f"ignored: {entry['reason']}: {entry['number']} ({_cut(entry['examples'], entry['number'], 3)})")
    notes = found["notes"]
    lines += [f"note: {note}" for note in notes[:_SHOWN]]
    if len(notes) > _SHOWN:
        lines.append(f"{len(notes) - _SHOWN} more notes are in results.json")
    return [_printable(line) for line in lines]


def _cut(items: list[str], number: int, shown: int = _SHOWN) -> str:
    return ", ".join(items[:shown]) + (f", … {number} in all" if number > shown else "")


def _printable(line: str) -> str:
    """Names of files may hold line breaks, escape sequences, and bytes that are no text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
